"""`tailrace stream parse`: raw records to enriched events, one agent per source. It keeps no state that matters.

<source>.raw ──▶ <source>.events, keyed by client
            └──▶ <source>.dead
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import orjson
from confluent_kafka import TopicPartition
from faust.types import EventT

from schemas.envelope import event_bytes
from schemas.event import Dead, Event, Usual
from schemas.localtime import LocalClock, UnknownPast
from schemas.place import Place, cut_key, origin, place_of, split_key
from schemas.source import ReadUsual, Source
from streams.actions import following
from streams.app import batches, make_app
from streams.enrich import Enricher
from streams.lookback import Clocks, Wind, winder
from streams.outbox import Output, by_topic
from streams.records import Record
from streams.worker import Worker
from tailrace import dead_share, kafka
from tailrace.dead import DeadLetter
from tailrace.settings import Settings, hash_key

DAY_MS = 86_400_000
LONGEST_ID = 512
"""Bytes of an `_id` that Elasticsearch takes."""
LONGEST_CLIENT = 1_024
"""Bytes of a client: it is the key of every record of the client."""
SHORT = 128
"""Characters of an id, and bytes of a client, that need no closer look."""


class Refusal(Exception):
    """An event that cannot go on: reason and message of its dead letter."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _File(NamedTuple):
    """What the records of one file in a batch have in common."""

    place: Place
    origin: int
    clock: LocalClock | None
    read_usual: ReadUsual | None


class Parser:
    """Turns the raw records of one source into outputs.

    `enrich` and `endings` are those of `streams.enrich.Enricher`. Where there are no endings, all records go through `source.parse`.
    """

    def __init__(
        self,
        source: Source,
        events_topic: str,
        dead_topic: str,
        enrich: Callable[[Event], Event],
        endings: Callable[[], Callable[[Usual], bytes] | None] = lambda: None,
    ) -> None:
        self._source = source
        self._events_topic = events_topic
        self._dead_topic = dead_topic
        self._enrich = enrich
        self._endings = endings
        self._ending = endings()
        self._earliest_ms = source.earliest_ms
        self._version_field = source.version_field
        self.clocks = Clocks(source.local_timezone) if source.local_timezone else None

    def run(self, records: Sequence[Record], start: int, outputs: list[Output]) -> int | None:
        """Append what comes of `records[start:]` to `outputs`, and return None.

        Returns the index of a record whose file's clock must be wound first (`streams.lookback`); go on from there then.
        """
        parse, self._ending = self._source.parse, self._endings()
        files: dict[bytes, _File] = {}
        for index, record in enumerate(records[start:], start):
            value = record.value or b""
            try:
                prefix, offset = cut_key(record.key or b"")
                file = files.get(prefix)
                if file is None:
                    file = files[prefix] = self._file(record.partition, prefix)
            except ValueError as error:
                dead = Dead("foreign_key", f"the key names no place in a file: {error}", value, 0)
                outputs.append(self._dead(record, record.key or b"", dead))
                continue
            try:
                usual = None if file.read_usual is None else file.read_usual(value, offset)
                if usual is not None:
                    outputs.append(self._event(record, usual, file, offset))
                    continue
                parsed = parse(value, file.place, offset, file.clock)
            except UnknownPast:
                return index
            except Exception as error:
                parsed = [_defect(error, value, offset)]
            for item in parsed:
                if isinstance(item, Event):
                    outputs.append(self._event(record, item, file, offset))
                else:
                    outputs.append(self._buried(record, item))
        return None

    def _file(self, partition: int, prefix: bytes) -> _File:
        place = place_of(prefix)
        clock = None if self.clocks is None else self.clocks.of((partition, place.file))
        usual = self._source.usual if self._ending is not None else None
        return _File(place, origin(place.file), clock, None if usual is None else usual(place, clock))

    def _event(self, record: Record, event: Event | Usual, file: _File, offset: int) -> Output:
        """An event for its topic. Whatever goes wrong with it makes a dead letter of its record: neighbours are unaffected."""
        try:
            time = event.time
            if time is not None and not self._earliest_ms <= time <= record.timestamp + DAY_MS:
                self._check_time(time, record.timestamp)
            if isinstance(event, Usual):
                assert self._ending is not None  # `_file` sees to it
                document = event.opening + self._ending(event)
                version = event.version
            else:
                event = self._enrich(event)
                document = orjson.dumps(event.document)
                version = event.document.get(self._version_field) if self._version_field else None
            identity, client = event.id, event.client
            key = (identity if client is None else client).encode()
            if len(key) > SHORT or len(identity) > SHORT:
                _check_length(identity, client)
            value = event_bytes(identity, time, client, event.kind, document, version, file.origin)
            if len(value) > kafka.LONGEST_VALUE:
                raise Refusal("too_large", f"the event takes {len(value):,} bytes, more than a record can hold")
        except Refusal as refusal:
            return self._buried(record, Dead(refusal.reason, str(refusal), record.value or b"", offset))
        except Exception as error:
            return self._buried(record, _defect(error, record.value or b"", offset))
        return Output(self._events_topic, key, value)

    def _check_time(self, time: int, received: int) -> None:
        if time < self._earliest_ms:
            raise Refusal("implausible_time", f"stamped earlier than {self._source.settings.earliest}")
        if received >= 0:
            raise Refusal("implausible_time", "stamped more than a day later than Kafka received it")

    def _buried(self, record: Record, dead: Dead) -> Output:
        """The dead letter of a part of a record, under the place of that part."""
        return self._dead(record, b"%b@%d" % ((record.key or b"").rpartition(b"@")[0], dead.offset), dead)

    def _dead(self, record: Record, key: bytes, dead: Dead) -> Output:
        key = key[: kafka.LONGEST_KEY]
        letter = DeadLetter(
            key, dead.payload[: kafka.LONGEST_VALUE], "parse", dead.reason, dead.message, record.topic, record.partition, record.offset
        )
        return Output(self._dead_topic, key, letter.payload, headers=letter.headers())


