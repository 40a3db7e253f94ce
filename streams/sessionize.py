"""`tailrace stream sessionize`: events to events with their session, one agent and one table per source.

    <source>.events ──▶ <source>.enriched   the event with its session; patches of events sent on before
                   ├──▶ <source>.sessions   the latest summary of each session, a tombstone for one that was merged away
                   ├──▶ <source>.dead
                   └──▶ <app id>-<source>-sessions-changelog

Why a death at any moment loses nothing. For each batch, in this order: the outputs are produced; when Kafka has acknowledged
all of them, the changelog; when it has acknowledged that too, the batch's offset may be committed. The changelogs of one
partition are written in the order of its batches. So what a successor recovers from the changelog never knows of an event
whose outputs might be missing. It reads the batch again, and for each event one of two things is true:

- The changelog lacks it. Its whole effect, patches of other events included, is computed and sent again.
- The changelog has it (as it may have any part of a batch: each page can stand alone). Then every patch that it caused is in
  Kafka. It changes nothing, and is sent on once more with the session that it has now.

Either way the last word on each event in `<source>.enriched` is the session that follows from the set of all events.

What this does not cover is a worker that stands still for longer than the session time-out of the group while it has
changelog records in flight, and then goes on: they land after those of its successor, who may already have read the
changelog. Events that came in between can then be missing from the state, never from the index.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import ConsumerRecord
from faust.types import EventT

from schemas.envelope import EventEnvelope, Patch, SessionSummary, decode, encode_event, encode_patch, encode_session
from schemas.source import Source
from streams.app import batches, make_app
from streams.outbox import Output
from streams.sessions import Client, session_id
from streams.state import State, Writes
from streams.table import SessionTable, ensure_changelog, make_table, page_key
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
    event: EventEnvelope
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
            event = decode(record.value or b"")
            if not isinstance(event, EventEnvelope):
                raise ValueError(f"a {type(event).__name__} where events are expected")
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
        value = encode_event(event._replace(session=session, late=seen.late))
        return Output(self._topics.enriched, seen.key, value)

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


class _Attempt(NamedTuple):
    """A batch whose outputs are under way."""

    event: EventT
    delivered: asyncio.Future[None]
    changelog: list[Output]


class SessionAgent:
    """Gives batches to a sessionizer; sends outputs first, then the changelog, then the acknowledgement."""

    def __init__(self, worker: Worker, sessionizer: Sessionizer, table: SessionTable, source: Source) -> None:
        self._worker = worker
        self._sessionizer = sessionizer
        self._table = table
        self._source = source
        self._states: dict[int, State] = {}
        self._attempts: dict[int, asyncio.Queue[_Attempt]] = {}
        self._generation = -1

    async def __call__(self, event: EventT) -> None:
        partition = event.message.partition
        outputs, writes = self._sessionizer.run(event.value, self._state(event))
        attempt = _Attempt(event, asyncio.get_running_loop().create_future(), self._table.write(partition, writes))
        self._queue(partition).put_nowait(attempt)
        await self._worker.outbox.send(outputs, lambda: attempt.delivered.set_result(None))

    def _state(self, event: EventT) -> State:
        """The state of the event's partition. After a rebalance everything is made anew from the recovered table."""
        message = event.message
        if message.generation_id != self._generation:
            self._generation = message.generation_id
            self._states.clear()
        state = self._states.get(message.partition)
        if state is None:
            data = self._table.partition(message.partition)
            state = State(data, self._source.session_gap_ms, self._source.settings.session_days)
            self._states[message.partition] = state
        return state

    def _queue(self, partition: int) -> asyncio.Queue[_Attempt]:
        if partition not in self._attempts:
            self._attempts[partition] = asyncio.Queue()
            self._worker.background(self._write_changelog(self._attempts[partition]))
        return self._attempts[partition]

    async def _write_changelog(self, attempts: asyncio.Queue[_Attempt]) -> None:
        """One partition's batches, in order: when a batch's outputs are in Kafka, its changelog."""
        while True:
            event, delivered, changelog = await attempts.get()
            await delivered
            await self._worker.outbox.send(changelog, event.ack, each=self._table.written)


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
        table = make_table(app, source.name, len(admin.list_topics(events, timeout=10).topics[events].partitions))
        ensure_changelog(admin, settings.kafka, table, events)
        sessionizer = Sessionizer(source, Topics(enriched, sessions, dead))
        worker.agent(batches(app, events), f"sessionize-{source.name}", SessionAgent(worker, sessionizer, table, source))
    return worker
