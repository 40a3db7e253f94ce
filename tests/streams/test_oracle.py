"""The sessionizer over many batches, restarts and partitions, against a sorted scan of all events: what an index ends with."""

import heapq
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import orjson
import pytest

from schemas import notes
from schemas.envelope import EventEnvelope, Patch, Summary, decode, encode_event
from schemas.notes import LONGEST_DAY_MS
from schemas.session import session_id
from schemas.source import SourceSettings
from schemas.sources import build
from streams import clock
from streams.clock import DAY_MS
from streams.sessionize import Sessionizer, Topics
from streams.state import State
from streams.store import MemoryPartition
from tests.streams.records import Record

SOURCE = build("ezcast", SourceSettings(format="ezcast"))
GAP = SOURCE.session_gap_ms
T0 = 15_706 * DAY_MS
"""2013-01-01."""


class Index:
    """What the documents say, and how many patches that took."""

    def __init__(self) -> None:
        self.events: dict[str, tuple[int | None, str | None]] = {}
        self.summaries: dict[tuple[str, str], dict[str, Any]] = {}
        self.patches = self.needed = self.late = 0

    def take(self, values: Iterable[bytes | None]) -> None:
        """One batch."""
        before = dict(self.events)
        sent = set()
        for found in (decode(value or b"") for value in values):
            if isinstance(found, EventEnvelope):
                sent.add(found.id)
                self.late += found.late
                if not (found.late and found.id in self.events):  # the index creates it only if it is not there
                    self.events[found.id] = found.session, orjson.loads(found.document).get("session_browser")
            elif isinstance(found, Patch):
                self.patches += 1
                self.events[found.id] = found.session, orjson.loads(found.fields or b"{}").get("session_browser")
            elif isinstance(found, Summary):
                self.summaries.pop((found.family, found.id), None)
                if found.document is not None:
                    self.summaries[found.family, found.id] = orjson.loads(found.document)
        self.needed += sum(self.events[id] != said for id, said in before.items() if id not in sent)


class Site:
    """Partitions with a sessionizer each, of one index."""

    def __init__(self, partitions: int = 1, days: int = 90, active_events: int = 2_000) -> None:
        self.index = Index()
        self._days, self._active = days, active_events
        self._data = [MemoryPartition() for _ in range(partitions)]
        self._sessionizer = Sessionizer(SOURCE, Topics("enriched", "sessions", "dead"))
        self.restart()

    def restart(self) -> None:
        self._states = [State(data, GAP, self._days, self._active, LONGEST_DAY_MS) for data in self._data]

    def ship(self, events: Sequence[EventEnvelope], size: int = 500, restart_every: int = 0) -> None:
        for number, begin in enumerate(range(0, len(events), size)):
            if restart_every and number % restart_every == 0:
                self.restart()
            batch = sorted(events[begin : begin + size], key=self._partition)
            for partition, its in groupby(batch, key=self._partition):
                records = [Record(b"key", encode_event(event)) for event in its]
                outputs, writes = self._sessionizer.run(records, self._states[partition])  # type: ignore[arg-type]
                self._data[partition].change(writes)
                self.index.take(output.value for output in outputs if output.topic == "enriched")

    def _partition(self, event: EventEnvelope) -> int:
        return sum((event.client or "").encode()) % len(self._data)

    @property
    def kept(self) -> int:
        """Clients in the state."""
        return sum(1 for data in self._data for _ in data.clients())

    def check(self, events: Iterable[EventEnvelope]) -> None:
        expected = oracle(events)
        assert self.index.events == expected.events
        assert self.index.summaries == expected.summaries
        assert self.index.late == 0


def oracle(events: Iterable[EventEnvelope]) -> Index:
    """All of it by one sorted scan of each client."""
    found = Index()
    views: dict[tuple[str, bytes], list[tuple[notes.Note, str | None]]] = defaultdict(list)
    clients: dict[str, dict[str, EventEnvelope]] = defaultdict(dict)
    readers = notes.readers(SOURCE)
    for event in events:
        clients[event.client or ""][event.id] = event
    for client, its in clients.items():
        session: list[EventEnvelope] = []
        ordered = sorted(its.values(), key=lambda event: (event.time, event.id))
        for event, after in zip(ordered, [*ordered[1:], None], strict=True):
            session.append(event)
            if after is None or _time(after) - _time(event) > GAP:
                said = {one.id: read(one.document) for one in session if (read := readers.get(one.kind))}
                browser = next((orjson.loads(note.text) for note in said.values() if note and note.gives_fields), {})
                start, end = _time(session[0]), _time(event)
                identity = session_id(client, start)
                fields = orjson.dumps(browser) if browser else None
                document = notes.session_document(identity, client, start, end, len(session), fields)
                found.summaries["sessions", str(identity)] = orjson.loads(document)
                for one in session:
                    found.events[one.id] = identity, browser.get("session_browser")
                    note = said.get(one.id)
                    if note is not None and not note.gives_fields:
                        views[client, note.text.partition(b"\n")[0]].append((note, orjson.dumps(browser).decode() if browser else None))
                session = []
    for (client, key), rows in views.items():
        beside = list(dict.fromkeys(note.text.partition(b"\n")[2] for note, _ in rows))
        amount, fields_of_first = sum(note.amount for note, _ in rows), rows[0][1]
        assert SOURCE.views is not None
        document = notes.view_document(SOURCE.views, client, key, beside, amount, fields_of_first.encode() if fields_of_first else None)
        found.summaries["views", notes.view_id(client, key)] = orjson.loads(document)
    return found


