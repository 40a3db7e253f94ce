"""What the generators make and the writer writes: lines of log files, each with what must become of it."""

from collections.abc import Iterable
from typing import NamedTuple


class Line(NamedTuple):
    """One write to a log file: a record with its line feeds, and now and then foreign text behind it."""

    at: float
    """When it is written, in seconds since 1970."""
    file: str
    """Name of the file, without folder."""
    data: bytes
    records: int = 1
    """Records that a producer makes of it."""
    events: int = 1
    """Documents that it adds to the index: 0 for what nobody can read."""
    repeats: int = 0
    """Events that an earlier line has told already."""
    dead: int = 0
    """Dead letters that it becomes."""


def in_order(lines: Iterable[Line]) -> list[Line]:
    """By the time of writing; what one visitor wrote in the same second keeps its order."""
    return sorted(lines, key=lambda line: line.at)
