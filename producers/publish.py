"""Records to Kafka, and what became of them.

A batch is what one read of a file gave. It is acknowledged when each of its records is on the topic or in a dead letter;
a file is acknowledged up to its first batch that is not. Nothing expires: an outage only fills the bounded queue, and a
full queue makes `send` wait, which stops the reading.
"""

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from producers.reader import DEAD_BYTES, UNSIGNED, Records, TooLarge, Torn
from schemas.place import Place, key
from tailrace.dead import DeadLetter
from tailrace.errors import Refused, TailraceError
from tailrace.kafka import producer_config, topic
from tailrace.settings import Kafka

log = logging.getLogger("tailrace.ship")

QUEUE_RECORDS = 100_000
"""Records waiting for the broker: a tenth of a second's reading more than keeps a broker busy, about 60 MB of 170-byte lines in all."""

QUEUE_KBYTES = 64 * 1024
"""The same in KiB, which bounds memory where records are large."""

PROPAGATION_S = 10.0
"""A topic that was just created is unknown to some brokers for a moment."""

_AT_FAULT = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_RECORD}
"""Refusals of a record, or of one in its batch, that no repetition mends; its neighbours can go on."""

_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
}
_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class Stopped(Exception):
    """Asked to stop while waiting for room in the queue."""


class Batch:
    """Records of a file that are acknowledged together."""

    __slots__ = ("_refused", "count", "end", "ending", "left")

    def __init__(self, end: int, count: int, refused: "Callable[[Batch, KafkaError, Any], None]") -> None:
        self.end = end
        """Where the file's checkpoint may move when all is delivered."""
        self.ending = UNSIGNED
        """Of the last bytes before `end`, where they are known."""
        self.count = count
        self.left = count
        self._refused = refused

    def delivered(self, error: KafkaError | None, message: Any) -> None:
        """Delivery report of one record: called a few hundred thousand times a second."""
        if error is None:
            self.left -= 1
        else:
            self._refused(self, error, message)


