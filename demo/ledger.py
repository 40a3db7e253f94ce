"""The truth: what was written to which file, kept by the writer and compared with the audit."""

import os
from pathlib import Path

import msgspec

from demo.lines import Line


class Entry(msgspec.Struct):
    """Of one file, or of several."""

    bytes: int = 0
    records: int = 0
    events: int = 0
    """Documents that must be in the index because of it."""
    repeats: int = 0
    dead: int = 0
    """Dead letters that must exist because of it."""

    def add(self, other: "Entry") -> None:
        self.bytes += other.bytes
        self.records += other.records
        self.events += other.events
        self.repeats += other.repeats
        self.dead += other.dead


class Ledger(msgspec.Struct):
    files: dict[str, Entry] = {}
    """By path relative to the folder of the logs, as the file is called now."""
    planned: int = 0
    """Records that will have been written at the end."""
    finished: bool = False

    def enter(self, file: str, line: Line) -> None:
        self.files.setdefault(file, Entry()).add(Entry(len(line.data), line.records, line.events, line.repeats, line.dead))

    def total(self) -> Entry:
        total = Entry()
        for entry in self.files.values():
            total.add(entry)
        return total


def save(ledger: Ledger, path: Path) -> None:
    """Replace the file at once, so that a reader never sees half of it."""
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(ledger)))
    os.replace(new, path)


def load(path: Path) -> Ledger:
    """An empty ledger where there is none yet."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger()
