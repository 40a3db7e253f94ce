"""Sessions against an independent definition: sort, and cut where the gap is too long."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.notes import Note
from schemas.session import session_id
from streams import members
from streams.members import Member, first_time
from streams.sessions import Client, Session, View

GAP = 3_600_000
HOUR = 3_600_000


GIVEN = {"a": b'{"browser":"Firefox"}', "b": b'{"browser":"Safari"}', "c": b'{"browser":"Firefox"}'}
"""What events give their sessions, by their ids."""


def note_of(member: Member) -> Note | None:
    """What an event says: logins (a, b, c) of different browsers, watching (d, e, f) on days of three hours by two people."""
    time, event = member
    if event in GIVEN:
        return Note(GIVEN[event])
    if event in ("d", "e", "f"):
        return Note(b'["day %d","film"]\n["%s"]' % (time // (3 * HOUR), b"anna" if event == "d" else b"ben"), time % 97)
    return None


def oracle(members: Iterable[Member], gap: int = GAP) -> dict[Member, int]:
    """The start of every member's session, by a full sorted scan."""
    ordered = sorted(set(members))
    starts: dict[Member, int] = {}
    start = ordered[0][0] if ordered else 0
    for before, member in pairwise([ordered[0], *ordered] if ordered else []):
        if member[0] - before[0] > gap:
            start = member[0]
        starts[member] = start
    return starts


def fields_of(starts: dict[Member, int]) -> dict[int, bytes]:
    """The fields of the sessions that have any, by start."""
    found: dict[int, bytes] = {}
    for member, start in sorted(starts.items()):
        if member[1] in GIVEN:
            found.setdefault(start, GIVEN[member[1]])
    return found


def views_of(starts: dict[Member, int]) -> dict[bytes, View]:
    """All views, by key."""
    watched: dict[bytes, list[tuple[Member, bytes, int]]] = {}
    for member in sorted(starts):
        note = note_of(member)
        if note is not None and not note.gives_fields:
            key, beside = note.text.split(b"\n")
            watched.setdefault(key, []).append((member, beside, note.amount))
    return {
        key: View(key, list(dict.fromkeys(row[1] for row in rows)), sum(row[2] for row in rows), fields_of(starts).get(starts[rows[0][0]]))
        for key, rows in watched.items()
    }


class Index:
    """What a reader of the outputs holds: events with session and fields, patched in order, the summaries of sessions and views."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.events: dict[Member, tuple[int, bytes | None]] = {}
        self.sessions: dict[int, Session] = {}
        self.views: dict[bytes, View] = {}
        self.patches = 0
        self.needed = 0
        """Events that had to be patched, batch by batch: the least possible number of patches."""

    def batch(self, client: Client, members: Sequence[Member]) -> None:
        before = dict(self.events)
        self.write(self.outputs(client, members))
        self.needed += sum(self.events[member] != found for member, found in before.items() if member not in members)

    def outputs(self, client: Client, members: Sequence[Member]) -> dict[bytes, bytes | None]:
        """Take in what a batch sends; what it would write is returned."""
        for time, event in members:
            client.add(time, event, note_of((time, event)))
        for time, event in members:
            session = client.session_of(time)
            self.events[time, event] = session.start, session.fields
        changes = client.settle()
        for event, time, start, fields in changes.patches:
            self.events[time, event] = start, fields
        self.patches += len(changes.patches)
        for start in changes.gone:
            self.sessions.pop(start, None)
        for session in changes.sessions:
            self.sessions[session.start] = session
        for view in changes.views:
            self.views[view.key] = view
        return changes.pages

    def write(self, pages: dict[bytes, bytes | None]) -> None:
        for name, value in pages.items():
            if value is None:
                self.stored.pop(name, None)
            else:
                self.stored[name] = value

    def check(self, members: Iterable[Member]) -> None:
        """What is held follows from the set of the members."""
        starts = oracle(members)
        fields = fields_of(starts)
        assert self.events == {member: (start, fields.get(start)) for member, start in starts.items()}
        assert self.sessions == summaries(starts)
        assert self.views == views_of(starts)


def summaries(starts: dict[Member, int]) -> dict[int, Session]:
    found: dict[int, list[int]] = {}
    for (time, _), start in starts.items():
        found.setdefault(start, []).append(time)
    fields = fields_of(starts)
    return {start: Session(start, max(times), len(times), fields.get(start)) for start, times in found.items()}


minutes = st.integers(0, 60 * 14).map(lambda minute: minute * 60_000)
"""Whole minutes, so that gaps of exactly one hour and equal stamps are common."""
odd = st.builds(lambda minute, ms: minute + ms, minutes, st.sampled_from([-1, 0, 1]))
member = st.tuples(st.one_of(minutes, odd), st.sampled_from("abcdefgh"))
arrivals = st.lists(st.lists(member, max_size=12), max_size=12)


@pytest.fixture(params=["small", "large"])
def clients(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients whose pages are all kept decoded, and clients of whom nothing is."""
    if request.param == "large":
        monkeypatch.setattr(members, "PAGE_MEMBERS", 3)
        monkeypatch.setattr(members, "DECODED_PAGES", 0)


