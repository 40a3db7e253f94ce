"""A week of traces under fire: `tailrace run`, as the demo starts it, while its processes are killed again and again.

Ten files: one is compressed, one is rotated half-way and written on by a writer that does not know, one grows by half lines. `make fire`
kills 20 processes instead of 5; the option `--seed` chooses other ones.
"""

import gzip
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random

import click
import pytest

from tests.helpers import eventually
from tests.soak.pipeline import children
from tests.system.conftest import MakePipeline, ezcast
from tests.system.pipeline import Pipeline

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(900)]

LINES = 300
"""Of each file."""
PAUSE_S = (0.3, 3.0)
"""Between two kills. A role takes about 2 s to start, so some die before they do anything."""
LIMIT_S = 240


def day(number: int) -> bytes:
    """Events of one day, one a second, by 20 clients."""
    return b"".join(
        b"2016-10-%02d-%02d:%02d:%02d | session%018d | 10.0.0.%d | student%03d | 3 | view_help\n"
        % (number, 8 + n // 3600, n // 60 % 60, n % 60, n % 20, n % 20 + 1, n % 20)
        for n in range(LINES)
    )


class Week:
    """The files, and whoever writes them."""

    def __init__(self, logs: Path, random: Random) -> None:
        self._logs, self._random = logs, random
        for number in range(3, 10):
            self._path(number).write_bytes(day(number))
        self._path(10).with_suffix(".trace.gz").write_bytes(gzip.compress(day(10)))
        self._rotated = self._path(11).open("ab", buffering=0)
        self._rotated.write(day(11)[: len(day(11)) // 3])
        self._left = [day(11)[len(day(11)) // 3 :], day(12)]
        self._growing = self._path(12).open("ab", buffering=0)

    def _path(self, number: int) -> Path:
        return self._logs / f"2016-10-{number:02}.trace"

    def rotate(self) -> None:
        self._path(11).rename(self._logs / "2016-10-11.trace.1")

    def grow(self, share: float) -> None:
        """Both open files, by a share of what is left, wherever that ends."""
        for number, file in enumerate((self._rotated, self._growing)):
            size = int(len(self._left[number]) * share)
            file.write(self._left[number][:size])
            self._left[number] = self._left[number][size:]

    def end(self) -> None:
        self.grow(1)
        for file in (self._rotated, self._growing):
            file.close()

    @staticmethod
    def stamps() -> Counter[str]:
        """Of all lines: each is the only one of its second."""
        return Counter(line.split(b" ", 1)[0].decode() for number in range(3, 13) for line in day(number).splitlines())


def test_a_week_of_traces_under_fire(pipeline: MakePipeline, logs: Path, pytestconfig: pytest.Config) -> None:
    kills, seed = pytestconfig.getoption("--kills"), pytestconfig.getoption("--seed")
    click.echo(f"\n{kills} kills, seed {seed}")
    random, began_s = Random(seed), time.monotonic()
    week, run = Week(logs, random), pipeline(ezcast={**ezcast(logs), "paths": [f"{logs}/*.trace*"]})
    process = run.start("run", "--wait", "60s")
    try:
        eventually(lambda: len(children(process.pid)) == 4, "all roles run", LIMIT_S)
        for number in range(kills):
            if number == kills // 2:
                week.rotate()
            week.grow(random.random() / 2)
            time.sleep(random.uniform(*PAUSE_S))  # wherever they are by then
            process = _kill_one(run, process, random, f"{time.monotonic() - began_s:5.1f} s")
        week.end()
        lines = week.stamps()
        eventually(lambda: len(run.documents("ezcast")) >= lines.total(), f"{lines.total()} documents", LIMIT_S)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(10)
    run.backfill()  # what was on its way
    found = run.documents("ezcast").values()
    assert Counter(document["timestamp"] for document in found) == lines
    assert run.audit()["clean"]
    run.run("sessions", "repair", "--dry-run")  # computes sessions and views once more, and finds no difference
    click.echo(f"clean after {time.monotonic() - began_s:.0f} s: each of {lines.total():,} lines is searchable once")


def _kill_one(run: Pipeline, process: "subprocess.Popen[bytes]", random: Random, when: str) -> "subprocess.Popen[bytes]":
    """One of the roles or, as likely as each of them, the supervisor, whose death takes the roles along. The supervisor that runs then."""
    victim = random.choice([process.pid, *children(process.pid)])
    click.echo(f"{when}  SIGKILL {_role(victim)}")
    os.kill(victim, signal.SIGKILL)
    if victim != process.pid:
        return process
    process.wait(10)
    return run.start("run", "--wait", "60s")


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return next((word for word in words if word in ("run", "ship", "parse", "sessionize", "sink")), "what was about to start")
