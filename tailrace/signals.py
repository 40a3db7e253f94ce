"""The signals that a running service answers."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


def ending() -> tuple[signal.Signals, ...]:
    """Those that end a service cleanly: the word of a supervisor, Ctrl-C, and a terminal that was closed or somebody who wants the
    configuration to be read again: whoever keeps the service running starts it with the new one. `tailrace ship` reads it by itself at
    SIGHUP, and goes on. Where SIGHUP is ignored, as `nohup` has it, it stays so.
    """
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGINT, *hangup)


@contextmanager
def handled(act: Callable[[], object], *numbers: signal.Signals) -> Iterator[None]:
    """These signals call `act`, in the main thread between two steps of whatever it does, as long as the context lasts."""

    def handler(number: int, frame: FrameType | None) -> None:
        act()

    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
