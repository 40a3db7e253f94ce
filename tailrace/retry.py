"""Dead letters sent again through the stage that failed, and the verdicts that follow them.

| stage | what is sent again | where |
|---|---|---|
| parse | the raw record, with its key, partition and time, so that the same events with the same ids result | `<source>.raw` |
| sessionize | the record as it was | `<source>.events` |
| sink, an event | the event as it was before it had a session | `<source>.events` |
| sink, a patch, a document of a session or view | nothing: it says what was true then, and a newer one may stand | |
| ship | nothing: Kafka never held the whole record | |

An event that the sink could not write may belong to another session by now, and the patches that said so found no document. Only
sessionize knows: it sends a known event on with the session that it has now, so however often a letter is retried, it undoes no patch.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from tailrace import kafka
from tailrace.dead import Handled, Verdict
from tailrace.errors import TailraceError, Unreachable
from tailrace.letters import Letter, Position
from tailrace.settings import Kafka, Settings
from tailrace.sources import load_source

if TYPE_CHECKING:
    from schemas.envelope import EventEnvelope

ANSWER_S = 20.0
FAR = 5_000
"""Records between two that are wanted beyond which it is quicker to seek than to read on."""


class Again(NamedTuple):
    """A record that is sent again."""

    letter: Letter
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int
    """-1: by the key."""
    time_ms: int


class Plan(NamedTuple):
    """What a retry will do, decided before anything is sent."""

    again: list[Again]
    outdated: list[tuple[Letter, int]]
    """Of the sink: patches and documents of sessions and views, with their times (ms)."""
    from_letters: list[Letter]
    """Of parse, whose raw record Kafka has deleted: the letter's own payload is the record."""
    lost: list[Letter]
    """Their record is deleted, and the letter does not hold it."""
    never_held: list[Letter]
    """Of ship."""


def plan(settings: Settings, letters: Iterable[Letter]) -> Plan:
    """Find the records that failed. Raises Unreachable where Kafka does not answer."""
    made = Plan([], [], [], [], [])
    wanted: dict[Position, Letter] = {}
    for letter in letters:
        failed = letter.letter
        if failed.stage == "ship" or not failed.topic:
            made.never_held.append(letter)
        else:
            wanted[failed.topic, failed.partition, failed.offset] = letter
    found = originals(settings.kafka, wanted)
    of_sink = {letter.source for letter in wanted.values() if letter.letter.stage == "sink"}
    session_fields = {name: load_source(settings, name).session_properties.keys() for name in of_sink}
    for position in sorted(wanted):
        letter = wanted[position]
        if position in found and letter.letter.stage == "sink":
            _plan_of_sink(settings.kafka, letter, found[position], session_fields[letter.source], made)
        elif position in found:
            made.again.append(_as_it_was(letter, found[position]))
        elif letter.letter.stage == "parse":
            made.from_letters.append(letter)
        else:
            made.lost.append(letter)
    return made


def _as_it_was(letter: Letter, message: Message) -> Again:
    return Again(letter, message.topic(), message.key(), message.value(), message.partition(), message.timestamp()[1])


def _plan_of_sink(settings: Kafka, letter: Letter, message: Message, session_fields: Collection[str], made: Plan) -> None:
    """What to do about a record that the sink could not write."""
    from schemas.envelope import EventEnvelope, Patch, Summary, decode  # a host without the extras can still list letters

    again = _as_it_was(letter, message)
    try:
        envelope = decode(message.value() or b"")
    except ValueError:  # a newer sink may understand it
        made.again.append(again)
        return
    if isinstance(envelope, Patch | Summary):
        made.outdated.append((letter, envelope.time))
    elif isinstance(envelope, EventEnvelope):
        topic = kafka.topic(settings, letter.source, "events")
        made.again.append(again._replace(topic=topic, value=before_session(envelope, session_fields), partition=-1))
    else:
        made.again.append(again)


def before_session(envelope: "EventEnvelope", session_fields: Collection[str]) -> bytes:
    """An event as parse made it: without its session, and without the fields of the document that came of that."""
    from schemas.envelope import encode_event

    try:
        fields = msgspec.json.decode(envelope.document, type=dict[str, msgspec.Raw])
        document = msgspec.json.encode({name: value for name, value in fields.items() if name not in session_fields})
    except msgspec.DecodeError:  # no JSON object, which may be why it failed
        document = envelope.document
    return encode_event(envelope._replace(session=None, late=False, document=document))


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
    for again in made.again:
        producer.produce(again.topic, again.key, again.value, again.partition, timestamp=again.time_ms)
        tell()
    for letter in made.from_letters:
        failed = letter.letter
        producer.produce(failed.topic, failed.key, failed.payload, failed.partition, timestamp=letter.time_ms)
        tell()
    producer.confirm()
    judge(settings, [*(again.letter for again in made.again), *made.from_letters], "retried")


def judge(settings: Kafka, letters: Iterable[Letter], verdict: Verdict) -> None:
    """Let a verdict follow each letter."""
    producer = _Sender(settings)
    for letter in letters:
        producer.produce(letter.topic, letter.letter.key, b"", letter.partition, headers=Handled(letter.id, verdict).headers())
    producer.confirm()


class _Sender:
    """A producer that says what Kafka did not take."""

    def __init__(self, settings: Kafka) -> None:
        self._producer = Producer(kafka.producer_config(settings, partitioner="murmur2_random"))  # as that of the streams
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
