"""Who may write for a partition, on a real Kafka."""

from concurrent.futures import ThreadPoolExecutor
from random import randbytes

import pytest
from confluent_kafka.cimpl import NewTopic

from streams.outbox import Output, Undelivered
from streams.transactions import Fenced, PartitionWriter
from tailrace import kafka
from tailrace.settings import Kafka, Settings
from tests.helpers import Record, read_topic

pytestmark = [pytest.mark.servers, pytest.mark.faults]

Topic = str


@pytest.fixture
def topic(settings: Settings) -> Topic:
    kafka.ensure_topics(kafka.connect(settings.kafka, 5), settings.kafka, ["clicks"])
    return kafka.topic(settings.kafka, "clicks", "sessions")


def owner(settings: Settings) -> PartitionWriter:
    writer = PartitionWriter(settings.kafka, f"{settings.kafka.topic_prefix}clicks-0")
    writer.take_over()
    return writer


def written(settings: Settings) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in read_topic(settings, "clicks", "sessions")]


def test_a_transaction_tells_the_last_offset_of_each_topic(settings: Settings, topic: Topic) -> None:
    first = owner(settings)
    assert first.write([Output(topic, b"a", b"1", 0), Output(topic, b"b", b"2", 0)]) == {topic: 1}
    assert first.write([Output(topic, b"c", None, 0)]) == {topic: 3}, "the first one's end takes an offset"
    assert written(settings) == [(b"a", b"1"), (b"b", b"2"), (b"c", None)]


def test_a_predecessor_that_goes_on_changes_nothing(settings: Settings, topic: Topic) -> None:
    zombie = owner(settings)
    zombie.write([Output(topic, b"page", b"old", 0)])
    successor = owner(settings)
    successor.write([Output(topic, b"page", b"new", 0)])
    with pytest.raises(Fenced, match=r"another worker has taken over .*clicks-0"):
        zombie.write([Output(topic, b"page", b"stale", 0)])
    assert written(settings) == [(b"page", b"old"), (b"page", b"new")]


def test_what_a_predecessor_had_begun_never_happened(settings: Settings, topic: Topic) -> None:
    zombie = owner(settings)
    producer = zombie._producer
    producer.begin_transaction()
    producer.produce(topic, b"stale", b"page", 0)
    producer.flush(10)
    successor = owner(settings)
    successor.write([Output(topic, b"page", b"new", 0)])
    assert written(settings) == [(b"page", b"new")]


@pytest.mark.parametrize("queue", [100_000, 100], ids=["by the commit", "while others are handed over"])
def test_a_record_that_kafka_refuses_takes_the_whole_transaction_with_it(
    settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch, queue: int
) -> None:
    """Wherever it is noticed."""
    monkeypatch.setattr("streams.transactions.QUEUE_RECORDS", queue)
    short = f"{settings.kafka.topic_prefix}short"
    admin = kafka.connect(settings.kafka)
    admin.create_topics([NewTopic(short, num_partitions=1, config={"max.message.bytes": "100000"})])[short].result(30)
    large = Output(short, b"large", randbytes(200_000), 0)
    small = [Output(topic, b"%d" % number, b"x", 0) for number in range(2_000)]
    with pytest.raises(Undelivered, match="Message size too large"):
        owner(settings).write([Output(topic, b"a", b"1", 0), large, *small, Output(topic, b"b", b"2", 0)])
    assert written(settings) == []


def test_a_topic_that_takes_nothing_is_told_as_the_reason(settings: Settings, topic: Topic) -> None:
    with pytest.raises(Undelivered, match="Unknown partition"):
        owner(settings).write([Output(topic, b"a", b"1", 700), Output(topic, b"b", b"2", 700)])
    with pytest.raises(Undelivered, match="Message size too large"):
        owner(settings).write([Output(topic, b"a", b"1", 0), Output(topic, b"large", bytes(2 * kafka.MAX_RECORD_BYTES), 0)])
    assert written(settings) == []


def test_more_than_the_client_can_hold_waits(settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.transactions.QUEUE_RECORDS", 100)
    owner(settings).write([Output(topic, b"%d" % number, b"x", 0) for number in range(1_000)])
    assert len(written(settings)) == 1_000


def test_whoever_waits_for_kafka_can_be_told_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.transactions.CALL_S", 0.2)
    writer = PartitionWriter(Kafka(bootstrap_servers="127.0.0.1:1"), "nobody")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(writer.take_over)
        with pytest.raises(TimeoutError):
            waiting.result(1)
        writer.abandon()
        with pytest.raises(Undelivered, match="the worker ended while Kafka was away"):
            waiting.result(30)


def test_reading_stops_in_front_of_what_is_not_committed(settings: Settings, topic: Topic) -> None:
    first = owner(settings)
    first.write([Output(topic, b"a", b"1", 0)])
    first._producer.begin_transaction()
    first._producer.produce(topic, b"2", b"b", 0)
    first._producer.flush(10)
    assert [record.key for record in read_topic(settings, "clicks", "sessions") if isinstance(record, Record)] == [b"a"]
