"""`tailrace stream sessionize`: events to events with their session, one agent and one table per source.

    <source>.events ──▶ <source>.enriched   the event with its session; patches of events sent on before; documents of sessions and views
                   ├──▶ <source>.sessions   the latest summary of each session, a tombstone for one that was merged away
                   ├──▶ <source>.dead
                   └──▶ <app id>-<source>-sessions-changelog

`streams.session_agent` says why nothing is lost when a worker dies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from schemas import notes
from schemas.envelope import OpenEvent, Patch, SessionSummary, Stamp, Summary, encode_patch, encode_session, encode_summary, open_event
from schemas.session import NO_SESSION, session_id
from schemas.source import Source
from schemas.timeformat import EARLIEST_MS, LATEST_MS
from streams import recovery
from streams.app import batches, make_app
from streams.outbox import Output
from streams.records import Record
from streams.session_agent import SessionAgent
from streams.sessions import Client, Session, View
from streams.state import State, Writes
from streams.store import page_key
from streams.table import SessionTable, make_table
from streams.worker import Worker
from tailrace import kafka
from tailrace.dead import DeadLetter
from tailrace.settings import Settings


class Topics(NamedTuple):
    enriched: str
    sessions: str
    dead: str


_NONE, _UNUSABLE = Stamp(None), Stamp(NO_SESSION)


class _Visitor:
    """A client of the batch."""

    __slots__ = ("_begin", "_end", "_stamp", "_stamps", "client", "name")

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client = client
        self._stamps: dict[int, Stamp] = {}
        self._stamp = _NONE
        self._begin, self._end = 0, -1

    def stamp(self, event: OpenEvent) -> Stamp:
        """What the session of one of its events adds to it. Asked when all events of the batch are in."""
        time = event.time
        assert time is not None
        if not self._begin <= time <= self._end:  # of another session than the event before
            self._begin, self._end, _, fields = self.client.session_of(time)
            if self._begin not in self._stamps:
                self._stamps[self._begin] = Stamp(session_id(self.name, self._begin), False, fields)
            self._stamp = self._stamps[self._begin]
        return self._stamp


class _Seen(msgspec.Struct, gc=False):
    """An event of the batch, with what decides its session."""

    key: bytes
    event: OpenEvent
    whose: _Visitor | Stamp
    """Its client; what is added to it where that does not depend on the client's other events."""


