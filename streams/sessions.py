"""Sessions of one client as a function of the set of its events, kept up as events arrive in any order.

A session is a maximal run of events of which none is more than `gap_ms` after the one before. Its id is made of the client
and the time of its first event, so that it depends on the set alone. An event that comes late can begin a session, extend
one, give it an earlier start (and so another id), or join two; members sent on before are then patched.

Some events say more, by a note (`schemas.notes`): of its events that give fields (a login its browser) the earliest, by time and
id, speaks for the whole session; what events say was watched is summed up in the client's views. Nothing of this is stored:
sessions, fields and views follow from the members and their notes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from schemas.notes import Note
from streams.members import Member, Members

PAGE_EVENTS = 2
"""A page that is not decoded takes as much memory as so many events, its stored form aside."""


class Session(NamedTuple):
    start: int
    end: int
    events: int
    fields: bytes | None = None
    """What all its events get: a JSON object; None where no event has given any."""


class Patch(NamedTuple):
    """An event that is not in the batch, as it is now."""

    id: str
    time: int
    start: int
    """Of its session."""
    fields: bytes | None


class View(NamedTuple):
    """What a client has watched of one thing on one day."""

    key: bytes
    beside: list[bytes]
    """The second lines of its notes, by the time of the first event of each."""
    amount: int
    fields: bytes | None
    """Of the session of its first event."""


class Changes(NamedTuple):
    """What a batch has done to a client's sessions."""

    patches: list[Patch]
    """Events that are not in the batch and whose session or fields have changed."""
    sessions: list[Session]
    """The sessions that are new or have changed, as they are now."""
    gone: list[int]
    """Starts at which a session began before the batch, or for a moment within it, and at which none begins now."""
    views: list[View]
    """The views that are new or have changed, as they are now."""
    pages: dict[bytes, bytes | None]
    """What to write: pages by their names; None deletes."""


