"""The events of one client, sorted, in pages of which a batch writes only those that it touches.

Members are kept in pages of at most `PAGE_MEMBERS`, sorted by time and id, each under the lowest member it may hold: a batch
rewrites a few pages, however many events a client has. What an event says of its session (`schemas.notes`) is stored in its page,
so that no page needs another one to be understood.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from operator import itemgetter, sub

import msgspec

from schemas.notes import Note

Member = tuple[int, str]
"""An event of a session: its time in milliseconds since 1970, and its id."""

PAGE_MEMBERS = 32
"""Some 1.3 kB with ids of 36 characters. An event alone in its batch costs one page, to encode (5 us) and in the changelog."""
_LOWEST: Member = (-(1 << 63), "")
_time = itemgetter(0)


class _Page:
    __slots__ = ("lower", "members")

    def __init__(self, lower: Member, members: list[Member]) -> None:
        self.lower = lower
        self.members = members


class Members:
    """A sorted set of events with the notes of some, on top of stored pages."""

    def __init__(self, pages: Mapping[bytes, bytes]) -> None:
        self.notes: dict[Member, Note] = {}
        self._pages = [_Page(_lower(name), _decode(value, self.notes)) for name, value in sorted(pages.items())]
        self._lowers = [page.lower for page in self._pages]
        self._dirty: set[Member] = set()
        self._count = sum(len(page.members) for page in self._pages)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Member]:
        """All events, by time and id."""
        return (member for page in self._pages for member in page.members)

    def __contains__(self, member: Member) -> bool:
        at = bisect_right(self._lowers, member) - 1
        if at < 0:
            return False
        members = self._pages[at].members
        index = bisect_left(members, member)
        return index < len(members) and members[index] == member

    def between(self, start: int, end: int) -> Iterator[Member]:
        """The members with start <= time <= end."""
        for at in range(max(bisect_left(self._lowers, (start, "")) - 1, 0), len(self._pages)):
            page = self._pages[at]
            if page.lower[0] > end:
                return
            yield from page.members[bisect_left(page.members, start, key=_time) : bisect_right(page.members, end, key=_time)]

    def add(self, member: Member, note: Note | None) -> bool:
        """False for a member that is there already, which changes nothing."""
        at = bisect_right(self._lowers, member) - 1
        if at < 0:
            at = 0
            self._insert(0, _Page(_LOWEST, []))
        page = self._pages[at]
        members = page.members
        if members and member <= members[-1]:
            index = bisect_left(members, member)
            if members[index] == member:
                return False
            members.insert(index, member)
            self._dirty.add(page.lower)
            if len(members) > PAGE_MEMBERS:
                half = len(members) // 2
                self._insert(at + 1, _Page(members[half], members[half:]))
                del members[half:]
        elif len(members) < PAGE_MEMBERS:
            members.append(member)
            self._dirty.add(page.lower)
        else:  # as most are: the full page stays as it is stored
            self._insert(at + 1, _Page(member, [member]))
        if note is not None:
            self.notes[member] = note
        self._count += 1
        return True

    def drop(self, last: int) -> None:
        """Forget the members up to a time (ms), that included."""
        for page in self._pages:
            gone = bisect_right(page.members, last, key=_time)
            if not gone:
                break
            for member in page.members[:gone]:
                self.notes.pop(member, None)
            del page.members[:gone]
            self._count -= gone
            self._dirty.add(page.lower)

    def written(self) -> dict[bytes, bytes | None]:
        """The pages that differ from what is stored, by their names; None deletes."""
        pages: dict[bytes, bytes | None] = {}
        for lower in self._dirty:
            at = bisect_left(self._lowers, lower)
            members = self._pages[at].members
            pages[_name(lower)] = _encode(members, self.notes) if members else None
            if not members:
                del self._pages[at], self._lowers[at]
        self._dirty.clear()
        return pages

    def _insert(self, at: int, page: _Page) -> None:
        self._pages.insert(at, page)
        self._lowers.insert(at, page.lower)
        self._dirty.add(page.lower)


def first_time(pages: Mapping[bytes, bytes]) -> int:
    """The time of a client's first event, from its stored pages, without decoding them."""
    return int.from_bytes(pages[min(pages)][:8], "big", signed=True)


class _Stored(msgspec.Struct, array_like=True):
    """A page's value after the first member's time in 8 bytes, as MessagePack."""

    distances: list[int]
    """Of each member but the first, its time after the one before."""
    events: list[str]
    texts: list[bytes] = []
    """The notes' texts, each once."""
    notes: list[int] = []
    """Three numbers a note: the member's position, the text's position, the amount."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Stored).decode


def _name(lower: Member) -> bytes:
    """A page's name: sorts as its lowest member does."""
    return b"" if lower == _LOWEST else (lower[0] + (1 << 63)).to_bytes(8, "big") + lower[1].encode()


def _lower(name: bytes) -> Member:
    return (int.from_bytes(name[:8], "big") - (1 << 63), name[8:].decode()) if name else _LOWEST


def _encode(members: list[Member], noted: Mapping[Member, Note]) -> bytes:
    times = [time for time, _ in members]
    stored = _Stored(list(map(sub, times[1:], times)), [event for _, event in members])
    if noted:
        texts: dict[bytes, int] = {}
        for position, note in enumerate(map(noted.get, members)):
            if note is not None:
                stored.notes += (position, texts.setdefault(note[0], len(texts)), note[1])
        stored.texts = list(texts)
    return times[0].to_bytes(8, "big", signed=True) + _pack(stored)


def _decode(value: bytes, notes: dict[Member, Note]) -> list[Member]:
    """The members of a page; their notes are added to `notes`."""
    stored = _unpack(value[8:])
    times = accumulate(stored.distances, initial=int.from_bytes(value[:8], "big", signed=True))
    members = list(zip(times, stored.events, strict=True))
    numbers = iter(stored.notes)
    for position, text, amount in zip(numbers, numbers, numbers, strict=True):
        notes[members[position]] = Note(stored.texts[text], amount)
    return members
