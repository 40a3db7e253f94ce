"""Dead letters sent again through the stage that failed, and the verdicts that follow them.

| stage | what is sent again | where |
|---|---|---|
| parse | the raw record, with its key, partition and time, so that the same events with the same ids result | `<source>.raw` |
| sessionize | the record as it was | `<source>.events` |
| sink | the enriched record or patch | `<source>.enriched` |
| ship | nothing: Kafka never held the whole record | |

An event that the sink sends again is marked late, which for the index means "only if it is not there": however often a letter is
retried, it never undoes what was patched since. An event with a version of its own needs no mark.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from tailrace import kafka
from tailrace.dead import Handled, Verdict
from tailrace.errors import TailraceError, Unreachable
from tailrace.letters import Letter, Position
from tailrace.settings import Kafka

ANSWER_S = 20.0
FAR = 5_000
"""Records between two that are wanted beyond which it is quicker to seek than to read on."""


class Plan(NamedTuple):
    """What a retry will do, decided before anything is sent."""

    again: list[tuple[Letter, Message]]
    from_letters: list[Letter]
    """Of parse, whose raw record Kafka has deleted: the letter's own payload is the record."""
    lost: list[Letter]
    """Their record is deleted, and the letter does not hold it."""
    never_held: list[Letter]
    """Of ship."""


def plan(settings: Kafka, letters: Iterable[Letter]) -> Plan:
    """Find the records that failed. Raises Unreachable where Kafka does not answer."""
    made = Plan([], [], [], [])
    wanted: dict[Position, Letter] = {}
    for letter in letters:
        failed = letter.letter
        if failed.stage == "ship" or not failed.topic:
            made.never_held.append(letter)
        else:
            wanted[failed.topic, failed.partition, failed.offset] = letter
    found = originals(settings, wanted)
    for position in sorted(wanted):
        letter = wanted[position]
        if position in found:
            made.again.append((letter, found[position]))
        elif letter.letter.stage == "parse":
            made.from_letters.append(letter)
        else:
            made.lost.append(letter)
    return made


def originals(settings: Kafka, positions: Iterable[Position]) -> dict[Position, Message]:
    """The records at these positions, those left out that Kafka no longer has."""
    by_partition: dict[tuple[str, int], list[int]] = defaultdict(list)
    for topic, partition, offset in positions:
        by_partition[topic, partition].append(offset)
    consumer = Consumer(kafka.client_config(settings, group_id=kafka.group(settings, "retry"), enable_auto_commit=False))
    with closing(consumer):
        try:
            return {
                (topic, partition, message.offset()): message
                for (topic, partition), offsets in by_partition.items()
                for message in _at(consumer, topic, partition, sorted(offsets))
            }
        except KafkaException as failure:
            raise Unreachable(f"cannot read what failed: {failure.args[0].str()}") from None


def _at(consumer: Consumer, topic: str, partition: int, offsets: list[int]) -> Iterator[Message]:
    if topic not in consumer.list_topics(timeout=ANSWER_S).topics:
        return
    first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
    at = -FAR - 1
    for offset in (offset for offset in offsets if first <= offset < end):
        if offset - at > FAR:
            consumer.assign([TopicPartition(topic, partition, offset)])
        while at < offset:
            messages = consumer.consume(1, timeout=ANSWER_S)
            if not messages:
                raise Unreachable(f"{topic}[{partition}]@{offset} was not given within {ANSWER_S:.0f} s; is the partition's leader up?")
            if messages[0].error() is not None:
                raise KafkaException(messages[0].error())
            at = messages[0].offset()
            if at == offset:
                yield messages[0]


def send(settings: Kafka, made: Plan, tell: Callable[[], None]) -> None:
    """Send everything of a plan again, and when Kafka holds it, the verdicts. `tell` is called for each letter.

    Killed in between, letters are still listed though they were sent: sending them once more changes nothing.
    """
    producer = _Sender(settings)
    for letter, message in made.again:
        value = _only_if_absent(message.value()) if letter.letter.stage == "sink" else message.value()
        producer.produce(message.topic(), message.key(), value, message.partition(), timestamp=message.timestamp()[1])
        tell()
    for letter in made.from_letters:
        failed = letter.letter
        producer.produce(failed.topic, failed.key, failed.payload, failed.partition, timestamp=letter.time_ms)
        tell()
    producer.confirm()
    judge(settings, [*(letter for letter, _ in made.again), *made.from_letters], "retried")


def judge(settings: Kafka, letters: Iterable[Letter], verdict: Verdict) -> None:
    """Let a verdict follow each letter."""
    producer = _Sender(settings)
    for letter in letters:
        producer.produce(letter.topic, letter.letter.key, b"", letter.partition, headers=Handled(letter.id, verdict).headers())
    producer.confirm()


def _only_if_absent(value: bytes | None) -> bytes | None:
    from schemas.envelope import EventEnvelope, decode, encode_event  # a host without the extras can still list letters

    try:
        envelope = decode(value or b"")
    except ValueError:
        return value
    if isinstance(envelope, EventEnvelope) and envelope.version is None:
        return encode_event(envelope._replace(late=True))
    return value


class _Sender:
    """A producer that says what Kafka did not take."""

    def __init__(self, settings: Kafka) -> None:
        self._producer = Producer(kafka.producer_config(settings))
        self._failure: str | None = None

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        timestamp: int = 0,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, self._delivered, timestamp=max(timestamp, 0), headers=headers)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def confirm(self) -> None:
        """Return when Kafka holds everything. Raises TailraceError for what it refuses, Unreachable where it does not answer."""
        if self._producer.flush(ANSWER_S):
            raise Unreachable(f"Kafka did not confirm within {ANSWER_S:.0f} s; run the command again, which changes nothing that is done")
        if self._failure:
            raise TailraceError(f"Kafka did not take a record: {self._failure}")

    def _delivered(self, error: object, message: Message) -> None:
        if error is not None:
            self._failure = f"{message.topic()}: {error}"