class Client:
    """The sessions of one client. Add the events of a batch, ask for their sessions, then `settle`."""

    def __init__(self, gap_ms: int, pages: Mapping[bytes, bytes], reach_ms: int | None = None) -> None:
        """`reach_ms`: how far apart two events can be and still say something of each other; by default the gap."""
        self._gap = gap_ms
        self._reach = gap_ms if reach_ms is None else reach_ms
        self._members = Members(pages)
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._counts: list[int] = []
        self._givers: list[tuple[Member, bytes] | None] = []
        """Of each session, the event that gives it its fields, and these."""
        self._parts: dict[bytes, _Part] = {}
        """By the text of their notes."""
        self._views: dict[bytes, list[_Part]] = {}
        """By key."""
        self._sent: list[Member] = []
        self._touched: set[int] = set()
        self._moved: list[tuple[int, int]] = []
        """Stretches of time whose events had another session before."""
        self._before: dict[int, tuple[int, bytes | None]] = {}
        """Of sessions whose fields have changed, by start: the end and the fields that they had before the batch."""
        self._watched: set[bytes] = set()
        self._scan()

    # -- a batch

    def covers(self, time: int) -> bool:
        """Whether an event of this time would be within a session: between events of it, or at the time of one."""
        at = bisect_right(self._starts, time) - 1
        return at >= 0 and time <= self._ends[at]

    def add(self, time: int, event: str, note: Note | None = None) -> bool:
        """Add an event; False for one that is there already, which changes nothing."""
        member = time, event
        self._sent.append(member)
        if not self._members.add(member, note):
            return False
        at = self._join(time)
        self._touched.add(self._starts[at])
        if note is not None:
            self._take(note, member, at)
        return True

    def session_of(self, time: int) -> Session:
        """The session that a member of this time belongs to now."""
        return self._session(bisect_right(self._starts, time) - 1)

    def settle(self) -> Changes:
        """End the batch, and say what it has changed."""
        stretches = self._stretches()
        patches: list[Patch] = []
        sent = set(self._sent) if stretches else set()
        for start, end in stretches:  # sessions only grow, so all of a stretch is one session's
            now = self.session_of(start)
            found = self._members.between(start, end)
            patches += [Patch(event, time, now.start, now.fields) for time, event in found if (time, event) not in sent]
        self._watched.update(self._views_within(stretches))
        sessions = [self._session(bisect_left(self._starts, start)) for start in sorted(self._touched)]
        gone = sorted({start for start, _ in self._moved})
        views = [self._view(key) for key in sorted(self._watched)]
        self._begin()
        return Changes(patches, sessions, gone, views, self._members.written())

    def _stretches(self) -> list[tuple[int, int]]:
        """When the events were whose session or fields have changed."""
        if not self._moved and not self._before:
            return []
        changed = [(start, end) for start, (end, fields) in self._before.items() if not self._still(start, fields)]
        return list(_union([*self._moved, *changed]))

    def _still(self, start: int, fields: bytes | None) -> bool:
        """Whether a session begins at `start` that has these fields."""
        session = self.session_of(start)
        return session.start == start and session.fields == fields

    def _views_within(self, stretches: list[tuple[int, int]]) -> list[bytes]:
        """The views whose first event is in one of these stretches, which are in order."""
        if not stretches:
            return []
        ends = [end for _, end in stretches]
        firsts = ((key, _first(parts)) for key, parts in self._views.items())
        places = ((key, time, bisect_left(ends, time)) for key, time in firsts)
        return [key for key, time, at in places if at < len(ends) and stretches[at][0] <= time]

    def _begin(self) -> None:
        self._sent, self._touched, self._moved, self._before, self._watched = [], set(), [], {}, set()

    def _join(self, time: int) -> int:
        """Let the sessions follow one new event. Returns the position of its session."""
        starts, ends, gap = self._starts, self._ends, self._gap
        at = bisect_right(starts, time) - 1
        if at >= 0 and time - ends[at] <= gap:
            self._counts[at] += 1
            if time > ends[at]:
                ends[at] = time
                if at + 1 < len(starts) and starts[at + 1] - time <= gap:
                    self._merge(at)
            return at
        at += 1
        if at < len(starts) and starts[at] - time <= gap:
            self._move(at)
            starts[at] = time
            self._counts[at] += 1
        else:
            starts.insert(at, time)
            ends.insert(at, time)
            self._counts.insert(at, 1)
            self._givers.insert(at, None)
        return at

    def _merge(self, at: int) -> None:
        """The session after this one becomes a part of it."""
        self._move(at + 1)
        giver = self._givers.pop(at + 1)
        if giver is not None and self._givers[at] is None:
            self._before.setdefault(self._starts[at], (self._ends[at], None))
            self._givers[at] = giver
        self._ends[at] = self._ends.pop(at + 1)
        self._counts[at] += self._counts.pop(at + 1)
        del self._starts[at + 1]

    def _move(self, at: int) -> None:
        """The session loses its start, and with it its id."""
        self._touched.discard(self._starts[at])
        self._moved.append((self._starts[at], self._ends[at]))

    def _take(self, note: Note, member: Member, at: int) -> None:
        """Take in what a new event of a session says."""
        part = self._parts.get(note.text)
        if part is None:
            if note.gives_fields:
                self._give(note.text, member, at)
                return
            part = self._parts[note.text] = _Part(note.text, member)
            self._views.setdefault(part.key, []).append(part)
        part.amount += note.amount
        if member < part.first:
            part.first = member
        self._watched.add(part.key)

    def _give(self, fields: bytes, member: Member, at: int) -> None:
        giver = self._givers[at]
        if giver is None or member < giver[0]:
            self._before.setdefault(self._starts[at], (self._ends[at], self._fields(at)))
            self._givers[at] = member, fields

    # -- what is over

    def expire(self, before: int) -> tuple[dict[bytes, bytes | None], list[Session]]:
        """Forget the sessions that ended before a time (ms) and have none near them that did not: the pages to write, what is gone."""
        over = bisect_left(self._ends, before)
        while 0 < over < len(self._starts) and self._starts[over] - self._ends[over - 1] <= self._reach:
            over -= 1
        gone = [self._session(at) for at in range(over)]
        if gone:
            last = gone[-1].end
            self._members.drop(last)
            self._views = {key: parts for key, parts in self._views.items() if _first(parts) > last}
            self._parts = {part.text: part for parts in self._views.values() for part in parts}
            del self._starts[:over], self._ends[:over], self._counts[:over], self._givers[:over]
        return self._members.written(), gone

    @property
    def first_end(self) -> int | None:
        """When the oldest session ended; None without sessions."""
        return self._ends[0] if self._ends else None

    # -- all of it

    @property
    def sessions(self) -> list[Session]:
        return [self._session(at) for at in range(len(self._starts))]

    @property
    def views(self) -> list[View]:
        return [self._view(key) for key in sorted(self._views)]

    @property
    def members(self) -> Iterator[Member]:
        """All events, by time and id."""
        return iter(self._members)

    def __len__(self) -> int:
        return sum(self._counts)

    @property
    def held(self) -> int:
        """What is kept of it in memory between batches, in events."""
        return PAGE_EVENTS * self._members.pages if self._members.large else len(self)

    def _session(self, at: int) -> Session:
        return Session(self._starts[at], self._ends[at], self._counts[at], self._fields(at))

    def _fields(self, at: int) -> bytes | None:
        giver = self._givers[at]
        return None if giver is None else giver[1]

    def _view(self, key: bytes) -> View:
        parts = sorted(self._views[key], key=attrgetter("first"))
        fields = self.session_of(parts[0].first[0]).fields
        return View(key, [part.beside for part in parts], sum(part.amount for part in parts), fields)

    def _scan(self) -> None:
        """The sessions and views of all members."""
        starts, ends, counts, gap = self._starts, self._ends, self._counts, self._gap
        for times, notes in self._members.scan():
            for time in times:
                if ends and time - ends[-1] <= gap:
                    ends[-1] = time
                    counts[-1] += 1
                else:
                    starts.append(time)
                    ends.append(time)
                    counts.append(1)
                    self._givers.append(None)
            for member, note in notes.items():
                self._take(note, member, bisect_right(starts, member[0]) - 1)
        self._begin()


class _Part:
    """A view's events whose notes are the same."""

    __slots__ = ("amount", "beside", "first", "key", "text")

    def __init__(self, text: bytes, first: Member) -> None:
        self.text = text
        self.key, _, self.beside = text.partition(b"\n")
        self.first = first
        self.amount = 0


def _first(parts: Iterable[_Part]) -> int:
    """The time of a view's first event."""
    return min(part.first for part in parts)[0]


def _union(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same stretches of time (bounds included) in order, none of them overlapping another."""
    start = end = None
    for first, last in sorted(ranges):
        if end is not None and first <= end:
            end = max(end, last)
            continue
        if start is not None and end is not None:
            yield start, end
        start, end = first, last
    if start is not None and end is not None:
        yield start, end
