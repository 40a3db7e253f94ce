"""When a batch counts as held by Kafka, on a real one."""

import asyncio
from collections.abc import Callable, Coroutine
from random import randbytes
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from streams.outbox import Outbox, Output
from tailrace import kafka
from tailrace.settings import Kafka, Settings
from tests.helpers import read_topic

pytestmark = pytest.mark.servers

Failures = asyncio.Queue[BaseException]


@pytest.fixture
def topic(settings: Settings) -> str:
    kafka.ensure_topics(kafka.connect(settings.kafka, 5), settings.kafka, ["clicks"])
    return kafka.topic(settings.kafka, "clicks", "events")


def outputs(topic: str, count: int) -> list[Output]:
    return [Output(topic, b"%d" % number, b"x") for number in range(count)]


def play(settings: Kafka, test: Callable[[Outbox, Failures], Coroutine[Any, Any, None]]) -> None:
    """A test of an outbox that is polled, with what it says has failed."""

    async def main() -> None:
        failures: Failures = asyncio.Queue()
        outbox = Outbox(settings, failures.put_nowait)
        polling = asyncio.create_task(outbox.poll())
        try:
            async with asyncio.timeout(30):
                await test(outbox, failures)
        finally:
            polling.cancel()

    asyncio.run(main())


def test_a_batch_is_told_of_when_kafka_holds_all_of_it(settings: Settings, topic: str) -> None:
    held: list[int] = []

    async def test(outbox: Outbox, failures: Failures) -> None:
        told = asyncio.Event()
        for batch in range(1, 6):
            await outbox.send(
                outputs(topic, 1_000), lambda batch=batch: held.append(batch * 1_000 <= len(read_topic(settings, "clicks", "events")))
            )
        await outbox.send(outputs(topic, 1), told.set)
        await told.wait()
        assert failures.empty()

    play(settings.kafka, test)
    assert held == [True] * 5


def test_a_batch_of_nothing_is_held_at_once(settings: Settings) -> None:
    async def test(outbox: Outbox, failures: Failures) -> None:
        told: list[bool] = []
        await outbox.send([], lambda: told.append(True))
        assert told

    play(settings.kafka, test)


def test_more_than_the_client_can_hold_waits(settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.outbox.QUEUE_RECORDS", 100)

    async def test(outbox: Outbox, failures: Failures) -> None:
        told = asyncio.Event()
        await outbox.send(outputs(topic, 1_000), told.set)
        await told.wait()

    play(settings.kafka, test)
    assert len(read_topic(settings, "clicks", "events")) == 1_000


def test_a_trickle_that_never_ends_is_told_of(settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With something on its way at every moment, the next batch has to wait in the end."""
    monkeypatch.setattr("streams.outbox.HOLD_S", 0.0)
    told: list[int] = []

    async def test(outbox: Outbox, failures: Failures) -> None:
        for batch in range(20):
            await outbox.send(outputs(topic, 10), lambda batch=batch: told.append(batch))
            assert told == list(range(batch)), "all before it"

    play(settings.kafka, test)


def test_after_a_record_that_kafka_refuses_nothing_counts(settings: Settings, topic: str) -> None:
    short = f"{settings.kafka.topic_prefix}short"
    admin = kafka.connect(settings.kafka)
    admin.create_topics([NewTopic(short, num_partitions=1, config={"max.message.bytes": "100000"})])[short].result(30)

    async def test(outbox: Outbox, failures: Failures) -> None:
        told: list[int] = []
        await outbox.send([*outputs(topic, 10), Output(short, b"large", randbytes(200_000)), *outputs(topic, 10)], lambda: told.append(1))
        await outbox.send(outputs(topic, 10), lambda: told.append(2))
        failure = await failures.get()
        outbox._producer.flush(10)
        assert not outbox._settle()
        assert told == []
        assert str(failure) == f"Kafka did not take a record for {short} [0]: Broker: Message size too large"

    play(settings.kafka, test)
