"""Sessions computed anew from the index, by a scan in the order of time, and held against what the documents say.

The stream computes sessions from events in any order of arrival; this needs no state but the sessions that are open at the moment
of the scan. So it checks the stream's result independently, and mends what the stream could not know: events that came later than
its memory reaches (`late_session`).

A session can begin before the stretch of time that is looked at, or go on behind it. So the scan begins `AROUND_MS` earlier and ends
as much later; a session that reaches as far as that is left alone, and counted.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson
from elasticsearch import ApiError, Elasticsearch, TransportError

from schemas import notes
from schemas.session import NO_SESSION, session_id
from schemas.source import Source
from tailrace.errors import TailraceError, Unreachable

AROUND_MS = 86_400_000
PAGE = 5_000
"""Documents of an answer."""
KEEP_ALIVE = "5m"
"""How long the server keeps the point in time between two pages."""
PATCHES = 1_000
"""Of one request."""

LATE = "late_session"
SCRIPT = "for (name in params.drop) { ctx._source.remove(name) } ctx._source.putAll(params.set)"

Period = tuple[int | None, int | None]
"""From (included) and to (not included), in milliseconds since 1970; None where there is no bound."""
Progress = Callable[[int, int], None]
"""progress(done, total): documents."""


class Found(NamedTuple):
    """What a repair has seen."""

    events: int
    """Of the period, with a session."""
    sessions: int
    differing: int
    """Events whose session, session's fields or mark were not what they should be."""
    repaired: int
    changed_meanwhile: int
    """Differing events that somebody else changed at the same moment; the next repair looks at them again."""
    uncertain: int
    """Events of sessions that reach further than the scan."""


class _Event(NamedTuple):
    index_name: str
    id: str
    time: int
    seq_no: int
    primary_term: int
    said: dict[str, Any]
    """What its document says of the session."""


class _Session:
    __slots__ = ("client", "end", "events", "giver", "start")

    def __init__(self, client: str, start: int) -> None:
        self.client = client
        self.start = self.end = start
        self.events: list[_Event] = []
        self.giver: tuple[tuple[int, str], bytes] | None = None
        """The event that gives it its fields, and these."""


