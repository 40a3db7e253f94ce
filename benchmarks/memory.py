"""Peak memory and time of `tailrace ship --once` by how much there is to ship, and in how many files: both should leave memory as it is.

Each case is a process of its own on topics of its own, which are deleted before the next. Files are made of one block that is
repeated under first lines that differ, so the whole of a case is on the disk once, and on the broker compressed.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.ship import Run, in_process, own, run_ship, write_trace
from tailrace.settings import load

MEGABYTE = 1_000_000


class Case(NamedTuple):
    files: int
    megabytes: int
    """In all."""


CASES = (Case(1, 50), Case(1, 500), Case(1, 2000), Case(10, 500), Case(3000, 500))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks memory", description=__doc__)
    parser.add_argument("--most", type=int, default=2000, metavar="MB", help="leave out cases that are larger")
    options = parser.parse_args(argv)
    print("| files | MB in all | peak MB | seconds | MB/s | CPU s/GB |\n|---|---|---|---|---|---|")
    for case in CASES:
        if case.megabytes <= options.most:
            with tempfile.TemporaryDirectory() as folder:
                _print(case.files, *_measure(case, Path(folder)))


def _measure(case: Case, folder: Path) -> tuple[float, Run]:
    """How many megabytes there were, and what became of them."""
    logs = folder / "logs"
    logs.mkdir()
    block = folder / "block"
    write_trace(block, min(50_000, max(1, case.megabytes * MEGABYTE // case.files // 1_800)))  # so that what is too much is a tenth at most
    for number in range(case.files):
        _fill(logs / f"{number:06}.trace", block, case.megabytes * MEGABYTE // case.files)
    megabytes = sum(path.stat().st_size for path in logs.iterdir()) / MEGABYTE
    with own(load(), str(folder)) as settings:
        return megabytes, in_process(run_ship, settings, logs / "*.trace", 0)


def _fill(path: Path, block: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(f"2016-09-26-00:00:00 | {path.name}\n".encode())
        while file.tell() < size:
            with block.open("rb") as content:
                shutil.copyfileobj(content, file)


def _print(files: int, megabytes: float, run: Run) -> None:
    rate, per_gb = megabytes / run.seconds, run.cpu_s / megabytes * 1000
    print(f"| {files:,} | {megabytes:,.0f} | {run.peak_mb:.0f} | {run.seconds:.1f} | {rate:.0f} | {per_gb:.1f} |", flush=True)
