"""What tests of several rooms need: a topic read to its end, a condition waited for."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tailrace import kafka
from tailrace.settings import Settings

_NO_LEADER_YET = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
}


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int
    offset: int


def read_topic(settings: Settings, source: str, kind: kafka.Kind) -> list[Record]:
    """Everything on a topic now, partition by partition in order."""
    name = kafka.topic(settings.kafka, source, kind)
    consumer = Consumer(
        kafka.client_config(
            settings.kafka, group_id="nobody", enable_auto_commit=False, enable_partition_eof=True, auto_offset_reset="earliest"
        )
    )
    try:
        partitions = [TopicPartition(name, number, 0) for number in consumer.list_topics(name, timeout=10).topics[name].partitions]
        ends = {at.partition: end for at in partitions if (end := end_of(consumer, at))}
        reading = set(ends)
        missing = sum(ends.values()) + len(ends)
        """Records, and ends of partitions; fewer where the topic is compacted."""
        consumer.assign([at for at in partitions if at.partition in reading])
        records: list[Record] = []
        deadline = time.monotonic() + 20
        while reading:
            assert time.monotonic() < deadline, f"{name} was not read to its end: {len(records)} records"
            messages = consumer.consume(min(10_000, max(1, missing)), timeout=0.2)
            missing -= len(messages)
            for message in messages:
                if message.error() is not None:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    reading.discard(message.partition())
                    continue
                records.append(Record(message.key(), message.value(), message.headers() or [], message.partition(), message.offset()))
                if message.offset() + 1 >= ends[message.partition()]:  # where records keep coming, its end is not told
                    reading.discard(message.partition())
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


def end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """The end of a partition. One of a topic that has just been created has no leader for a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return int(consumer.get_watermark_offsets(partition, timeout=5)[1])
        except KafkaException as failure:
            if failure.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def eventually(condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)


def get(address: str, path: str) -> tuple[int, str]:
    """Status and body of a page."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"
