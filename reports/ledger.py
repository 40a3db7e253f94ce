"""What Kafka's raw records promise, and what the index and the dead letters keep of it.

The books are kept in a SQLite database of their own, a temporary file that vanishes with the ledger, so the size of a backlog
is a matter of disk (75 bytes a record and its event, measured with EZCast ids) and not of memory (0.13 GB).
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from zlib import crc32

from schemas.event import Dead, Parsed
from schemas.place import Place

Parse = Callable[[bytes, Place, int], Parsed]
Fate = Literal["indexed", "dead", "missing", "double"]

CACHE_KIB = 128 * 1024
"""Of the database in memory."""

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE records (
    file INTEGER, "offset" INTEGER, size INTEGER, checksum INTEGER, time INTEGER, PRIMARY KEY (file, "offset")
) WITHOUT ROWID;
CREATE TABLE dead_due (file INTEGER, "offset" INTEGER, time INTEGER, PRIMARY KEY (file, "offset")) WITHOUT ROWID;
CREATE TABLE dead (file INTEGER, "offset" INTEGER, PRIMARY KEY (file, "offset")) WITHOUT ROWID;
CREATE TABLE events (id TEXT PRIMARY KEY, file INTEGER, "offset" INTEGER, copies INTEGER) WITHOUT ROWID;
CREATE TABLE unexplained (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
BEGIN;
"""
"""`copies`: documents with the id, 0, 1, or 2 for several. `time`: when Kafka got the record, in milliseconds since 1970."""

_FATE = """CASE copies WHEN 1 THEN 'indexed' WHEN 0 THEN CASE WHEN EXISTS
    (SELECT 1 FROM dead WHERE dead.file = events.file AND dead."offset" = events."offset") THEN 'dead' ELSE 'missing' END
    ELSE 'double' END"""


class Shipped(NamedTuple):
    """One record as Kafka holds it."""

    end: int
    """Offset just after it, its LF included; of a torn record, the offset where it breaks off."""
    checksum: int
    """CRC-32 of its bytes without the last LF."""


