"""Sessions and views of events that come in the order of time: no state is needed but what is open at the moment of the scan.

The stream (`streams.sessions`) computes the same from events in any order of arrival. Nothing is shared but the definitions in
`schemas`, so that one is a check of the other.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from schemas import notes
from schemas.notes import LONGEST_DAY_MS, Note
from schemas.session import NO_SESSION, session_id
from schemas.source import Source, Views
from sinks.sorted_scan import Hit

LATE = "late_session"


class Event(NamedTuple):
    index_name: str
    id: str
    time: int
    seq_no: int
    primary_term: int
    said: dict[str, Any]
    """What its document says of the session."""


class Session:
    """`events` is empty once the session was given out, since its views refer to it for longer."""

    __slots__ = ("client", "end", "events", "giver", "index_name", "start")

    def __init__(self, client: str, first: Event) -> None:
        self.client = client
        """Empty for the session, which is none, of an event without client."""
        self.start = self.end = first.time
        self.index_name = first.index_name
        """Of its first event."""
        self.events = [first]
        self.giver: tuple[tuple[int, str], bytes] | None = None
        """The event that gives it its fields, and these."""

    @property
    def identity(self) -> int:
        return session_id(self.client, self.start) if self.client else NO_SESSION

    @property
    def fields(self) -> bytes | None:
        return None if self.giver is None else self.giver[1]

    def document(self) -> bytes:
        return notes.session_document(self.identity, self.client, self.start, self.end, len(self.events), self.fields)


class View:
    """What a client has watched of one thing on one day."""

    __slots__ = ("key", "said", "session")

    def __init__(self, key: bytes, session: Session) -> None:
        self.key = key
        self.session = session
        """That of its first event."""
        self.said: list[tuple[int, str, Note]] = []
        """Time, id and note of its events, by time."""

    @property
    def start(self) -> int:
        return self.said[0][0]

    @property
    def identity(self) -> str:
        return notes.view_id(self.session.client, self.key)

    def document(self, views: Views) -> bytes:
        ordered = [note for _, _, note in sorted(self.said, key=itemgetter(0, 1))]
        beside = list(dict.fromkeys(note.text.partition(b"\n")[2] for note in ordered))
        amount = sum(note.amount for note in ordered)
        return notes.view_document(views, self.session.client, self.key, beside, amount, self.session.fields)


class Recomputation:
    """One source's sessions and views, each given out when no later event can be a part of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._readers = notes.readers(source)
        self._said = ("sessionId", LATE, *source.session_properties)
        self._sessions: dict[str, Session] = {}
        """By client: those that an event can still join."""
        self._views: dict[tuple[str, bytes], View] = {}
        """By client and key, likewise."""

    def run(self, pages: Iterable[list[Hit]]) -> Iterator[Session | View]:
        """A session comes before the views that begin in it."""
        for page in pages:
            for hit in page:
                session = self._take(hit)
                if session is not None:
                    yield from self._given_out(session)
            if page:
                yield from self._over(page[-1]["sort"][0])
        yield from self._over(None)

    def _over(self, now: int | None) -> Iterator[Session | View]:
        """What an event at `now` or later cannot join; all of it where there are no more events."""
        gap = self._source.session_gap_ms
        for client in [client for client, its in self._sessions.items() if now is None or now - its.end > gap]:
            yield from self._given_out(self._sessions.pop(client))
        closed = [
            place
            for place, view in self._views.items()
            if now is None or (now - view.start > LONGEST_DAY_MS and self._sessions.get(place[0]) is not view.session)
        ]
        for place in closed:
            yield self._views.pop(place)

    @staticmethod
    def _given_out(session: Session) -> Iterator[Session]:
        yield session
        session.events.clear()

    def _take(self, hit: Hit) -> Session | None:
        """Add an event to its session. Returns a session that is over with that."""
        document, when = hit["_source"], hit["sort"][0]
        kind = document.get(self._source.kind_field, "") if self._source.kind_field else self._source.name
        if not self._source.has_session(kind):
            return None
        said = {name: document[name] for name in self._said if name in document}
        event = Event(hit["_index"], hit["_id"], when, hit["_seq_no"], hit["_primary_term"], said)
        client = self._source.client_of(document)
        if client is None:
            return Session("", event)
        over = None
        session = self._sessions.get(client)
        if session is not None and when - session.end > self._source.session_gap_ms:
            over, session = session, None
        if session is None:
            session = self._sessions[client] = Session(client, event)
        else:
            session.end = when
            session.events.append(event)
        reader = self._readers.get(kind)
        note = None if reader is None else reader(orjson.dumps(document))
        if note is not None:
            self._hear(note, event, session)
        return over

    def _hear(self, note: Note, event: Event, session: Session) -> None:
        """Take in what an event says of more than itself."""
        if note.gives_fields:
            if session.giver is None or (event.time, event.id) < session.giver[0]:
                session.giver = (event.time, event.id), note.text
            return
        key = note.text.partition(b"\n")[0]
        place = session.client, key
        if place not in self._views:
            self._views[place] = View(key, session)
        self._views[place].said.append((event.time, event.id, note))


def fields_read(source: Source) -> list[str]:
    """What a recomputation looks at of events."""
    given = {field for fields in source.session_fields.values() for field in fields.values()}
    views = source.views
    watched = () if views is None else (views.day, *views.identity, *views.beside, views.amount)
    kind = () if source.kind_field is None else (source.kind_field,)
    return sorted({*source.client_fields, *source.session_properties, *given, *watched, *kind, "sessionId", LATE})
