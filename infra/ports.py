"""TCP ports of 127.0.0.1: free ones, and a clear word about taken ones."""

import errno
import socket
from contextlib import ExitStack

from tailrace.errors import TailraceError

HOST = "127.0.0.1"


def free(count: int) -> list[int]:
    """Ports that nobody listens on, all different. Another process can still take one before it is used."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def check(port: int, server: str, option: str) -> None:
    """Raises TailraceError where `port` cannot be listened on, naming the option that chooses another."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: connections that linger are no obstacle
        try:
            one.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"is already in use, so {server} cannot be started there; stop what listens on it"
            else:
                why = f"cannot be used for {server} ({error.strerror})"
            raise TailraceError(f"port {port} of {HOST} {why}, or choose another port with {option}") from None