@dataclass
class Account:
    """One file as Kafka holds it."""

    place: Place
    number: int
    """Of the file, in the books."""
    _books: sqlite3.Connection
    shipped: int = 0
    """Records, each place once."""
    repeated: int = 0
    """Further copies of records: after a restart, by a second host."""
    repeated_events: int = 0
    """Records that give an event which another record gave already."""
    conflicting: list[int] = field(default_factory=list)
    """Offsets at which Kafka holds different records of the same length."""

    def record(self, offset: int) -> Shipped | None:
        found = self._books.execute('SELECT size, checksum FROM records WHERE file = ? AND "offset" = ?', (self.number, offset)).fetchone()
        return found and Shipped(offset + found[0], found[1])

    def spans(self) -> list[tuple[int, int]]:
        """The bytes that Kafka holds, as ordered stretches that do not touch."""
        joined: list[tuple[int, int]] = []
        rows = self._books.execute('SELECT "offset", "offset" + size FROM records WHERE file = ? ORDER BY "offset"', (self.number,))
        for start, end in rows:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return joined

    def dead_due(self) -> list[int]:
        """Offsets at which parsing gives a dead letter, and there is none."""
        rows = self._books.execute(
            'SELECT "offset" FROM dead_due WHERE file = ? EXCEPT SELECT "offset" FROM dead WHERE file = ?', (self.number, self.number)
        )
        return [offset for (offset,) in rows]


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
        self._books = sqlite3.connect("", isolation_level=None)  # no name: a temporary file
        self._books.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._books.executescript(_TABLES)
        self.accounts: dict[str, Account] = {}
        self._numbers: dict[str, int] = {}
        """Of files, those that only dead letters name included."""

    def close(self) -> None:
        self._books.close()

    def record(self, place: Place, offset: int, value: bytes, time_ms: int = 0) -> None:
        account = self.accounts.get(place.file)
        if account is None:
            account = self.accounts[place.file] = Account(place, self._number(place.file), self._books)
        size, checksum = len(value) + (not place.torn), crc32(value)
        row = (account.number, offset, size, checksum, time_ms)
        if self._books.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)", row).rowcount:
            account.shipped += 1
        elif not self._grows(account, offset, size, checksum):
            return
        for outcome in self._parse(value, place, offset):
            if isinstance(outcome, Dead):
                self._books.execute("INSERT OR IGNORE INTO dead_due VALUES (?, ?, ?)", (account.number, outcome.offset, time_ms))
            else:
                self._owe(outcome.id, account, offset)

    def _grows(self, account: Account, offset: int, size: int, checksum: int) -> bool:
        """Whether a further record of a place is longer and counts instead: a torn one that is whole now, a continuation that came late."""
        account.repeated += 1
        known = account.record(offset)
        assert known is not None
        if offset + size == known.end and checksum != known.checksum:
            account.conflicting.append(offset)
        if offset + size <= known.end:
            return False
        at = (account.number, offset)
        self._books.execute('UPDATE records SET size = ?, checksum = ? WHERE file = ? AND "offset" = ?', (size, checksum, *at))
        self._books.execute('DELETE FROM dead_due WHERE file = ? AND "offset" = ?', at)
        return True

    def _owe(self, id: str, account: Account, offset: int) -> None:
        if not self._books.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, 0)", (id, account.number, offset)).rowcount:
            first = self._books.execute('SELECT file, "offset" FROM events WHERE id = ?', (id,)).fetchone()
            account.repeated_events += first != (account.number, offset)

    def _number(self, file: str) -> int:
        return self._numbers.setdefault(file, len(self._numbers))

    def newest(self, file: str) -> int:
        """The highest offset of a file's records; 0 where there is none."""
        return self._books.execute('SELECT max("offset") FROM records WHERE file = ?', (self._numbers.get(file),)).fetchone()[0] or 0

    def holds(self, file: str, offset: int, id: str) -> bool:
        """Whether a place is a record's, and its event's id is known, or it is a dead letter's."""
        asked = {"file": self._numbers.get(file), "offset": offset, "id": id}
        found = """SELECT EXISTS (SELECT 1 FROM dead WHERE file = :file AND "offset" = :offset)
            OR EXISTS (SELECT 1 FROM records WHERE file = :file AND "offset" = :offset) AND EXISTS (SELECT 1 FROM events WHERE id = :id)"""
        return bool(self._books.execute(found, asked).fetchone()[0])

    def dead_letter(self, place: Place, offset: int) -> None:
        self._books.execute("INSERT OR IGNORE INTO dead VALUES (?, ?)", (self._number(place.file), offset))

    def dead(self, file: str) -> set[int]:
        """Offsets of a file's dead letters."""
        return {offset for (offset,) in self._books.execute('SELECT "offset" FROM dead WHERE file = ?', (self._numbers.get(file),))}

    def forget_dead(self) -> None:
        """Start the dead letters anew."""
        self._books.execute("DELETE FROM dead")

    def forget_mended(self) -> None:
        """Forget dead letters whose event reached the index after all, so that no record counts twice."""
        self._books.execute(
            """DELETE FROM dead WHERE (file, "offset") NOT IN (SELECT file, "offset" FROM dead_due)
            AND (file, "offset") IN (SELECT file, "offset" FROM events JOIN dead USING (file, "offset") WHERE copies > 0)"""
        )

    def presume_dead(self, before_ms: int) -> Counter[str]:
        """Take for dead letters what lacks of records that Kafka got before; how many, by file id.

        For letters that retention has deleted while it keeps their records.
        """
        lacking = """SELECT file, "offset" FROM dead_due WHERE time < ?1 UNION SELECT events.file, events."offset"
            FROM events JOIN records USING (file, "offset") WHERE copies = 0 AND records.time < ?1
            EXCEPT SELECT file, "offset" FROM dead"""
        files = list(self._numbers)
        found: Counter[str] = Counter()
        for number, count in self._books.execute(f"SELECT file, COUNT(*) FROM ({lacking}) GROUP BY file", (before_ms,)):
            found[files[number]] = count
        self._books.execute(f"INSERT INTO dead {lacking}", (before_ms,))
        return found

    def document(self, id: str, index: str) -> None:
        if not self._books.execute("UPDATE events SET copies = min(copies + 1, 2) WHERE id = ?", (id,)).rowcount:
            self._books.execute("INSERT OR REPLACE INTO unexplained VALUES (?, ?)", (id, index))

    def explain(self, outcomes: Parsed) -> None:
        """Events of records that this ledger was not told: their documents are not foreign."""
        for outcome in outcomes:
            if not isinstance(outcome, Dead):
                self.explain_document(outcome.id)

    def explain_document(self, id: str) -> None:
        self._books.execute("DELETE FROM unexplained WHERE id = ?", (id,))

    def foreign(self) -> Iterator[tuple[str, str]]:
        """Ids that no record explains, with their index."""
        yield from self._books.execute("SELECT id, name FROM unexplained")

    def any_foreign(self) -> bool:
        return next(self.foreign(), None) is not None

    def owed(self, *fates: Fate) -> Iterator[Owed]:
        """Every event that met one of these fates."""
        files = list(self._numbers)
        marks = ", ".join("?" * len(fates))
        rows = self._books.execute(f'SELECT id, file, "offset", {_FATE} AS fate FROM events WHERE fate IN ({marks})', fates)
        for id, number, offset, fate in rows:
            yield Owed(id, files[number], offset, fate)

    def count(self, fate: Fate) -> int:
        """How many events met it."""
        return int(self._books.execute(f"SELECT COUNT(*) FROM events WHERE {_FATE} = ?", (fate,)).fetchone()[0])

    def fates(self) -> dict[str, Counter[Fate]]:
        """By file id, how many of its events met which fate."""
        files = list(self._numbers)
        found: dict[str, Counter[Fate]] = {file: Counter() for file in self.accounts}
        for number, fate, count in self._books.execute(f"SELECT file, {_FATE} AS fate, COUNT(*) FROM events GROUP BY file, fate"):
            found[files[number]][fate] = count
        return found
