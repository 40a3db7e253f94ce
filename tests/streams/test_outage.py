"""What an operator reads while Kafka is away."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from streams import outage
from streams.outage import QUIET_S, Outage


@pytest.fixture
def chatty() -> Iterator[logging.Logger]:
    yield logging.getLogger("chatty.consumer")
    logging.getLogger("chatty").handlers.clear()
    logging.getLogger("chatty").propagate = True


def test_trouble_is_two_lines_however_much_is_said(
    chatty: logging.Logger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(outage, "time", SimpleNamespace(monotonic=lambda: clock.now))
    caplog.set_level(logging.INFO)
    handler = Outage("chatty")
    for _ in range(2):
        caplog.clear()
        for number in range(500):
            chatty.error("no connection to %d", number)
            clock.now += 0.1
            handler.look()
        assert [record.getMessage() for record in caplog.records] == [
            "there is trouble with Kafka, which is tried again: no connection to 0"
        ]
        clock.now += QUIET_S
        handler.look()
        handler.look()
        assert [record.getMessage() for record in caplog.records[1:]] == [
            "Kafka answers again, after 50 s of trouble; of 500 complaints the first was shown"
        ]


def test_who_asks_for_everything_gets_everything(chatty: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Outage("chatty")
    chatty.error("first")
    chatty.error("second")
    assert [record.getMessage() for record in caplog.records if record.name == "chatty.consumer"] == ["first", "second"]
