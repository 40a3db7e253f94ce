"""Where a model of the files looks up what became of their lines: a list that acknowledges in any order, or a real topic."""

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from producers.publish import Batch, Publisher
from producers.reader import Records, TooLarge, Torn
from schemas.place import Place
from tailrace import kafka
from tailrace.settings import Kafka


class Topic:
    """Stands for `Publisher`. What is sent is acknowledged when the test says so, and in the order that it says."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes, Batch]] = []
        """Keys and values of this run's records, and of what earlier runs delivered."""
        self.batches: list[Batch] = []
        """Of this run."""

    @property
    def records(self) -> list[tuple[bytes, bytes]]:
        return [(key, value) for key, value, _ in self.sent]

    def delivered(self) -> list[tuple[bytes, bytes]]:
        """What stays, whatever happens to the producer; a record that was sent twice stands there twice."""
        return [(key, value) for key, value, batch in self.sent if batch.left == 0]

    def partitions(self, _: str) -> int:
        return 1

    def send(self, source: str, partition: int, prefix: bytes, records: Records) -> Batch:
        base, buffer, ends = records
        pairs = [(prefix + b"%d" % (base + begin), buffer[begin : end - 1]) for begin, end in zip([0, *ends], ends, strict=False)]
        return self._note(pairs, Batch(base + ends[-1], len(ends), lambda *_: None))

    def send_torn(self, source: str, partition: int, place: Place, torn: Torn) -> Batch:
        return Batch(torn.begin, 0, lambda *_: None)

    def send_too_large(self, source: str, prefix: bytes, part: TooLarge) -> Batch:
        raise AssertionError("no record here is too large")

    def deliver(self, which: Iterable[int]) -> None:
        """Batches, by their numbers."""
        for number in which:
            if number < len(self.batches):
                self.batches[number].left = 0

    def deliver_all(self) -> None:
        self.deliver(range(len(self.batches)))

    def lose(self) -> None:
        """The producer is killed, and what is on its way is gone."""
        self.sent = [record for record in self.sent if record[2].left == 0]
        self.batches = []

    def close(self) -> None:
        pass

    def _note(self, pairs: list[tuple[bytes, bytes]], batch: Batch) -> Batch:
        self.sent += [(key, value, batch) for key, value in pairs]
        self.batches.append(batch)
        return batch


class KafkaTopic(Topic):
    """The producers' own Publisher and the topic of one partition that it writes to, from its present end on.

    Nothing leaves the client before `deliver`, so that the test knows what a kill loses.
    """

    def __init__(self, settings: Kafka, source: str) -> None:
        super().__init__()
        self._settings = settings
        self._publisher = self._connect()
        self._found: list[tuple[bytes, bytes]] = []
        self._moved = False
        """Something was sent since `_found` was complete."""
        self._ends = self._consumer()  # apart, since questions wait behind a consumer's fetches
        self._records = self._consumer()
        self._at = TopicPartition(kafka.topic(settings, source, "raw"), 0)
        self._at.offset = self._end()
        self._records.assign([self._at])

    def _connect(self) -> Publisher:
        return Publisher(self._settings, lambda: False, **{"linger.ms": 60_000})

    def _consumer(self) -> Consumer:
        return Consumer(kafka.client_config(self._settings, group_id="nobody", enable_auto_commit=False, fetch_wait_max_ms=10))

    def _end(self) -> int:
        return int(self._ends.get_watermark_offsets(self._at, timeout=10)[1])

    def delivered(self) -> list[tuple[bytes, bytes]]:
        missing = self._end() - self._at.offset - len(self._found) if self._moved else 0
        self._moved = False
        while missing > 0:
            messages = self._records.consume(missing, timeout=10)
            assert messages, f"{missing} records are on the topic and cannot be read"
            self._found += [(message.key(), message.value() or b"") for message in messages]
            missing -= len(messages)
        return self._found

    def partitions(self, source: str) -> int:
        return self._publisher.partitions(source)

    def send(self, source: str, partition: int, prefix: bytes, records: Records) -> Batch:
        base, buffer, ends = records
        pairs = [(prefix + b"%d" % (base + begin), buffer[begin : end - 1]) for begin, end in zip([0, *ends], ends, strict=False)]
        return self._note(pairs, self._publisher.send(source, partition, prefix, records))

    def send_torn(self, source: str, partition: int, place: Place, torn: Torn) -> Batch:
        return self._publisher.send_torn(source, partition, place, torn)

    def deliver(self, which: Iterable[int]) -> None:
        """All of them: a broker answers in the order of the partition."""
        self._moved = True
        left = self._publisher.flush(20)
        assert left == 0

    def lose(self) -> None:
        self._publisher.close()
        super().lose()
        self._publisher = self._connect()

    def close(self) -> None:
        self._publisher.close()
        for consumer in (self._ends, self._records):
            consumer.close()
