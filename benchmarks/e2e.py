"""File to searchable, through every stage: a backfill, and then a live line under load, all on one machine beside both servers.

The backfill is `tailrace run --once` on daily files of EZCast lines, from its start to its end, with the CPU seconds of each of its
processes. Then `tailrace run` follows a file to which lines are appended at a steady rate; now and then one is looked for in the
index until it is found, where an index's refresh interval (a second) alone makes it wait half a second.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from elasticsearch import Elasticsearch

from benchmarks import _visits
from infra.forget import forget
from tailrace import search
from tailrace.settings import Settings, load

SOURCE = "ezcast"
ZONE = ZoneInfo("Europe/Brussels")
LOOK_S = 0.25
"""Between two looks at what processes have used."""
PROBE_S = 0.5
"""Between two lines that are looked for."""
POLL_S = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


class Pipeline(NamedTuple):
    config: Path
    traces: Path
    """The folder that it ships."""
    settings: Settings
    client: Elasticsearch


@contextmanager
def pipeline(mark: str) -> Iterator[Pipeline]:
    """Not running yet, in a folder of its own, with names that begin with `mark`; nothing is left of it at the end."""
    with tempfile.TemporaryDirectory(prefix=f"tailrace-{mark}-") as folder:
        config, traces = _configure(Path(folder), f"{mark}-bench-{uuid.uuid4().hex[:8]}-")
        settings = load(config, {})
        try:
            yield Pipeline(config, traces, settings, search.connect(settings.elasticsearch, 5))
        finally:
            forget(settings)


def _configure(folder: Path, mark: str) -> tuple[Path, Path]:
    """A configuration file for a pipeline whose names begin with `mark`, and the folder of its traces."""
    configured = load()
    traces = folder / "traces"
    traces.mkdir()
    config = folder / "tailrace.toml"
    config.write_text(f"""\
state_dir = "{folder}/state"
[kafka]
bootstrap_servers = "{configured.kafka.bootstrap_servers}"
topic_prefix = "{mark}"
[elasticsearch]
url = "{configured.elasticsearch.url}"
index_prefix = "{mark}"
[sources.{SOURCE}]
paths = ["{traces}/*.trace"]
""")
    return config, traces


def write_files(folder: Path, events: int) -> int:
    """Daily files of so many lines; their bytes."""
    lines: dict[str, list[str]] = {}
    for visit in _visits.visits(events):
        lines.setdefault(visit.day, []).extend(visit.lines)
    for day, its in lines.items():
        its.sort(key=lambda line: line[:19])
        (folder / day).write_text("\n".join(its) + "\n")
    return sum(file.stat().st_size for file in folder.iterdir())


@contextmanager
def running(config: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command of `tailrace`, which is stopped at the end if it has not ended."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    command = [sys.executable, "-m", "tailrace.cli", "--config", str(config), *words]
    with (config.parent / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def cpu_s(pid: int) -> dict[str, float]:
    """CPU seconds of a process's children that run a role, by role."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
            user, system = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11:13]
        except OSError:  # it has ended
            continue
        role = next((word for word in words if word in ("ship", "parse", "sessionize", "sink")), None)
        if role:
            found[role] = (int(user) + int(system)) / TICKS
    return found


def backfill(config: Path, events: int, size: int) -> None:
    began = time.monotonic()
    used: dict[str, float] = {}
    with running(config, "run", "--once") as process:
        while process.poll() is None:
            used |= cpu_s(process.pid)
            time.sleep(LOOK_S)
    took_s = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"tailrace run --once exited {process.returncode}:\n{(config.parent / 'log').read_text()[-2000:]}")
    print(f"{events:,} lines ({size / 1e6:,.0f} MB) from file to searchable in {took_s:.1f} s: {events / took_s:,.0f} events/s\n")
    print("| process | CPU s | CPU s/M |\n|---|---|---|")
    for role, seconds in used.items():
        print(f"| {role} | {seconds:.1f} | {seconds / events * 1e6:.1f} |")
    print(f"| all | {sum(used.values()):.1f} | {sum(used.values()) / events * 1e6:.1f} |\n", flush=True)


class Writer(threading.Thread):
    """Appends lines at a steady rate, with a probe now and then whose netid is its number."""

    def __init__(self, file: Path, rate: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._file, self._rate, self._seconds = file, rate, seconds
        self.written_at: dict[str, float] = {}
        """By probe, on the clock of time.monotonic."""

    def run(self) -> None:
        lines = cycle([line for visit in _visits.visits(10_000) for line in visit.lines])
        began, sent, probes = time.monotonic(), 0, 0
        with self._file.open("a", buffering=1024 * 1024) as file:
            while (now := time.monotonic()) < began + self._seconds:
                stamp = datetime.now(ZONE).strftime("%Y-%m-%d-%H:%M:%S")
                while sent < (now - began) * self._rate:
                    file.write(f"{stamp}{next(lines)[19:]}\n")
                    sent += 1
                probe = f"probe{probes}" if now >= began + probes * PROBE_S else None
                if probe:
                    file.write(f"{stamp} | {probe} | 164.15.1.1 | {probe} | 1 | view_help\n")
                    probes += 1
                file.flush()
                if probe:
                    self.written_at[probe] = time.monotonic()
                time.sleep(0.01)

    def end(self) -> None:
        """Write no more than this."""
        self._seconds = 0.0


def live(its: Pipeline, rate: int, seconds: float) -> None:
    file = its.traces / f"{datetime.now(ZONE):%Y-%m-%d}.trace"
    with running(its.config, "run"):
        warm = Writer(file, rate, 5)
        warm.start()
        assert found(its, warm, 60), "the first live lines did not arrive"
        writer = Writer(file.with_suffix(".live.trace"), rate, seconds)
        writer.start()
        waited = found(its, writer, seconds + 60)
    print(f"live lines at {rate:,} a second for {seconds:.0f} s, from append to found: {in_words(waited, len(writer.written_at))}")


def in_words(waited: Mapping[str, float], written: int) -> str:
    """Of the seconds that probes waited, of so many that were written."""
    quantiles = statistics.quantiles(waited.values(), n=100)
    return f"median {quantiles[49]:.2f} s, 99th percentile {quantiles[98]:.2f} s ({len(waited)} probes, {written - len(waited)} not found)"


def found(its: Pipeline, writer: Writer, patience_s: float) -> dict[str, float]:
    """Seconds from the append of each probe until a search found it."""
    waited: dict[str, float] = {}
    deadline = time.monotonic() + patience_s
    pattern = f"{its.settings.elasticsearch.index_prefix}{SOURCE}-*"
    while time.monotonic() < deadline and (writer.is_alive() or len(waited) < len(writer.written_at)):
        missing = [probe for probe in list(writer.written_at) if probe not in waited]
        if missing:
            body: Mapping[str, object] = {"terms": {"netid": missing}}
            answer = its.client.search(index=pattern, query=body, source=["netid", "source"], size=1000, ignore_unavailable=True)
            now = time.monotonic()
            for hit in answer["hits"]["hits"]:
                if hit["_source"]["source"] == str(writer._file):
                    waited.setdefault(hit["_source"]["netid"], now - writer.written_at[hit["_source"]["netid"]])
        time.sleep(POLL_S)
    return waited


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks e2e", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=1_000, help="live lines a second")
    parser.add_argument("--seconds", type=float, default=60, help="of live lines")
    options = parser.parse_args(argv)
    with pipeline("e2e") as its:
        backfill(its.config, options.lines, write_files(its.traces, options.lines))
        live(its, options.rate, options.seconds)


if __name__ == "__main__":
    main()
