"""Sessions of one client as a function of the set of its events, kept up as events arrive in any order.

A session is a maximal run of events of which none is more than `gap_ms` after the one before. Its id is made of the client
and the time of its first event, so that it depends on the set alone. An event that comes late can begin a session, extend
one, give it an earlier start (and so another id), or join two; members sent on before are then patched.

Members are kept in pages of at most `PAGE_MEMBERS`, sorted by time and id, each under the lowest member it may hold: a batch
rewrites only the pages that it touches, however long a session is. Sessions are not stored: they follow from the members.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

Member = tuple[int, str]
"""An event of a session: its time in milliseconds since 1970, and its id."""

PAGE_MEMBERS = 32
"""Some 1.3 kB with ids of 36 characters. An event alone in its batch costs one page, to encode (5 us) and in the changelog."""
_LOWEST: Member = (-(1 << 63), "")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[int], list[str]]).decode


def session_id(client: str, start: int) -> int:
    """The id of the client's session whose first event is at `start` (ms): 0 < id < 2^53, exact in JavaScript and JSON."""
    digest = blake2b(b"%d " % start + client.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 11 or 1


class Session(NamedTuple):
    start: int
    end: int
    events: int


class Changes(NamedTuple):
    """What a batch has done to a client's sessions."""

    patches: list[tuple[str, int, int]]
    """(event id, time, new start of its session) of events that are not in the batch and have changed session."""
    sessions: list[Session]
    """The sessions that are new or have changed, as they are now."""
    gone: list[int]
    """Starts at which a session has begun or might have, had the batch been cut elsewhere, and at which none begins now.

    A worker that died may have cut it there and have told others of that session."""
    pages: dict[bytes, bytes | None]
    """What to write, in this order: pages by their names; None deletes."""


class _Page:
    __slots__ = ("lower", "members")

    def __init__(self, lower: Member, members: list[Member]) -> None:
        self.lower = lower
        self.members = members


class Client:
    """The sessions of one client. Add the events of a batch, ask for their sessions, then `settle`."""

    def __init__(self, gap_ms: int, pages: Mapping[bytes, bytes]) -> None:
        self._gap = gap_ms
        self._pages = [_Page(_lower(name), _members(value)) for name, value in sorted(pages.items())]
        self._lowers = [page.lower for page in self._pages]
        self._dirty: set[Member] = set()
        self._trim()
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._counts: list[int] = []
        self._scan()
        self._sent: set[Member] = set()
        self._touched: set[int] = set()
        self._moved: list[tuple[int, int]] = []

    # -- a batch

    def has(self, time: int, event: str) -> bool:
        at = bisect_right(self._lowers, (time, event)) - 1
        if at < 0:
            return False
        members = self._pages[at].members
        index = bisect_left(members, (time, event))
        return index < len(members) and members[index] == (time, event)

    def add(self, time: int, event: str) -> bool:
        """Add an event; False for one that is there already, which changes nothing."""
        self._sent.add((time, event))
        if self.has(time, event):
            return False
        self._store((time, event))
        self._join(time)
        return True

    def start_of(self, time: int) -> int:
        """The start of the session that a member of this time belongs to now."""
        return self._starts[bisect_right(self._starts, time) - 1]

    def settle(self) -> Changes:
        """End the batch, and say what it has changed."""
        patches = [
            (event, time, self.start_of(time))
            for start, end in _union(self._moved)
            for time, event in self._between(start, end)
            if (time, event) not in self._sent
        ]
        touched = sorted(self._touched)
        sessions = [self._session(bisect_left(self._starts, start)) for start in touched]
        gone = sorted({start for start, _ in self._moved})
        self._sent, self._touched, self._moved = set(), set(), []
        return Changes(patches, sessions, gone, self._written())

    def _join(self, time: int) -> None:
        """Let the sessions follow one new event."""
        starts, ends, gap = self._starts, self._ends, self._gap
        at = bisect_right(starts, time) - 1
        if at >= 0 and time - ends[at] <= gap:
            self._counts[at] += 1
            if time > ends[at]:
                ends[at] = time
                if at + 1 < len(starts) and starts[at + 1] - time <= gap:
                    self._move(at + 1)
                    ends[at] = ends.pop(at + 1)
                    self._counts[at] += self._counts.pop(at + 1)
                    del starts[at + 1]
            self._touched.add(starts[at])
            return
        if at + 1 < len(starts) and starts[at + 1] - time <= gap:
            self._move(at + 1)
            starts[at + 1] = time
            self._counts[at + 1] += 1
        else:
            starts.insert(at + 1, time)
            ends.insert(at + 1, time)
            self._counts.insert(at + 1, 1)
        self._touched.add(time)

    def _move(self, at: int) -> None:
        """The session loses its start, and with it its id."""
        self._touched.discard(self._starts[at])
        self._moved.append((self._starts[at], self._ends[at]))

    # -- what is over

    def expire(self, before: int) -> dict[bytes, bytes | None]:
        """Forget the sessions that ended before a time (ms). Returns the pages to write."""
        over = bisect_left(self._ends, before)
        if over:
            last = self._ends[over - 1]
            for page in self._pages:
                gone = bisect_right(page.members, last, key=_time)
                if not gone:
                    break
                del page.members[:gone]
                self._dirty.add(page.lower)
            del self._starts[:over], self._ends[:over], self._counts[:over]
        return self._written()

    @property
    def first_end(self) -> int | None:
        """When the oldest session ended; None without sessions."""
        return self._ends[0] if self._ends else None

    @property
    def sessions(self) -> list[Session]:
        return [self._session(at) for at in range(len(self._starts))]

    @property
    def members(self) -> Iterator[Member]:
        """All events, by time and id."""
        return (member for page in self._pages for member in page.members)

    def __len__(self) -> int:
        return sum(self._counts)

    # -- pages

    def _session(self, at: int) -> Session:
        return Session(self._starts[at], self._ends[at], self._counts[at])

    def _scan(self) -> None:
        """The sessions of all members."""
        for time, _ in self.members:
            if self._ends and time - self._ends[-1] <= self._gap:
                self._ends[-1] = time
                self._counts[-1] += 1
            else:
                self._starts.append(time)
                self._ends.append(time)
                self._counts.append(1)

    def _trim(self) -> None:
        """A page that was split holds what is in the next page too, if the worker died between writing the two."""
        for page, after in zip(self._pages, self._lowers[1:], strict=False):
            keep = bisect_left(page.members, after)
            if keep < len(page.members):
                del page.members[keep:]
                self._dirty.add(page.lower)

    def _between(self, start: int, end: int) -> Iterator[Member]:
        """The members with start <= time <= end."""
        for at in range(max(bisect_left(self._lowers, (start, "")) - 1, 0), len(self._pages)):
            page = self._pages[at]
            if page.lower[0] > end:
                return
            yield from page.members[bisect_left(page.members, start, key=_time) : bisect_right(page.members, end, key=_time)]

    def _store(self, member: Member) -> None:
        at = bisect_right(self._lowers, member) - 1
        if at < 0:
            at = 0
            self._insert(0, _Page(_LOWEST, []))
        page = self._pages[at]
        if len(page.members) < PAGE_MEMBERS:
            insort(page.members, member)
            self._dirty.add(page.lower)
        elif member > page.members[-1]:  # as most are: the full page stays as it is stored
            self._insert(at + 1, _Page(member, [member]))
        else:
            insort(page.members, member)
            self._dirty.add(page.lower)
            half = len(page.members) // 2
            self._insert(at + 1, _Page(page.members[half], page.members[half:]))
            del page.members[half:]

    def _insert(self, at: int, page: _Page) -> None:
        self._pages.insert(at, page)
        self._lowers.insert(at, page.lower)
        self._dirty.add(page.lower)

    def _written(self) -> dict[bytes, bytes | None]:
        """The pages that differ from what is stored, the upper half of a split before the lower (see `_trim`)."""
        pages: dict[bytes, bytes | None] = {}
        for lower in sorted(self._dirty, reverse=True):
            at = bisect_left(self._lowers, lower)
            members = self._pages[at].members
            pages[_name(lower)] = _value(members) if members else None
            if not members:
                del self._pages[at], self._lowers[at]
        self._dirty.clear()
        return pages


def first_time(pages: Mapping[bytes, bytes]) -> int:
    """The time of a client's first event, from its stored pages, without decoding them."""
    return int.from_bytes(pages[min(pages)][:8], "big", signed=True)


def _time(member: Member) -> int:
    return member[0]


def _name(lower: Member) -> bytes:
    """A page's name: sorts as its lowest member does."""
    return b"" if lower == _LOWEST else (lower[0] + (1 << 63)).to_bytes(8, "big") + lower[1].encode()


def _lower(name: bytes) -> Member:
    return (int.from_bytes(name[:8], "big") - (1 << 63), name[8:].decode()) if name else _LOWEST


def _value(members: list[Member]) -> bytes:
    """The first time in 8 bytes, then MessagePack: the distances of the times, the ids."""
    times = [time for time, _ in members]
    distances = [after - before for before, after in pairwise(times)]
    return times[0].to_bytes(8, "big", signed=True) + _encode((distances, [event for _, event in members]))


def _members(value: bytes) -> list[Member]:
    distances, events = _decode(value[8:])
    times = accumulate(distances, initial=int.from_bytes(value[:8], "big", signed=True))
    return list(zip(times, events, strict=True))


def _union(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same stretches of time (bounds included), none of them overlapping another."""
    ordered = sorted(ranges)
    while ordered:
        start, end = ordered.pop(0)
        while ordered and ordered[0][0] <= end:
            end = max(end, ordered.pop(0)[1])
        yield start, end