@pytest.mark.usefixtures("clients")
@given(arrivals, st.booleans())
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_arrival_gives_the_sessions_of_the_set(batches: list[list[Member]], reload: bool) -> None:
    index = Index()
    client = Client(GAP, {})
    for batch in batches:
        if reload:  # what a restart finds in the table
            client = Client(GAP, index.stored)
        index.batch(client, batch)
    everything = [member for batch in batches for member in batch]
    index.check(everything)
    assert list(client.members) == sorted(set(everything))
    assert client.sessions == [index.sessions[start] for start in sorted(index.sessions)]
    assert client.views == [index.views[key] for key in sorted(index.views)]
    assert index.patches == index.needed, "no patch too many"


@given(arrivals)
def test_small_pages_hold_what_large_ones_do(batches: list[list[Member]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "PAGE_MEMBERS", 3)
        patch.setattr(members, "DECODED_PAGES", 1)
        index = Index()
        for batch in batches:
            index.batch(Client(GAP, index.stored), batch)
    everything = [member for batch in batches for member in batch]
    index.check(everything)
    assert list(Client(GAP, index.stored).members) == sorted(set(everything))


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4)
lives = st.lists(st.tuples(sizes, st.integers(0, 4), st.integers(0, 4)), max_size=6)
"""Workers that died: the sizes of the batches of which they sent outputs; for how many of these they had written the pages;
how many offsets they had committed."""


@given(st.lists(member, min_size=1, max_size=60), lives)
@settings(max_examples=300)
def test_whatever_workers_had_sent_written_and_committed_when_they_died(log: list[Member], died: list[tuple[list[int], int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "PAGE_MEMBERS", 3)
        index, committed = Index(), 0
        for batches, written, commits in died:
            client, position = Client(GAP, index.stored), committed
            changes = []
            offsets = []
            for size in batches:
                changes.append(index.outputs(client, log[position : position + size]))
                position += size
                offsets.append(position)
            for change in changes[:written]:
                index.write(change)
            committed = max([committed, *offsets[: min(written, commits)]])
        index.batch(Client(GAP, index.stored), log[committed:])
    index.check(log)
    assert list(Client(GAP, index.stored).members) == sorted(set(log))


@pytest.mark.parametrize(("gap", "same"), [(3_600_000, True), (3_600_001, False), (0, True)])
def test_exactly_an_hour_joins_and_a_millisecond_more_does_not(gap: int, same: bool) -> None:
    for order in ([0, gap], [gap, 0]):
        client = Client(GAP, {})
        for time in order:
            client.add(time, f"e{time}" if gap else str(order))
        assert (client.session_of(0) == client.session_of(gap)) is same


def test_a_repeated_event_changes_nothing() -> None:
    client = Client(GAP, {})
    assert client.add(5, "a")
    client.settle()
    assert not client.add(5, "a")
    assert client.settle() == ([], [], [], [], {})


def test_a_bridge_patches_only_the_later_session() -> None:
    index, client = Index(), Client(GAP, {})
    index.batch(client, [(0, "none"), (HOUR * 2, "one"), (HOUR * 2 + 1, "two")])
    index.batch(client, [(HOUR, "bridge")])
    assert index.patches == 2
    assert index.sessions == {0: Session(0, HOUR * 2 + 1, 4)}


def test_a_batch_that_arrives_backwards_patches_each_member_once() -> None:
    index, client = Index(), Client(GAP, {})
    index.batch(client, [(HOUR, "last")])
    index.batch(client, [(time, str(time)) for time in range(HOUR - 1, 0, -60_000)])
    assert index.patches == 1


def test_a_long_session_rewrites_few_pages() -> None:
    """One page for an event at the end, two for one that splits a page: never all that there is."""
    index, client = Index(), Client(GAP, {})
    index.batch(client, [(time * 1000, f"{time:036}") for time in range(20_000)])
    assert 20_000 / members.PAGE_MEMBERS <= len(index.stored) <= 20_000 / members.PAGE_MEMBERS + 1
    for time in (20_000_000, 7_000_001):
        client.add(time, "late")
        assert len(client.settle().pages) <= 2


@pytest.mark.usefixtures("clients")
@given(arrivals, st.integers(-1, 15))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_over_is_forgotten_by_whole_sessions(batches: list[list[Member]], hour: int) -> None:
    index, client = Index(), Client(GAP, {})
    for batch in batches:
        index.batch(client, batch)
    kept = [session for session in client.sessions if session.end >= hour * HOUR]
    index.write(client.expire(hour * HOUR)[0])
    again = Client(GAP, index.stored)
    assert client.sessions == again.sessions == kept
    assert client.first_end == (kept[0].end if kept else None)
    if kept:
        assert first_time(index.stored) == kept[0].start
    else:
        assert not index.stored


@given(st.text(max_size=20), st.integers(-(1 << 60), 1 << 60))
def test_a_session_id_is_an_exact_number_everywhere(client: str, start: int) -> None:
    assert 0 < session_id(client, start) < 1 << 53


def test_a_session_id_does_not_change_between_releases() -> None:
    assert session_id("141.211.4.33", 1_525_132_800_000) == 7302550936464652
    assert session_id("a", 0) == 5978416916694865
