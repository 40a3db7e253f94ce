"""Reading a topic from its beginning, without joining a group and without committing anything."""

import time
from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tailrace import kafka
from tailrace import settings as config
from tailrace.errors import TailraceError, Unreachable

BATCH = 5_000
"""Messages asked for at once: one call for many."""
BATCH_S = 0.2
"""How long a call waits to fill its batch."""
ANSWER_S = 30.0
"""How long a broker may take for an answer before the audit gives up."""

_PASSING = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
"""Errors that go by; librdkafka does not flag them as retriable in every place."""


class TopicReader:
    """Reads on from where it stopped. A topic that does not exist (any more) is empty."""

    def __init__(self, settings: config.Kafka, topic: str) -> None:
        self.topic = topic
        self._consumer = Consumer(
            kafka.client_config(
                settings,
                group_id=kafka.group(settings, "audit"),  # librdkafka wants a name; `assign` makes no use of it
                enable_auto_commit=False,
                enable_partition_eof=True,
                auto_offset_reset="earliest",
            )
        )
        self._next: dict[int, int] = {}
        self.waiting = 0
        """How many records the last call of `records` set out to give, at most."""
        self.deleted = 0
        """How many offsets were below the beginnings of the partitions then: what stood there was deleted."""

    def close(self) -> None:
        self._consumer.close()

    def records(self) -> Iterator[Message]:
        """The records up to the ends that the partitions have now, in order within each partition.

        Raises Unreachable where the broker stops answering, TailraceError where it refuses.
        """
        try:
            ends = self._ends()
            self.waiting = sum(high - max(low, self._next.get(partition, low)) for partition, (low, high) in ends.items())
            yield from self._read(ends)
        except KafkaException as failure:
            error = failure.args[0]
            kind = Unreachable if _passing(error) else TailraceError
            raise kind(f"cannot read {self.topic}: {error.str()}") from None

    def _ends(self) -> dict[int, tuple[int, int]]:
        """The first and the next offset of each partition that has something to read."""
        found = self._consumer.list_topics(timeout=ANSWER_S).topics.get(self.topic)
        marks = {partition: self._marks(partition) for partition in (found.partitions if found else ())}
        self.deleted = sum(low for low, _ in marks.values())
        return {partition: (low, high) for partition, (low, high) in marks.items() if max(low, self._next.get(partition, 0)) < high}

    def _marks(self, partition: int) -> tuple[int, int]:
        """Tried again while a leader is elected."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=ANSWER_S)
                return low, high
            except KafkaException as failure:
                if not _passing(failure.args[0]) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)

    def _read(self, ends: dict[int, tuple[int, int]]) -> Iterator[Message]:
        self._consumer.assign([TopicPartition(self.topic, partition, self._next.get(partition, OFFSET_BEGINNING)) for partition in ends])
        heard = time.monotonic()
        while ends:
            batch = self._consumer.consume(BATCH, timeout=BATCH_S)
            if batch:
                heard = time.monotonic()
            elif time.monotonic() > heard + ANSWER_S:
                raise Unreachable(f"{self.topic}: partitions {sorted(ends)} gave no record within {ANSWER_S:.0f} s; is their leader up?")
            for message in batch:
                partition, offset, error = message.partition(), message.offset(), message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if partition not in ends or (error is None and offset >= ends[partition][1]):
                    ends.pop(partition, None)  # written since: left for the next time
                    continue
                if error is None:
                    self._next[partition] = offset + 1
                    yield message
                if error is not None or offset + 1 >= ends[partition][1]:
                    self._consumer.pause([TopicPartition(self.topic, partition)])
                    del ends[partition]


def _passing(error: KafkaError) -> bool:
    return bool(error.retriable()) or error.code() in _PASSING