def _time(event: EventEnvelope) -> int:
    assert event.time is not None
    return event.time


def event(number: int, time: int, client: str, origin: int, draw: random.Random) -> EventEnvelope:
    """A login, somebody who watches, or a click."""
    document: dict[str, Any] = {"timestamp": clock_day(time), "session": client}
    kind = draw.choice(["login", "video_play_time", "video_play_time", "view_albums"])
    if kind == "login":
        document |= {"browser_name": draw.choice(["Firefox", "Safari"]), "user_os": "Linux"}
    elif kind == "video_play_time":
        document |= {"album": f"A{draw.randrange(2)}", "asset": "film", "play_time": draw.randrange(50), "netid": f"n{draw.randrange(2)}"}
    return EventEnvelope(f"{number:06}", time, client, kind, None, False, orjson.dumps(document), None, origin)


def clock_day(time: int) -> str:
    return notes.iso(time)[:10]


def week(seed: int, count: int = 4_000, clients: int = 25) -> list[EventEnvelope]:
    """Gaps of exactly an hour and a millisecond more, equal times, runs of clicks, in the order of time."""
    draw = random.Random(seed)
    made = []
    at = dict.fromkeys((f"client {n}" for n in range(clients)), T0)
    for number in range(count):
        client = draw.choice(list(at))
        at[client] += draw.choice([0, 0, 1000, 60_000, GAP - 1, GAP, GAP, GAP + 1, GAP + 1, 3 * GAP])
        made.append(event(number, at[client], client, 1, draw))
    return sorted(made, key=lambda one: (_time(one), one.id))


def hours_late(events: Sequence[EventEnvelope], draw: random.Random) -> list[EventEnvelope]:
    """As nodes are harvested: a quarter of the clients arrive in bulk every ten hours, and a tenth of all events twice."""
    arrival = {
        one.id: _time(one) + (10 * GAP - _time(one) % (10 * GAP) if sum((one.client or "").encode()) % 4 == 0 else 0) for one in events
    }
    return sorted([*events, *draw.sample(list(events), len(events) // 10)], key=lambda one: arrival[one.id])


@pytest.mark.parametrize("arrival", ["in order", "shuffled", "backwards", "hours late"])
@pytest.mark.parametrize(("partitions", "restart_every"), [(1, 0), (3, 3)])
def test_whatever_the_order_partitions_and_restarts(arrival: str, partitions: int, restart_every: int) -> None:
    events = week(seed=len(arrival))
    draw = random.Random(1)
    arrived = {
        "in order": list(events),
        "shuffled": draw.sample(events, len(events)),
        "backwards": events[::-1],
        "hours late": hours_late(events, draw),
    }[arrival]
    site = Site(partitions)
    site.ship(arrived, size=250, restart_every=restart_every)
    site.check(events)
    assert site.index.patches == site.index.needed, "not one patch that says nothing new"
    site.ship(arrived)
    site.check(events)
    assert site.index.patches == site.index.needed, "a replay from the start needs none at all"


def test_three_years_of_files_beside_live_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file a day, four shipped at a time and read at uneven speed, while the live file grows: nothing is late, little is kept."""
    monkeypatch.setattr(clock, "LOOK_EVENTS", 100)
    draw = random.Random(7)
    number = 0

    def file(day: int, origin: int) -> list[EventEnvelope]:
        nonlocal number
        made = []
        for client in range(4):
            time = T0 + day * DAY_MS + draw.randrange(6 * GAP, 20 * GAP)
            for _ in range(5):
                made.append(event(number, time, f"{day}-{client}", origin, draw))
                number, time = number + 1, time + draw.randrange(GAP + GAP // 4)
        return sorted(made, key=_time)

    live = [one for day in range(1_500, 1_560) for one in file(day, day)]
    backlog = [file(day, day) for day in range(3 * 365)]
    lanes = [[one for its in backlog[lane::4] for one in its] for lane in range(4)]
    speeds = [((position * (10 + lane), lane), one) for lane, its in enumerate(lanes) for position, one in enumerate(its)]
    arrived = [one for _, one in heapq.merge(sorted(speeds), [((at * 180, 9), one) for at, one in enumerate(live)])]
    site = Site(days=30, active_events=800)
    site.ship(live[:200])
    site.ship([*arrived, *live], size=100, restart_every=50)
    site.check([*live, *(one for its in backlog for one in its)])
    assert site.kept < 1_000, "of 4,620 clients"
    before = dict(site.index.events)
    site.ship([one for its in backlog for one in its][: 200 * 20])
    assert site.index.events == before, "last year's log again changes nothing"
    assert site.index.late > 3_000
