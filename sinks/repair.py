"""Sessions and views computed anew from the index, by a scan in the order of time, and held against what the documents say.

The stream computes them from events in any order of arrival; this needs no state (`sinks.recompute`). So it checks the stream's
result independently, and mends what the stream could not know: events that came later than its memory reaches (`late_session`).
Looked at are the events, each of which says its session, and the documents of the sessions and views.

A session or a view can begin before the stretch of time that is looked at, or go on behind it. So the scan begins `AROUND_MS` earlier
and ends as much later; what reaches as far as that is left alone, and counted.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import orjson
from elasticsearch import ApiError, Elasticsearch, TransportError

from schemas.notes import view_time
from schemas.source import Source
from sinks.outcomes import in_words
from sinks.recompute import LATE, Recomputation, Session, View, fields_read
from sinks.sorted_scan import Hit, Progress, SortedScan
from sinks.writer import HEADERS
from tailrace.errors import TailraceError, Unreachable

DAY_MS = 86_400_000
AROUND_MS = 2 * DAY_MS
"""A view of the period may have begun a day earlier, in a session that began before that."""
WRITE_BYTES = 1024 * 1024
"""Of a bulk request, or a little more."""

CHANGED = {"version_conflict_engine_exception", "document_missing_exception"}
"""Errors of an operation on a document that is not any more what it was when it was looked at."""

SCRIPT = "for (name in params.drop) { ctx._source.remove(name) } ctx._source.putAll(params.set)"

Period = tuple[int | None, int | None]
"""From (included) and to (not included), in milliseconds since 1970; None where there is no bound."""


class Found(NamedTuple):
    """What a repair has seen."""

    events: int
    """Of the period, with a session."""
    sessions: int
    views: int
    differing_events: int
    """Events whose session, session's fields or mark were not what they should be."""
    differing_sessions: int
    """Documents of sessions that are missing, say something else, or are of a session that does not exist."""
    differing_views: int
    """Documents of views, likewise."""
    repaired: int
    changed_meanwhile: int
    """Of what differed, what somebody else changed at the same moment; the next repair looks at it again."""
    uncertain: int
    """Events and views whose sessions reach further than the scan."""

    @property
    def differing(self) -> int:
        return self.differing_events + self.differing_sessions + self.differing_views


class _Standing:
    """The documents of a family, each given out when what should stand there is known."""

    def __init__(self, scan: SortedScan) -> None:
        self._hits = (hit for page in scan.pages() for hit in page)
        self._next: Hit | None = next(self._hits, None)
        self._waiting: dict[str, Hit] = {}

    def take(self, identity: str, time: int) -> Hit | None:
        """The document of this id, whose time is known; None where there is none."""
        while self._next is not None and self._next["sort"][0] <= time:
            self._waiting[self._next["_id"]] = self._next
            self._next = next(self._hits, None)
        return self._waiting.pop(identity, None)

    def rest(self) -> Iterator[Hit]:
        """Those that nobody has asked for."""
        yield from self._waiting.values()
        if self._next is not None:
            yield self._next
            yield from self._hits