class Publisher:
    """One Kafka producer for all files. Only the thread that calls `poll` sees delivery reports."""

    def __init__(self, kafka: Kafka, stopping: Callable[[], bool], **overrides: Any) -> None:
        """`overrides` are librdkafka's own settings, for tests."""
        self._kafka = kafka
        self._stopping = stopping
        self._failure: TailraceError | None = None
        self._suspects: list[tuple[Any, Batch]] = []
        self._partitions: dict[str, int] = {}
        self.dead_letters = 0
        """Sent since the start."""
        self.errors = 0
        """Reported by the client since the start; lost connections mostly."""
        conf = producer_config(
            kafka,
            queue_buffering_max_messages=QUEUE_RECORDS,
            queue_buffering_max_kbytes=QUEUE_KBYTES,
            error_cb=self._on_error,
        )
        self._producer = Producer({**conf, **overrides})

    @property
    def queued(self) -> int:
        """Records, heartbeats included, that are not delivered yet."""
        return len(self._producer)

    def partitions(self, source: str) -> int:
        """Of the source's raw topic, asked once, for as long as Kafka is away.

        Raises Refused or TailraceError where there is no such topic, Stopped where a stop was asked for meanwhile.
        """
        name = topic(self._kafka, source, "raw")
        deadline = time.monotonic() + PROPAGATION_S
        while name not in self._partitions:
            try:
                found = self._producer.list_topics(name, timeout=3).topics[name]
            except KafkaException:
                deadline = time.monotonic() + PROPAGATION_S
            else:
                if found.error is None:
                    self._partitions[name] = len(found.partitions)
                elif found.error.code() not in _GONE or time.monotonic() > deadline:
                    raise self._error(found.error, name)
            if self._stopping():
                raise Stopped
            self._serve(0 if name in self._partitions else 0.1)
        return self._partitions[name]

    def send(self, source: str, partition: int, prefix: bytes, records: Records) -> Batch:
        """Hand records to the client. Raises Stopped where it has no room and a stop was asked for, and `check`'s errors."""
        base, buffer, ends = records
        batch = Batch(base + ends[-1], len(ends), self._refused)
        name = topic(self._kafka, source, "raw")
        produce, delivered = self._producer.produce, batch.delivered
        begin = 0
        for end in ends:  # the hot loop: 1.5 us a record, nearly all of it in librdkafka
            try:
                produce(name, buffer[begin : end - 1], prefix + b"%d" % (base + begin), partition, delivered)
            except BufferError:
                self._produce_when_room(name, buffer[begin : end - 1], prefix + b"%d" % (base + begin), partition, delivered)
            except KafkaException as failure:
                raise self._unsendable(failure, name) from None
            begin = end
        return batch

    def send_pairs(self, source: str, partition: int, pairs: Iterable[tuple[bytes, bytes]], end: int) -> Batch:
        """Records of no file, as keys and values. As `send`."""
        pairs = list(pairs)
        batch = Batch(end, len(pairs), self._refused)
        name = topic(self._kafka, source, "raw")
        for raw_key, value in pairs:
            self._produce_when_room(name, value, raw_key, partition, batch.delivered)
        return batch

    def send_torn(self, source: str, partition: int, place: Place, torn: Torn) -> Batch:
        """The unterminated end of a file. Its acknowledgement leaves the checkpoint before it."""
        batch = Batch(torn.begin, 1, self._refused)
        name = topic(self._kafka, source, "raw")
        raw_key = key(msgspec.structs.replace(place, torn=True), torn.begin)
        self._produce_when_room(name, torn.value, raw_key, partition, batch.delivered)
        return batch

    def send_too_large(self, source: str, prefix: bytes, part: TooLarge) -> Batch:
        """A dead letter with the beginning of a record that no topic takes."""
        batch = Batch(part.end, 1, self._refused)
        length = f"{part.end - part.begin:,} bytes long" if part.end > part.begin else "unterminated and already too long"
        message = f"the record is {length}; its first {len(part.head):,} bytes are kept here"
        letter = DeadLetter(prefix + b"%d" % part.begin, part.head, "ship", "record_too_large", message, "", -1, -1, part.end - part.begin)
        log.warning("record too large at %s: %s", letter.key.decode(errors="replace"), message)
        self._send_dead(topic(self._kafka, source, "dead"), letter, batch)
        return batch

    def send_heartbeats(self, source: str, heartbeats: Iterable[tuple[bytes, bytes]]) -> bool:
        """Keys and values. False where the queue has no room for the rest of them, which is not taken from the iterable."""
        name = topic(self._kafka, source, "files")
        try:
            for raw_key, value in heartbeats:
                self._producer.produce(name, value, raw_key)
        except BufferError:
            log.debug("no room for heartbeats")
            return False
        except KafkaException as failure:
            raise self._unsendable(failure, name) from None
        return True

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports, waiting up to `timeout_s` for one. Raises what `check` raises."""
        self._serve(timeout_s)
        while self._suspects and not self._stopping():
            self._send_alone(*self._suspects.pop(0))
        self.check()

    def check(self) -> None:
        """Raise the error that ended delivery, if one did."""
        if self._failure is not None:
            raise self._failure

    def flush(self, timeout_s: float) -> int:
        """Wait for the delivery of all that was sent; how many are not delivered after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with suppress(Stopped):
            while len(self._producer) and time.monotonic() < deadline:
                self._serve(0.2, self._producer.flush)
                self.poll(0)
        return len(self._producer)

    def close(self) -> None:
        """Drop what was not delivered; it is not acknowledged, so it will be sent again."""
        self._producer.purge()
        with suppress(KafkaException, SystemError):  # how the client answers after an error that it cannot recover from
            self._producer.flush(5)

    def _serve(self, timeout_s: float, wait: Callable[[float], object] | None = None) -> None:
        """Serve delivery reports. Raises the error that ended delivery; the client raises those itself that it cannot recover from."""
        try:
            (wait or self._producer.poll)(timeout_s)
        except KafkaException as failure:
            self._failure = self._failure or self._error(failure.args[0], "")
        self.check()

    def _unsendable(self, failure: KafkaException, name: str) -> TailraceError:
        """Why a record could not be given to the client."""
        error = failure.args[0]
        if error.code() == KafkaError._FATAL:  # what it was is told by the next report
            self._serve(1.0)
        return self._error(error, name)

    def _produce_when_room(self, name: str, value: bytes, raw_key: bytes, partition: int, delivered: Any, **more: Any) -> None:
        while True:
            try:
                return self._producer.produce(name, value, raw_key, partition, delivered, **more)  # type: ignore[no-any-return]
            except BufferError:
                self._serve(0.1)
                if self._stopping():
                    raise Stopped from None
            except KafkaException as failure:
                raise self._unsendable(failure, name) from None

    def _send_dead(self, name: str, letter: DeadLetter, batch: Batch) -> None:
        def delivered(error: KafkaError | None, message: Any) -> None:
            if error is None:
                batch.left -= 1
            elif self._failure is None:
                self._failure = self._error(error, name)

        self.dead_letters += 1
        self._produce_when_room(name, letter.payload, letter.key, -1, delivered, headers=letter.headers())

    def _send_alone(self, message: Any, batch: Batch) -> None:
        """Try a refused record again by itself: the broker refuses whole batches, and only one of a batch need be at fault."""

        def delivered(error: KafkaError | None, again: Any) -> None:
            if error is not None and error.code() in _AT_FAULT:
                refusals.append(error)
            else:
                batch.delivered(error, again)

        refusals: list[KafkaError] = []
        self._drain()
        self._produce_when_room(message.topic(), message.value(), message.key(), message.partition(), delivered)
        self._drain()
        for error in refusals:
            log.warning("record refused at %s: %s", message.key().decode(errors="replace"), error.str())
            text = f"the broker refused it: {error.str()}; at most its first {DEAD_BYTES:,} bytes are kept here"
            value, whole = message.value()[:DEAD_BYTES], len(message.value()) + 1
            length = whole if whole > DEAD_BYTES else 0
            letter = DeadLetter(message.key(), value, "ship", "record_refused", text, message.topic(), -1, -1, length)
            self._send_dead(message.topic().removesuffix("raw") + "dead", letter, batch)

    def _drain(self) -> None:
        while len(self._producer):
            self._serve(0.2, self._producer.flush)
            if self._stopping():
                raise Stopped

    def _refused(self, batch: Batch, error: KafkaError, message: Any) -> None:
        """A record was not taken: it is looked into by `poll` if it may be at fault itself, else delivery ends. Called inside poll."""
        if error.code() in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return
        if error.code() in _AT_FAULT:
            self._suspects.append((message, batch))
        elif self._failure is None:
            self._failure = self._error(error, message.topic())

    def _on_error(self, error: KafkaError) -> None:
        self.errors += 1
        if error.fatal() or error.code() in _FORBIDDEN:
            self._failure = self._failure or self._error(error, "")

    def _error(self, error: KafkaError, name: str) -> TailraceError:
        where = f"topic {name} of Kafka" if name else "Kafka"
        where = f"{where} at {self._kafka.bootstrap_servers}"
        if error.code() in _FORBIDDEN:
            return Refused(
                f"{where} refused: {error.str()}; ask for write access, or check the user and password. Nothing unsent is acknowledged"
            )
        if error.code() in _GONE:
            return TailraceError(f"{where} does not exist any more; start again to create it. Nothing unsent is acknowledged")
        return TailraceError(f"{where} cannot be written: {error.str()}. Nothing unsent is acknowledged; start again")
