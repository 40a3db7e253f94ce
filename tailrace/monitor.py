"""What a running role says of itself over HTTP: /metrics for Prometheus, /health for a supervisor."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import msgspec

from tailrace.errors import ConfigError, TailraceError
from tailrace.metrics import CONTENT_TYPE, Sample, expose


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Each role adds figures of its own."""

    status: str
    """`ok`, or what is wrong."""


class Answers(NamedTuple):
    """Asked for in threads of the monitor's, while the role goes on."""

    samples: Callable[[], Iterable[Sample]]
    health: Callable[[], Health]


def host_and_port(key: str, address: str) -> tuple[str, int]:
    """Of `127.0.0.1:9464`. Raises ConfigError, naming the setting, for what is no address."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise ConfigError(f'{key} = "{address}" is no address: write host:port, as in "127.0.0.1:9464"')
    return host, int(port)


class Monitor(ThreadingHTTPServer):
    """Answers in threads of its own, from its making until `stop`."""

    daemon_threads = True

    def __init__(self, key: str, address: str, answers: Answers) -> None:
        """`key`: the setting that says `address`, which is `host:port`.

        Raises ConfigError for one that is none, TailraceError where it cannot be used."""
        self.answers = answers
        try:
            super().__init__(host_and_port(key, address), _Handler)
        except OSError as error:
            raise TailraceError(f"cannot answer at {key} = {address}: {error.strerror}; choose another port, or leave it out") from None
        self._thread = threading.Thread(target=self.serve_forever, name="monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


@contextmanager
def answered(key: str, address: str | None, answers: Answers) -> Iterator[None]:
    """Answer at this address, if one is set, as long as the context lasts. Raises ConfigError and TailraceError as `Monitor` does."""
    if not address:
        yield
        return
    monitor = Monitor(key, address, answers)
    try:
        yield
    finally:
        monitor.stop()


class _Handler(BaseHTTPRequestHandler):
    server: Monitor

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE, expose(self.server.answers.samples()).encode())
        elif self.path == "/health":
            health = self.server.answers.health()
            status = HTTPStatus.OK if health.status == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, "application/json", msgspec.json.encode(health))
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "there are /metrics and /health")

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are no news."""