class Repair:
    """One source's sessions and views in a period."""

    def __init__(self, client: Elasticsearch, events: str, summaries: str, source: Source, period: Period) -> None:
        """`events`: the pattern of the source's indices. `summaries`: what the aliases of its other documents begin with."""
        self._client = client
        self._index = events
        self._summaries = summaries
        self._source = source
        self._from, self._to = period
        self._months: set[str] = set()
        """Indices that hold events."""
        self._body = bytearray()
        """Of the next bulk request."""
        self._counts: Counter[str] = Counter()

    def run(self, progress: Progress, dry_run: bool = False) -> Found:
        """Compare, and write what differs unless `dry_run`.

        Killed in between, it is done again: what it writes depends on nothing but the events.
        Raises TailraceError and Unreachable where the index cannot be read or written.
        """
        try:
            for operation in self._operations(progress):
                if not dry_run:
                    self._body += operation
                if len(self._body) >= WRITE_BYTES:
                    self._write()
            self._write()
        except ApiError as error:
            raise TailraceError(f"Elasticsearch refused what a repair of {self._index} needs: {error}") from None
        except TransportError as error:
            raise Unreachable(f"Elasticsearch stopped answering ({type(error).__name__}) during the repair of {self._index}") from None
        return Found(*(self._counts[name] for name in Found._fields))

    def _operations(self, progress: Progress) -> Iterator[bytes]:
        """What makes the documents say what they should."""
        start = None if self._from is None else self._from - AROUND_MS
        end = None if self._to is None else self._to + AROUND_MS
        with ExitStack() as scans:
            # Before the events, which then know no less: a document that is newer than the events would be taken back.
            standing = {
                family: _Standing(scans.enter_context(self._scan(f"{self._summaries}-{family}", start, end)))
                for family in self._source.families
            }
            events = scans.enter_context(self._scan(self._index, start, end, fields_read(self._source)))
            for found in Recomputation(self._source).run(events.pages(progress)):
                if isinstance(found, Session):
                    yield from self._session(found, standing["sessions"])
                else:
                    yield from self._view(found, standing["views"])
            for family, its in standing.items():
                yield from self._needless(family, its)

    def _scan(self, index: str, start: int | None, end: int | None, fields: list[str] | None = None) -> SortedScan:
        """Of what was written until now; without the privilege to refresh (an operator has it), of what was searchable by itself."""
        self._client.options(ignore_status=403).indices.refresh(index=index, ignore_unavailable=True)
        return SortedScan(self._client, index, start, end, fields)

    # -- what should be, and what is

    def _session(self, session: Session, standing: _Standing) -> Iterator[bytes]:
        """Its events and its document."""
        self._months.update(event.index_name for event in session.events)
        hit = standing.take(str(session.identity), session.start) if session.client else None
        inside = sum(self._is_inside(event.time) for event in session.events)
        if not inside:
            return
        if not self._is_whole(session):
            self._counts["uncertain"] += inside
            return
        self._counts["events"] += inside
        self._counts["sessions"] += 1
        yield from self._patches(session)
        if session.client:
            yield from self._document("sessions", str(session.identity), session.start, session, session.document(), hit)

    def _view(self, view: View, standing: _Standing) -> Iterator[bytes]:
        assert self._source.views is not None, "there are views"
        time = view_time(view.key)
        hit = standing.take(view.identity, time)
        if not any(self._is_inside(when) for when, _, _ in view.said):
            return
        if not self._is_whole(view.session):
            self._counts["uncertain"] += 1
            return
        self._counts["views"] += 1
        yield from self._document("views", view.identity, time, view.session, view.document(self._source.views), hit)

    def _is_inside(self, time: int) -> bool:
        return (self._from is None or self._from <= time) and (self._to is None or time < self._to)

    def _is_whole(self, session: Session) -> bool:
        """Whether all of its events have been looked at."""
        gap = self._source.session_gap_ms
        has_begun = self._from is None or session.start > self._from - AROUND_MS + gap
        return has_begun and (self._to is None or session.end < self._to + AROUND_MS - gap)

    def _patches(self, session: Session) -> Iterator[bytes]:
        """For each event whose document says something else."""
        fields = orjson.loads(session.fields) if session.fields else {}
        wanted = {"sessionId": session.identity, **fields}
        for event in session.events:
            if event.said != wanted:
                self._counts["differing_events"] += 1
                params = {"set": wanted, "drop": [name for name in (LATE, *self._source.session_properties) if name not in wanted]}
                head = {"_index": event.index_name, "_id": event.id, "if_seq_no": event.seq_no, "if_primary_term": event.primary_term}
                yield _lines({"update": head}, {"script": {"source": SCRIPT, "params": params}})

    def _document(self, family: str, identity: str, time: int, session: Session, wanted: bytes, hit: Hit | None) -> Iterator[bytes]:
        """Where a document is missing or says something else. `session`: of its first event."""
        document = orjson.loads(wanted)
        if hit is not None and hit["_source"] == document:
            return
        self._counts[f"differing_{family}"] += 1
        if hit is not None:
            yield _lines({"index": _as_it_was(hit)}, document)
            return
        generation = session.index_name.removesuffix(self._source.index_for(session.start))
        yield _lines({"create": {"_index": generation + self._source.index_for(time, family), "_id": identity}}, document)

    def _needless(self, family: str, standing: _Standing) -> Iterator[bytes]:
        """Documents of what does not exist. Those of months whose events somebody has deleted are all that is left of these."""
        for hit in standing.rest():
            time = hit["sort"][0]
            near = (self._from is None or self._from - DAY_MS <= time) and (self._to is None or time < self._to)
            events = hit["_index"].removesuffix(self._source.index_for(time, family)) + self._source.index_for(time)
            if near and events in self._months:
                self._counts[f"differing_{family}"] += 1
                yield _lines({"delete": _as_it_was(hit)})

    # -- the index

    def _write(self) -> None:
        if not self._body:
            return
        answer = self._client.perform_request("POST", "/_bulk", headers=HEADERS, body=bytes(self._body)).body
        self._body.clear()
        for (result,) in (item.values() for item in answer["items"]):
            error = result.get("error", {})
            if result["status"] >= 300 and error.get("type") not in CHANGED:
                raise TailraceError(f"Elasticsearch does not take what a repair writes: {result['status']} {in_words(error)}")
            self._counts["changed_meanwhile" if error else "repaired"] += 1


def _lines(*lines: object) -> bytes:
    """Of a bulk request."""
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def _as_it_was(hit: Hit) -> dict[str, object]:
    """Names a document, as long as nobody changes it."""
    return {"_index": hit["_index"], "_id": hit["_id"], "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}