class Repair:
    """One source's sessions in a period."""

    def __init__(self, client: Elasticsearch, index: str, source: Source, period: Period) -> None:
        """`index`: the pattern of the source's indices."""
        self._client = client
        self._index = index
        self._source = source
        self._from, self._to = period
        self._readers = {kind: read for kind, read in notes.readers(source).items() if kind in source.session_fields}
        self._names = sorted({name for fields in source.session_fields.values() for name in fields})
        self._counts: Counter[str] = Counter()

    def run(self, progress: Progress, dry_run: bool = False) -> Found:
        """Compare, and patch what differs unless `dry_run`.

        Raises TailraceError and Unreachable where the index cannot be read or written.
        """
        waiting: list[bytes] = []
        try:
            for session in self._sessions(progress):
                for patch in self._patches(session):
                    self._counts["differing"] += 1
                    if not dry_run:
                        waiting.append(patch)
                if len(waiting) >= PATCHES:
                    self._write(waiting)
                    waiting = []
            self._write(waiting)
        except ApiError as error:
            raise TailraceError(f"Elasticsearch refused what a repair of {self._index} needs: {error}") from None
        except TransportError as error:
            raise Unreachable(f"Elasticsearch stopped answering ({type(error).__name__}) during the repair of {self._index}") from None
        counts = self._counts
        return Found(*(counts[name] for name in Found._fields))

    # -- what should be

    def _sessions(self, progress: Progress) -> Iterator[_Session]:
        """The sessions that have events in the period, whole ones only."""
        opened: dict[str, _Session] = {}
        for page in self._pages(progress):
            for hit in page:
                yield from self._take(hit, opened)
            if page:  # in the order of time: nothing can join these any more
                now = page[-1]["sort"][0]
                over = [client for client, session in opened.items() if now - session.end > self._source.session_gap_ms]
                yield from (session for client in over if self._counts_here(session := opened.pop(client)))
        reached = None if self._to is None else self._to + AROUND_MS - self._source.session_gap_ms
        for session in opened.values():
            if reached is not None and session.end >= reached:
                self._counts["uncertain"] += self._inside(session)
            elif self._counts_here(session):
                yield session

    def _take(self, hit: dict[str, Any], opened: dict[str, _Session]) -> Iterator[_Session]:
        """Add an event to its session; a session that ends with that is given out."""
        document, when = hit["_source"], hit["sort"][0]
        kind_field = self._source.kind_field
        kind = document.get(kind_field, "") if kind_field else self._source.name
        if not self._source.has_session(kind):
            return
        event = _Event(hit["_index"], hit["_id"], when, hit["_seq_no"], hit["_primary_term"], self._said(document))
        client = self._source.client_of(document)
        if client is None:
            alone = _Session("", when)
            alone.events.append(event)
            if self._counts_here(alone):
                yield alone
            return
        session = opened.get(client)
        if session is not None and when - session.end > self._source.session_gap_ms:
            if self._counts_here(session):
                yield session
            session = None
        if session is None:
            session = opened[client] = _Session(client, when)
        session.end = when
        session.events.append(event)
        note = self._readers[kind](orjson.dumps(document)) if kind in self._readers else None
        if note is not None and (session.giver is None or (when, event.id) < session.giver[0]):
            session.giver = (when, event.id), note.text

    def _said(self, document: dict[str, Any]) -> dict[str, Any]:
        return {name: document[name] for name in ("sessionId", LATE, *self._names) if name in document}

    def _inside(self, session: _Session) -> int:
        """How many of its events are in the period."""
        return sum((self._from or event.time) <= event.time and (self._to is None or event.time < self._to) for event in session.events)

    def _counts_here(self, session: _Session) -> bool:
        """Whether it has events in the period, and its beginning is known."""
        inside = self._inside(session)
        if inside and self._from is not None and session.start <= self._from - AROUND_MS + self._source.session_gap_ms:
            self._counts["uncertain"] += inside
            return False
        self._counts["events"] += inside
        self._counts["sessions"] += bool(inside)
        return bool(inside)

    def _patches(self, session: _Session) -> Iterator[bytes]:
        """Two lines of a bulk request for each event whose document says something else."""
        identity = session_id(session.client, session.start) if session.client else NO_SESSION
        fields = orjson.loads(session.giver[1]) if session.giver else {}
        wanted = {"sessionId": identity, **fields}
        for event in session.events:
            if event.said != wanted:
                head = {"_index": event.index_name, "_id": event.id, "if_seq_no": event.seq_no, "if_primary_term": event.primary_term}
                params = {"set": wanted, "drop": [name for name in (LATE, *self._names) if name not in wanted]}
                script = {"source": SCRIPT, "params": params}
                yield orjson.dumps({"update": head}) + b"\n" + orjson.dumps({"script": script}) + b"\n"

    # -- the index

    def _pages(self, progress: Progress) -> Iterator[list[dict[str, Any]]]:
        bounds = {}
        if self._from is not None:
            bounds["gte"] = self._from - AROUND_MS
        if self._to is not None:
            bounds["lt"] = self._to + AROUND_MS
        query = {"range": {"@timestamp": {**bounds, "format": "epoch_millis"}}} if bounds else {"exists": {"field": "@timestamp"}}
        source = self._source
        given = {field for fields in source.session_fields.values() for field in fields.values()}
        wanted = {*source.client_fields, *self._names, *given, "sessionId", LATE, *filter(None, [source.kind_field])}
        body: dict[str, Any] = {
            "size": PAGE,
            "query": query,
            "source": sorted(wanted),
            "sort": ["@timestamp", "_shard_doc"],
            "seq_no_primary_term": True,
            "track_total_hits": True,
        }
        pit = self._client.open_point_in_time(index=self._index, keep_alive=KEEP_ALIVE, ignore_unavailable=True)["id"]
        done = total = 0
        try:
            while True:
                answer = self._client.search(**body, pit={"id": pit, "keep_alive": KEEP_ALIVE}, allow_partial_search_results=False)
                pit, hits = answer["pit_id"], answer["hits"]["hits"]
                if body["track_total_hits"]:
                    total, body["track_total_hits"] = answer["hits"]["total"]["value"], False
                done += len(hits)
                progress(done, total)
                yield hits
                if len(hits) < PAGE:
                    return
                body["search_after"] = hits[-1]["sort"]
        finally:
            self._client.close_point_in_time(id=pit)

    def _write(self, patches: list[bytes]) -> None:
        if not patches:
            return
        headers = {"accept": "application/json", "content-type": "application/x-ndjson"}
        answer = self._client.perform_request("POST", "/_bulk", headers=headers, body=b"".join(patches)).body
        for item in answer["items"]:
            status = item["update"]["status"]
            if status >= 300 and status != 409:
                raise TailraceError(f"Elasticsearch does not take a repaired session: {item['update'].get('error')}")
            self._counts["repaired" if status < 300 else "changed_meanwhile"] += 1


class Eta:
    """Says how far a scan has come, every few seconds."""

    def __init__(self, say: Callable[[str], None], every_s: float = 5.0) -> None:
        self._say = say
        self._every = every_s
        self._began = self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said >= self._every and done:
            self._said = now
            left = (now - self._began) * (total - done) / done
            self._say(f"{done:,} of {total:,} events looked at, {left:,.0f} s to go")
