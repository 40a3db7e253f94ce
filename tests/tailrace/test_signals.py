"""Which signals end a service."""

import signal
from collections.abc import Iterator

import pytest

from tailrace.signals import ending, handled


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize(("how", "ends"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_a_closed_terminal_ends_a_service_but_for_one_that_was_started_to_outlive_it(how: signal.Handlers, ends: bool) -> None:
    signal.signal(signal.SIGHUP, how)
    asked = []
    with handled(lambda: asked.append(True), *ending()):
        if not ends:
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        assert asked == [True]
        if ends:
            signal.raise_signal(signal.SIGHUP)
            assert asked == [True, True]
    assert signal.getsignal(signal.SIGHUP) is how
