"""Local clocks of files, and how a worker that starts in the middle of a file learns what it must have seen.

02:30 of the night in October that is one hour longer means two things, and only earlier lines of the file say which
(`schemas.localtime`). A worker that has not seen them, after a restart, a rebalance or a replay, reads the file's partition
of the raw topic backwards, in growing steps, so that the answer is the same as if it had never stopped.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.localtime import LocalClock, UnknownPast
from schemas.place import split_key
from schemas.source import Source
from tailrace import kafka
from tailrace.errors import TailraceError
from tailrace.settings import Kafka

log = logging.getLogger("tailrace.stream")

CLOCKS = 10_000
"""Files whose clocks are kept, the least recently used given up; some 300 bytes each."""
FIRST_STEP = 1_000
"""Records of the first step back; each further step is four times as long."""
TIMEOUT_S = 30.0
"""Without a record or an end from Kafka the look back fails, and the worker with it."""
WAIT_S = 0.1
"""`consume` waits so long for the rest of as many records as it was asked for."""
LONG_AGO = "2000-01-01-00:00:00"

Earlier = Iterator[list[tuple[int, bytes]]]
"""Steps back: of each the file's records as (offset in the file, bytes), in the order of the topic."""

Clock = tuple[int, str]
"""Partition of the raw topic and file id."""


class Clocks:
    """The clocks of the files of one source."""

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._clocks: OrderedDict[Clock, LocalClock] = OrderedDict()

    def of(self, at: Clock) -> LocalClock:
        clock = self._clocks.get(at)
        if clock is None:
            clock = self._clocks[at] = LocalClock(self._zone)
            if len(self._clocks) > CLOCKS:
                self._clocks.popitem(last=False)
        else:
            self._clocks.move_to_end(at)
        return clock

    def set(self, at: Clock, clock: LocalClock) -> None:
        self._clocks[at] = clock

    def clear(self) -> None:
        """After a rebalance another worker may have read on, so every file begins anew."""
        self._clocks.clear()


def wind(source: Source, zone: str, file: str, steps: Earlier) -> LocalClock:
    """A clock that knows a file's past: fed with the earlier records of `steps`, as few steps as that takes.

    Where Kafka does not hold enough of it, the first record that it does hold counts as of the hour's first pass.
    """
    records: list[tuple[int, bytes]] = []
    for step in steps:
        records = step + records
        if not records:
            continue
        try:
            return _feed(source, LocalClock(zone), records)
        except UnknownPast:
            continue
    log.warning("%s: Kafka holds no line of file %s from before the repeated hour; its first pass is assumed", source.name, file)
    clock = LocalClock(zone)
    clock.resolve(LONG_AGO, 0)
    return _feed(source, clock, records)


def _feed(source: Source, clock: LocalClock, records: list[tuple[int, bytes]]) -> LocalClock:
    place, _ = split_key(b'{"file":"","host":"","path":""}@0')
    for offset, value in records:
        source.parse(value, place, offset, clock)
    return clock


def earlier(settings: Kafka, at: TopicPartition, file: str, before: int) -> Earlier:
    """The file's records in front of `at.offset` whose offset in the file is less than `before`, step by step backwards.

    Raises TailraceError where Kafka does not answer.
    """
    consumer = Consumer(
        kafka.client_config(
            settings,
            group_id=kafka.group(settings, "parse"),  # librdkafka looks for its coordinator, so it must be allowed; it is never joined
            enable_auto_commit=False,
            enable_partition_eof=False,
            auto_offset_reset="error",
        )
    )
    try:
        first, _ = consumer.get_watermark_offsets(TopicPartition(at.topic, at.partition), timeout=TIMEOUT_S)
        end, step = at.offset, FIRST_STEP
        while end > first:
            start = max(first, end - step)
            yield list(_of_file(_read(consumer, at, start, end), file, before))
            end, step = start, step * 4
    except KafkaException as error:
        raise TailraceError(f"cannot look back in {at.topic} [{at.partition}]: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _of_file(messages: Iterator[Message], file: str, before: int) -> Iterator[tuple[int, bytes]]:
    for message in messages:
        try:
            place, offset = split_key(message.key() or b"")
        except ValueError:
            continue
        if place.file == file and offset < before:
            yield offset, message.value() or b""


def _read(consumer: Consumer, at: TopicPartition, start: int, end: int) -> Iterator[Message]:
    """The records of offsets [start, end) of a partition."""
    consumer.assign([TopicPartition(at.topic, at.partition, start)])
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        messages = consumer.consume(1_000, timeout=WAIT_S)
        if messages:
            deadline = time.monotonic() + TIMEOUT_S
        elif time.monotonic() >= deadline:
            raise TailraceError(f"cannot look back in {at.topic} [{at.partition}]: nothing came within {TIMEOUT_S:.0f} s")
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            if message.offset() < end:
                yield message
            if message.offset() >= end - 1:
                return


Wind = Callable[[TopicPartition, str, int], LocalClock]
"""wind(at, file, before): a clock for the file's record at `before`, which stands at `at` in the raw topic."""


def winder(settings: Kafka, source: Source, zone: str) -> Wind:
    def wound(at: TopicPartition, file: str, before: int) -> LocalClock:
        return wind(source, zone, file, earlier(settings, at, file, before))

    return wound
