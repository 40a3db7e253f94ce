"""How far a backfill is: one live line on a terminal; elsewhere a few plain lines now and then, with the files that have most to go."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO

from tailrace.words import amount

_LIVE_S = 0.2
_PLAIN_S = 5.0


class FileCounts(NamedTuple):
    path: str
    first: int
    """Bytes that earlier runs have shipped."""
    acknowledged: int
    total: int


class Counts(NamedTuple):
    acknowledged: int
    """Bytes."""
    total: int
    records: int
    files: int
    longest: tuple[FileCounts, ...] = ()
    """Unfinished files that have most to go, the longest first."""


class Progress:
    def __init__(self, out: TextIO | None = None) -> None:
        """To standard error unless told otherwise."""
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._began_s = time.monotonic()
        self._shown_s = self._began_s if not self._live else 0.0
        self._first = 0

    def begin(self, counts: Counts) -> None:
        """What earlier runs have shipped, which is no speed of this one."""
        self._first = counts.acknowledged

    def show(self, count: Callable[[], Counts]) -> None:
        """Say where things stand, if it is time to; only then are they counted."""
        now_s = time.monotonic()
        if now_s - self._shown_s < (_LIVE_S if self._live else _PLAIN_S):
            return
        self._shown_s = now_s
        counts = count()
        line = self._line(counts, now_s)
        files = [self._file(file, now_s) for file in counts.longest]
        if self._live:
            whole = "; ".join([line, *files[:1]])
            self._out.write(f"\r\x1b[K{whole[: shutil.get_terminal_size().columns - 1]}")
        else:
            self._out.write("\n  ".join([line, *files]) + "\n")
        self._out.flush()

    def end(self, counts: Counts) -> None:
        """The last line."""
        line = self._line(counts, time.monotonic())
        self._out.write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        self._out.flush()

    def _line(self, counts: Counts, now_s: float) -> str:
        elapsed_s = max(now_s - self._began_s, 1e-3)
        rate, eta = _pace(counts.acknowledged - self._first, counts.total - counts.acknowledged, elapsed_s)
        return (
            f"{_share(counts.acknowledged, counts.total)} in {amount(counts.files, 'file')}, {amount(counts.records, 'record')}, "
            f"{rate}, {clock(elapsed_s)}{eta}"
        )

    def _file(self, file: FileCounts, now_s: float) -> str:
        elapsed_s = max(now_s - self._began_s, 1e-3)
        rate, eta = _pace(file.acknowledged - file.first, file.total - file.acknowledged, elapsed_s)
        return f"{file.path}: {_share(file.acknowledged, file.total).lstrip()}, {rate}{eta}"


def _share(acknowledged: int, total: int) -> str:
    share = acknowledged / total if total else 1.0
    return f"{share:4.0%} {size(acknowledged)} of {size(total)}"


def _pace(done: int, left: int, elapsed_s: float) -> tuple[str, str]:
    """Speed so far, and what is left at that speed, where that is a second or more."""
    rate = done / elapsed_s
    left_s = left / rate if rate else 0.0
    return f"{rate / 1e6:.1f} MB/s", f", {clock(left_s)} left" if left_s >= 1 else ""


def size(count: float) -> str:
    """Bytes for a person: `1.5 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{count:.1f} TB"


def clock(seconds: float) -> str:
    """`75` is `1:15`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