class Sessionizer:
    """Turns a batch of events into outputs and changes of the table. It does no I/O."""

    def __init__(self, source: Source, topics: Topics) -> None:
        self._source = source
        self._topics = topics
        self._readers = notes.readers(source)

    def run(self, records: Sequence[Record], state: State) -> tuple[list[Output], Writes]:
        """The outputs of a batch in the order in which they must be read, and what to write to the table."""
        outputs: list[Output] = []
        visitors: dict[str, _Visitor] = {}
        seen = [found for record in records if (found := self._see(record, state, visitors, outputs))]
        enriched = self._topics.enriched
        for found in seen:
            event, whose = found.event, found.whose
            stamp = whose if isinstance(whose, Stamp) else whose.stamp(event)
            outputs.append(Output(enriched, found.key, stamp.on(event)))
        writes: Writes = {}
        for visitor in visitors.values():
            self._settle(visitor.name, visitor.client, outputs, writes)
        writes.update(state.end_batch(visitors))
        return outputs, writes

    def _see(self, record: Record, state: State, visitors: dict[str, _Visitor], outputs: list[Output]) -> _Seen | None:
        """Add an event to its client's sessions."""
        key = record.key or b""
        try:
            event = open_event(record.value or b"")
            time = event.time
            if time is not None and not EARLIEST_MS <= time <= LATEST_MS:
                raise ValueError(f"{time} ms since 1970 is no date")
            reader = self._readers.get(event.kind)
            note = reader(event.document) if reader is not None else None
        except Exception as error:  # of a document that is no JSON object, too
            outputs.append(self._dead(record, key, f"{type(error).__name__}: {error}"))
            return None
        name, identity = event.client, event.id
        if not self._source.has_session(event.kind):
            return _Seen(key, event, _NONE)
        if name is None or time is None:
            return _Seen(key, event, _UNUSABLE)
        visitor = visitors.get(name)
        if visitor is None:
            visitor = visitors[name] = _Visitor(name, state.client(name))
        if state.is_late(time) and not visitor.client.covers(time):
            # Its neighbours may be forgotten. It gets a session of its own, for an index that does not have it yet.
            fields = note.text if note is not None and note.gives_fields else None
            return _Seen(key, event, Stamp(session_id(name, time), True, fields))
        visitor.client.add(time, identity, note)
        state.observe(name, time, event.origin)
        return _Seen(key, event, visitor)

    def _settle(self, name: str, client: Client, outputs: list[Output], writes: Writes) -> None:
        changes = client.settle()
        key = name.encode()
        enriched = self._topics.enriched
        for event, time, start, fields in changes.patches:
            outputs.append(Output(enriched, key, encode_patch(Patch(event, time, session_id(name, start), fields))))
        for session in changes.sessions:
            self._session(key, name, session, outputs)
        for start in changes.gone:
            self._gone(key, session_id(name, start), start, outputs)
        for view in changes.views:
            self._view(key, name, view, outputs)
        for page, value in changes.pages.items():
            writes[page_key(key, page)] = value

    def _session(self, key: bytes, name: str, session: Session, outputs: list[Output]) -> None:
        """A session as it is now: for readers of `<source>.sessions`, and as a document."""
        start, end, events, fields = session
        identity = session_id(name, start)
        outputs.append(Output(self._topics.sessions, b"%d" % identity, encode_session(SessionSummary(identity, name, start, end, events))))
        document = notes.session_document(identity, name, start, end, events, fields)
        outputs.append(Output(self._topics.enriched, key, encode_summary(Summary(str(identity), start, "sessions", document))))

    def _gone(self, key: bytes, identity: int, start: int, outputs: list[Output]) -> None:
        outputs.append(Output(self._topics.sessions, b"%d" % identity, None))
        outputs.append(Output(self._topics.enriched, key, encode_summary(Summary(str(identity), start, "sessions", None))))

    def _view(self, key: bytes, name: str, view: View, outputs: list[Output]) -> None:
        assert self._source.views is not None
        document = notes.view_document(self._source.views, name, *view)
        summary = Summary(notes.view_id(name, view.key), notes.view_time(view.key), "views", document)
        outputs.append(Output(self._topics.enriched, key, encode_summary(summary)))

    def _dead(self, record: Record, key: bytes, message: str) -> Output:
        """Cut to what a record can hold: one that Kafka does not take would stop the worker again and again."""
        key, payload = key[: kafka.LONGEST_KEY], (record.value or b"")[: kafka.LONGEST_VALUE]
        letter = DeadLetter(key, payload, "sessionize", "foreign_value", message[:1000], record.topic, record.partition, record.offset)
        return Output(self._topics.dead, key, letter.payload, headers=letter.headers())


def build(settings: Settings, sources: Sequence[Source]) -> Worker:
    """The worker of the role sessionize for these sources. Their topics must exist.

    Raises ConfigError where a changelog does not match its events.
    """
    app = make_app(settings, "sessionize", Table=SessionTable)
    worker = Worker(settings, app)
    admin = kafka.connect(settings.kafka)
    for source in sources:
        events, enriched, sessions = (kafka.topic(settings.kafka, source.name, kind) for kind in ("events", "enriched", "sessions"))
        dead = kafka.dead_topic(settings.kafka, source.name, "sessionize")
        table = make_table(app, settings, admin, source.name)
        worker.at_end.append(table.abandon)
        sessionizer = Sessionizer(source, Topics(enriched, sessions, dead))
        worker.agent(batches(app, events), f"sessionize-{source.name}", SessionAgent(worker, sessionizer.run, table, source))
    recovery.install(app, settings.kafka)
    return worker
