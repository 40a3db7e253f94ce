"""The process that writes the demo's log files: `python -m demo.writer FOLDER`.

It writes like the programs it stands for: EZCast opens a new file every day, DataONE's log is renamed when it is full
and written on until it is reopened, half lines stand for a moment, and sometimes nothing happens for a while.
"""

import time
from bisect import bisect_right
from itertools import groupby
from pathlib import Path
from random import Random
from typing import BinaryIO

import click

from demo import dataone, ezcast
from demo.ledger import Ledger, save
from demo.lines import Line, in_order

TRACES, EVENTS = "traces", "events"
"""Folders of the two sources."""
LEDGER = "ledger.json"

TICK_S = 0.1
PAUSE_AT, PAUSE_S = 0.45, 2.0
"""Nobody writes anything for a while in the middle; what was due is then written at once."""
HALF_LINES = 0.3
"""Share of the writes that stop in the middle of a line."""
HALF_LINE_S = (0.02, 0.3)
ROTATIONS = (0.35, 0.7)
"""Shares of the event log after which it is renamed."""


class Logs:
    """The open log files, and the ledger of what went into them."""

    def __init__(self, folder: Path, ledger: Ledger, random: Random) -> None:
        self._folder = folder
        self._ledger = ledger
        self._random = random
        self._open: dict[str, BinaryIO] = {}
        for name in (TRACES, EVENTS):
            (folder / name).mkdir(exist_ok=True)

    def close(self) -> None:
        for file in self._open.values():
            file.close()

    def append(self, lines: list[Line], *, torn: bool) -> None:
        """Write lines of one file together; `torn` leaves the last one unfinished for a moment."""
        name = _path(lines[0])
        file = self._file(name)
        *whole, last = lines
        file.write(b"".join(line.data for line in whole))
        if torn:
            self._tear(file, last)
        else:
            file.write(last.data)
        for line in lines:
            self._ledger.enter(name, line)
        self._save()

    def rotate(self, line: Line) -> None:
        """Rename the line's file while half of the line stands in it, finish the line there, and go on in a new file."""
        name = _path(line)
        file = self._open.pop(name)
        half = len(line.data) // 2
        file.write(line.data[:half])
        self._rename(name)
        time.sleep(HALF_LINE_S[1])
        file.write(line.data[half:])
        file.close()
        self._ledger.enter(f"{name}.1", line)
        self._save()

    def _save(self) -> None:
        save(self._ledger, self._folder / LEDGER)

    def _file(self, name: str) -> BinaryIO:
        if name not in self._open:
            self._open[name] = (self._folder / name).open("ab", buffering=0)
        return self._open[name]

    def _tear(self, file: BinaryIO, line: Line) -> None:
        """The cut is before the line's first line feed, so that no reader can take the first half for a record."""
        cut = self._random.randrange(1, line.data.index(b"\n") + 1)
        file.write(line.data[:cut])
        time.sleep(self._random.uniform(*HALF_LINE_S))
        file.write(line.data[cut:])

    def _rename(self, name: str) -> None:
        """`log` becomes `log.1`, `log.1` becomes `log.2`."""
        number = 1
        while f"{name}.{number}" in self._ledger.files:
            number += 1
        for older in range(number, 0, -1):
            source = name if older == 1 else f"{name}.{older - 1}"
            (self._folder / source).rename(self._folder / f"{name}.{older}")
            self._ledger.files[f"{name}.{older}"] = self._ledger.files.pop(source)


def _path(line: Line) -> str:
    return f"{EVENTS if line.file == dataone.FILE else TRACES}/{line.file}"


def play(lines: list[Line], seconds: float, logs: Logs, random: Random) -> None:
    """Write the lines, whose times stretch over a day, within so many seconds."""
    due, rotations = _due(lines, seconds), _rotations(lines)
    start = time.monotonic()
    position, paused = 0, False
    while position < len(lines):
        elapsed = time.monotonic() - start
        if not paused and elapsed >= PAUSE_AT * seconds:
            paused = True
            time.sleep(PAUSE_S)
        end = bisect_right(due, elapsed, lo=position)
        for (_, rotates), batch in groupby(range(position, end), key=lambda at: (lines[at].file, at in rotations)):
            together = [lines[at] for at in batch]
            if rotates:
                logs.rotate(together[0])
            else:
                logs.append(together, torn=random.random() < HALF_LINES)
        position = end
        time.sleep(TICK_S)


def _due(lines: list[Line], seconds: float) -> list[float]:
    """Seconds from the start at which each line is written. The few stragglers of the day after come with the last hour."""
    times = [line.at for line in lines]
    first, last = times[0], dataone.START + 21 * dataone.HOUR_S
    return [min(1.0, (at - first) / (last - first)) * seconds for at in times]


def _rotations(lines: list[Line]) -> set[int]:
    """Positions of the lines at which the event log is renamed."""
    events = [position for position, line in enumerate(lines) if line.file == dataone.FILE]
    return {events[int(len(events) * share)] for share in ROTATIONS}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=30.0, show_default=True, help="A day takes so long.")
@click.option("--crowd", type=click.IntRange(min=1), default=1, show_default=True, help="So many times as many people.")
def main(folder: Path, seed: int, seconds: float, crowd: int) -> None:
    """Write a day of EZCast traces and DataONE events, and the older files, into FOLDER."""
    if (folder / LEDGER).exists():
        raise click.ClickException(f"{folder} was written to before: a second time would make every line double")
    older, today = ezcast.older(seed), in_order([*ezcast.day(seed, crowd), *dataone.day(seed, crowd)])
    ledger = Ledger(planned=sum(line.records for line in [*older, *today]))
    random = Random(f"writer {seed}")
    logs = Logs(folder, ledger, random)
    try:
        for _, lines in groupby(older, key=lambda line: line.file):
            logs.append(list(lines), torn=False)
        play(today, seconds, logs, random)
    finally:
        logs.close()
    ledger.finished = True
    save(ledger, folder / LEDGER)


if __name__ == "__main__":
    main()
