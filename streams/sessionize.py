"""`tailrace stream sessionize`: events to events with their session, one agent and one table per source.

    <source>.events ──▶ <source>.enriched   the event with its session; patches of events sent on before
                   ├──▶ <source>.sessions   the latest summary of each session, a tombstone for one that was merged away
                   ├──▶ <source>.dead
                   └──▶ <app id>-<source>-sessions-changelog

`streams.session_agent` says why nothing is lost when a worker dies.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import ConsumerRecord

from schemas.envelope import OpenEvent, Patch, SessionSummary, encode_patch, encode_session, open_event
from schemas.source import Source
from streams import recovery
from streams.app import batches, make_app
from streams.outbox import Output
from streams.session_agent import SessionAgent
from streams.sessions import Client, session_id
from streams.state import State, Writes
from streams.store import page_key
from streams.table import SessionTable, make_table
from streams.worker import Worker
from tailrace import kafka
from tailrace.dead import DeadLetter
from tailrace.settings import Settings

NO_SESSION = -1
"""Of an event that would have a session if it had a usable client and time."""


class Topics(NamedTuple):
    enriched: str
    sessions: str
    dead: str


class _Seen(NamedTuple):
    """An event of the batch, with what decides its session."""

    key: bytes
    event: OpenEvent
    client: Client | None
    """Its client's sessions; None where `session` is decided already."""
    session: int | None
    late: bool


class Sessionizer:
    """Turns a batch of events into outputs and changes of the table. It does no I/O."""

    def __init__(self, source: Source, topics: Topics) -> None:
        self._source = source
        self._topics = topics

    def run(self, records: Sequence[ConsumerRecord], state: State) -> tuple[list[Output], Writes]:
        """The outputs of a batch in the order in which they must be read, and what to write to the table."""
        outputs: list[Output] = []
        clients: dict[str, Client] = {}
        seen = [found for record in records if (found := self._see(record, state, clients, outputs))]
        outputs += [self._event(found) for found in seen]
        writes: Writes = {}
        for name, client in clients.items():
            self._settle(name, client, outputs, writes)
        writes.update(state.end_batch(clients))
        return outputs, writes

    def _see(self, record: ConsumerRecord, state: State, clients: dict[str, Client], outputs: list[Output]) -> _Seen | None:
        """Add an event to its client's sessions."""
        key = record.key or b""
        try:
            event = open_event(record.value or b"")
        except ValueError as error:
            outputs.append(self._dead(record, key, str(error)))
            return None
        name, time = event.client, event.time
        if not self._source.has_session(event.kind):
            return _Seen(key, event, None, None, False)
        if name is None or time is None:
            return _Seen(key, event, None, NO_SESSION, False)
        client = clients.get(name)
        if client is None:
            client = clients[name] = state.client(name)
        if state.is_late(time) and not client.has(time, event.id):
            # Its neighbours may be forgotten. It gets a session of its own, for an index that does not have it yet.
            return _Seen(key, event, None, session_id(name, time), True)
        client.add(time, event.id)
        state.observe(name, time)
        return _Seen(key, event, client, None, False)

    def _event(self, seen: _Seen) -> Output:
        event, session = seen.event, seen.session
        if seen.client is not None:
            assert event.client is not None
            assert event.time is not None
            session = session_id(event.client, seen.client.start_of(event.time))
        return Output(self._topics.enriched, seen.key, event.enriched(session, seen.late))

    def _settle(self, name: str, client: Client, outputs: list[Output], writes: Writes) -> None:
        changes = client.settle()
        key = name.encode()
        enriched, sessions = self._topics.enriched, self._topics.sessions
        for event, time, start in changes.patches:
            outputs.append(Output(enriched, key, encode_patch(Patch(event, time, session_id(name, start)))))
        for start, end, events in changes.sessions:
            identity = session_id(name, start)
            outputs.append(Output(sessions, b"%d" % identity, encode_session(SessionSummary(identity, name, start, end, events))))
        for start in changes.gone:
            outputs.append(Output(sessions, b"%d" % session_id(name, start), None))
        for page, value in changes.pages.items():
            writes[page_key(key, page)] = value

    def _dead(self, record: ConsumerRecord, key: bytes, message: str) -> Output:
        letter = DeadLetter(key, record.value or b"", "sessionize", "foreign_value", message, record.topic, record.partition, record.offset)
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
        sessionizer = Sessionizer(source, Topics(enriched, sessions, dead))
        worker.agent(batches(app, events), f"sessionize-{source.name}", SessionAgent(worker, sessionizer.run, table, source))
    recovery.install(app, settings.kafka)
    return worker