def _check_length(identity: str, client: str | None) -> None:
    if len(identity.encode()) > LONGEST_ID:
        raise Refusal("id_too_long", f"an id of more than {LONGEST_ID} bytes")
    if client is not None and len(client.encode()) > LONGEST_CLIENT:
        raise Refusal("client_too_long", f"a client of more than {LONGEST_CLIENT} bytes")


def _defect(error: Exception, value: bytes, offset: int) -> Dead:
    return Dead("exception", f"{type(error).__name__}: {error}"[:1000], value, offset)


class ParseAgent:
    """Gives batches to a parser, winds clocks, sends what comes of it."""

    def __init__(self, worker: Worker, parser: Parser, wind: Wind | None, share: dead_share.DeadShare) -> None:
        self._worker = worker
        self._parser = parser
        self._wind = wind
        self._share = share
        self._generation = -1

    async def __call__(self, event: EventT) -> None:
        message = event.message
        clocks = self._parser.clocks
        if clocks is not None and message.generation_id != self._generation:
            self._generation = message.generation_id
            clocks.clear()
        records: Sequence[Record] = event.value
        outputs: list[Output] = []
        at = self._parser.run(records, 0, outputs)
        while at is not None and clocks is not None and self._wind is not None:
            record = records[at]
            place, offset = split_key(record.key or b"")
            where = TopicPartition(record.topic, record.partition, record.offset)
            clocks.set((record.partition, place.file), await asyncio.to_thread(self._wind, where, place.file, offset))
            at = self._parser.run(records, at, outputs)
        self._share.count(len(records), _letters(outputs))
        await self._worker.outbox.send(outputs, partial(self._worker.done, event, by_topic(outputs)))


def _letters(outputs: Sequence[Output]) -> Iterator[dead_share.Dead]:
    """Only dead letters have headers."""
    for output in outputs:
        if output.headers is not None:
            yield dead_share.Dead(output.key.rpartition(b"@")[0], dict(output.headers)["reason"].decode())


def build(settings: Settings, sources: Sequence[Source]) -> Worker:
    """The worker of the role parse for these sources.

    Raises ConfigError where a source's lists cannot be used.
    """
    key = hash_key(settings)
    app = make_app(settings, "parse")
    worker = Worker(settings, app)
    for source in sources:
        raw, events = (kafka.topic(settings.kafka, source.name, kind) for kind in ("raw", "events"))
        dead = kafka.dead_topic(settings.kafka, source.name, "parse")
        enricher = Enricher(source, key)
        parser = Parser(following(source), events, dead, enricher.enrich, enricher.endings)
        wind = winder(settings.kafka, source, source.local_timezone) if source.local_timezone else None
        share = dead_share.DeadShare("parse", source.name, settings.max_dead_share)
        worker.agent(batches(app, raw), f"parse-{source.name}", ParseAgent(worker, parser, wind, share))
    return worker
