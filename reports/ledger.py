"""What Kafka's raw records promise, and what the index and the dead letters keep of it. Pure bookkeeping.

Memory: about 600 bytes for each record and its event (measured), so a million events take 0.6 GB.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from zlib import crc32

from schemas.event import Dead, Parsed
from schemas.place import Place

Parse = Callable[[bytes, Place, int], Parsed]
Fate = Literal["indexed", "dead", "missing", "double"]


class Shipped(NamedTuple):
    """One record as Kafka holds it."""

    end: int
    """Offset just after its last LF; of a torn record, the offset where it breaks off."""
    checksum: int
    """CRC-32 of its bytes without the last LF."""


@dataclass
class Account:
    """One file as Kafka holds it."""

    place: Place
    records: dict[int, int] = field(default_factory=dict)
    """By offset; packed, see `shipped`."""
    repeated: int = 0
    """Further copies of records: after a restart, by a second host."""
    repeated_events: int = 0
    """Records that give an event which another record gave already."""
    conflicting: list[int] = field(default_factory=list)
    """Offsets at which Kafka holds different records of the same length."""
    dead_due: set[int] = field(default_factory=set)
    """Offsets at which parsing gives a dead letter."""

    def shipped(self, offset: int) -> Shipped | None:
        packed = self.records.get(offset)
        return None if packed is None else Shipped(offset + (packed >> 32), packed & 0xFFFF_FFFF)

    def spans(self) -> list[tuple[int, int]]:
        """The bytes that Kafka holds, as ordered stretches that do not touch."""
        joined: list[tuple[int, int]] = []
        for start in sorted(self.records):
            end = start + (self.records[start] >> 32)
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return joined


class Owed(NamedTuple):
    """An event that the raw records give."""

    id: str
    file: str
    offset: int
    fate: Fate


class Ledger:
    """Tell it every raw record, dead letter and document; then ask."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self.accounts: dict[str, Account] = {}
        self.dead: set[tuple[str, int]] = set()
        """Places of dead letters: file id and offset."""
        self.foreign: dict[str, str] = {}
        """Ids that no record explains, with their index."""
        self._numbers: dict[str, int] = {}  # id to its place in these three:
        self._files: list[str] = []
        self._offsets = array("q")
        self._copies = bytearray()  # documents with the id: 0, 1, or 2 for several

    def record(self, place: Place, offset: int, value: bytes) -> None:
        account = self.accounts.get(place.file)
        if account is None:
            account = self.accounts[place.file] = Account(place)
        size = len(value) + (not place.torn)
        packed = size << 32 | crc32(value)
        known = account.records.get(offset)
        if known is not None:
            account.repeated += 1
            if size == known >> 32 and packed != known:
                account.conflicting.append(offset)
            if size <= known >> 32:
                return
            account.dead_due.discard(offset)  # the longer one counts: a torn record that is whole now, a continuation that came late
        account.records[offset] = packed
        for outcome in self._parse(value, place, offset):
            if isinstance(outcome, Dead):
                account.dead_due.add(outcome.offset)
            else:
                self._owe(outcome.id, account, offset)

    def _owe(self, id: str, account: Account, offset: int) -> None:
        number = self._numbers.setdefault(id, len(self._files))
        if number < len(self._files):
            account.repeated_events += (self._files[number], self._offsets[number]) != (account.place.file, offset)
            return
        self._files.append(account.place.file)
        self._offsets.append(offset)
        self._copies.append(0)

    def dead_letter(self, place: Place, offset: int) -> None:
        self.dead.add((place.file, offset))

    def buried(self) -> dict[str, set[int]]:
        """By file id, the offsets of dead letters that stand for something: not those whose event reached the index after all."""
        arrived = {(event.file, event.offset) for event in self.owed() if event.fate in ("indexed", "double")} if self.dead else set()
        found: dict[str, set[int]] = {}
        for file, offset in self.dead:
            if (file, offset) not in arrived or offset in self.accounts[file].dead_due:
                found.setdefault(file, set()).add(offset)
        return found

    def document(self, id: str, index: str) -> None:
        number = self._numbers.get(id)
        if number is None:
            self.foreign[id] = index
        elif self._copies[number] < 2:
            self._copies[number] += 1

    def explain(self, outcomes: Parsed) -> None:
        """Events of records that this ledger was not told: their documents are not foreign."""
        for outcome in outcomes:
            if not isinstance(outcome, Dead):
                self.foreign.pop(outcome.id, None)

    def owed(self) -> Iterator[Owed]:
        """Every event and its fate."""
        for id, number in self._numbers.items():
            file, offset = self._files[number], self._offsets[number]
            yield Owed(id, file, offset, self._fate(number, file, offset))

    def fates(self) -> dict[str, Counter[Fate]]:
        """By file id, how many of its events met which fate."""
        found: dict[str, Counter[Fate]] = {file: Counter() for file in self.accounts}
        for event in self.owed():
            found[event.file][event.fate] += 1
        return found

    def _fate(self, number: int, file: str, offset: int) -> Fate:
        if self._copies[number]:
            return "indexed" if self._copies[number] == 1 else "double"
        return "dead" if (file, offset) in self.dead else "missing"
