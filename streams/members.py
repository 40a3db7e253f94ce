"""The events of one client, sorted, in pages of which a batch reads and writes only those that it touches.

Members are kept in pages of at most `PAGE_MEMBERS`, sorted by time and id, each under the lowest member it may hold: a batch
rewrites a few pages, however many events a client has. What an event says of its session (`schemas.notes`) is stored in its page,
so that no page needs another one to be understood.

The pages of most clients are kept decoded. Those of a client that has many are decoded while a batch needs them: its events take no
more memory than their stored form, and to open it again is to read their times.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from operator import itemgetter, sub
from typing import NamedTuple

import msgspec

from schemas.notes import Note

Member = tuple[int, str]
"""An event of a session: its time in milliseconds since 1970, and its id."""

PAGE_MEMBERS = 32
"""Some 1.3 kB with ids of 36 characters. An event alone in its batch costs one page, to encode (5 us) and in the changelog."""
DECODED_PAGES = 64
"""A client that has more is a large one."""
_LOWEST: Member = (-(1 << 63), "")
_time = itemgetter(0)


class _Decoded(NamedTuple):
    members: list[Member]
    notes: dict[Member, Note]
    """Of some of them."""


class _Page:
    """One page; the value that is stored, if any, is kept to decode it from."""

    __slots__ = ("decoded", "lower", "value")

    def __init__(self, lower: Member, value: bytes | None, decoded: _Decoded | None) -> None:
        self.lower = lower
        self.value = value
        self.decoded = decoded

    def look(self) -> _Decoded:
        """What it holds, to be read at once and not to be changed."""
        if self.decoded is not None:
            return self.decoded
        assert self.value is not None
        return _decode(self.value)


class Members:
    """A sorted set of events with the notes of some, on top of stored pages."""

    def __init__(self, pages: Mapping[bytes, bytes]) -> None:
        self._pages = [_Page(_lower(name), value, None) for name, value in sorted(pages.items())]
        self._lowers = [page.lower for page in self._pages]
        self._dirty: dict[_Page, None] = {}
        """The pages that have changed since they were stored, in the order of that."""
        self._decoded: list[_Page] = []
        if not self.large:
            for page in self._pages:
                self._open(page)

    @property
    def large(self) -> bool:
        """Whether pages are decoded for one batch at a time."""
        return len(self._pages) > DECODED_PAGES

    @property
    def pages(self) -> int:
        return len(self._pages)

    def __iter__(self) -> Iterator[Member]:
        """All events, by time and id."""
        return (member for page in self._pages for member in page.look().members)

    def scan(self) -> Iterator[tuple[list[int], Mapping[Member, Note]]]:
        """Page by page, the times of the events and what some of them say."""
        for page in self._pages:
            times = _times(page.value) if page.decoded is None and page.value is not None else None
            if times is not None:
                yield times, {}
            else:
                members, notes = page.look()
                yield [time for time, _ in members], notes

    def between(self, start: int, end: int) -> Iterator[Member]:
        """The members with start <= time <= end."""
        for at in range(max(bisect_left(self._lowers, (start, "")) - 1, 0), len(self._pages)):
            page = self._pages[at]
            if page.lower[0] > end:
                return
            members = page.look().members
            yield from members[bisect_left(members, start, key=_time) : bisect_right(members, end, key=_time)]

    def add(self, member: Member, note: Note | None) -> bool:
        """False for a member that is there already, which changes nothing."""
        at = bisect_right(self._lowers, member) - 1
        if at < 0:
            at = 0
            self._insert(0, _LOWEST, _Decoded([], {}))
        page = self._pages[at]
        members, notes = page.decoded or self._open(page)
        if members and member <= members[-1]:
            index = bisect_left(members, member)
            if members[index] == member:
                return False
            members.insert(index, member)
        elif len(members) < PAGE_MEMBERS:
            members.append(member)
        else:  # as most are: the full page stays as it is stored
            self._insert(at + 1, member, _Decoded([member], {} if note is None else {member: note}))
            return True
        if note is not None:
            notes[member] = note
        self._dirty[page] = None
        if len(members) > PAGE_MEMBERS:
            self._split(at)
        return True

    def drop(self, last: int) -> None:
        """Forget the members up to a time (ms), that included."""
        for page in self._pages:
            if page.lower[0] > last:
                break
            members, notes = self._open(page)
            gone = bisect_right(members, last, key=_time)
            for member in members[:gone]:
                notes.pop(member, None)
            del members[:gone]
            if gone:
                self._dirty[page] = None

    def written(self) -> dict[bytes, bytes | None]:
        """The pages that differ from what is stored, by their names; None deletes. Ends the batch."""
        values: dict[bytes, bytes | None] = {}
        for page in self._dirty:
            assert page.decoded is not None
            page.value = values[_name(page.lower)] = _encode(*page.decoded) if page.decoded.members else None
        self._dirty.clear()
        if None in values.values():
            self._pages = [page for page in self._pages if page.value is not None]
            self._lowers = [page.lower for page in self._pages]
        if self.large:
            for page in self._decoded:
                page.decoded = None
            self._decoded.clear()
        return values

    def _open(self, page: _Page) -> _Decoded:
        if page.decoded is None:
            assert page.value is not None
            page.decoded = _decode(page.value)
            self._decoded.append(page)
        return page.decoded

    def _split(self, at: int) -> None:
        members, notes = self._open(self._pages[at])
        half = len(members) // 2
        later = members[half:]
        del members[half:]
        self._insert(at + 1, later[0], _Decoded(later, {member: notes.pop(member) for member in later if member in notes}))

    def _insert(self, at: int, lower: Member, decoded: _Decoded) -> None:
        page = _Page(lower, None, decoded)
        self._pages.insert(at, page)
        self._lowers.insert(at, lower)
        self._decoded.append(page)
        self._dirty[page] = None


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


class _StoredTimes(msgspec.Struct, array_like=True):
    """As much of `_Stored` as a scan needs."""

    distances: list[int]
    events: msgspec.Raw
    texts: msgspec.Raw


_unpack_times = msgspec.msgpack.Decoder(_StoredTimes).decode
_NO_TEXTS = _pack([])


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
                stored.notes += (position, texts.setdefault(note.text, len(texts)), note.amount)
        stored.texts = list(texts)
    return times[0].to_bytes(8, "big", signed=True) + _pack(stored)


def _decode(value: bytes) -> _Decoded:
    stored = _unpack(value[8:])
    members = list(zip(_at(value, stored.distances), stored.events, strict=True))
    numbers = iter(stored.notes)
    notes = {members[position]: Note(stored.texts[text], amount) for position, text, amount in zip(numbers, numbers, numbers, strict=True)}
    return _Decoded(members, notes)


def _times(value: bytes) -> list[int] | None:
    """The times of a page's members; None where some have notes, which are not read here."""
    stored = _unpack_times(value[8:])
    return list(_at(value, stored.distances)) if bytes(stored.texts) == _NO_TEXTS else None


def _at(value: bytes, distances: list[int]) -> Iterator[int]:
    """The members' times, one after another."""
    return accumulate(distances, initial=int.from_bytes(value[:8], "big", signed=True))
