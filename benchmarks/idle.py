"""What following thousands of files costs while few of them grow: `tailrace ship` in this process, on a real Kafka.

Files are made and shipped first. Then so many of them get a line each second, and the processor time of the whole process is
counted; how long a line waits until it is on the topic, for files that have grown lately and for one that has not; and what each of the
things takes that concern all files.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.ship import own, source
from producers import figures
from producers.checkpoint import Store
from producers.publish import Publisher
from producers.ship import Shipper
from tailrace.metrics import expose
from tailrace.settings import Settings, load

CATCH_UP_S = 120.0
LINE = b"2016-09-27-10:00:00 | session | 10.0.0.1 | user | 4 | video_play_time | %d\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks idle", description=__doc__)
    parser.add_argument("files", type=int, nargs="?", default=10_000)
    parser.add_argument("--growing", type=int, default=5, help="files that get a line each second")
    parser.add_argument("--seconds", type=int, default=30, help="how long is measured")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, own(load(), folder) as settings:
        logs = Path(folder) / "logs"
        logs.mkdir()
        paths = [logs / f"{number:06}.trace" for number in range(options.files)]
        for number, path in enumerate(paths):
            path.write_bytes(LINE % number)
        with _following(settings, logs) as shipper:
            began_s, cpu_s = time.monotonic(), time.process_time()
            _await(lambda: shipper.records == options.files)
            took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
            print(f"{options.files:,} files are shipped after {took_s:.1f} s, {cpu_s:.1f} s of a core")
            time.sleep(15)  # they come to rest, and are told of
            _print_idle(shipper, paths[: options.growing], options.seconds)
            print(f"a line in a file that has rested waits {_wait(shipper, paths[-1]):.2f} s")
            _print_chores(shipper)
    print(f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}")


@contextmanager
def _following(settings: Settings, logs: Path) -> Iterator[Shipper]:
    with closing(Store(Path(settings.state_dir))) as store, closing(Publisher(settings.kafka, lambda: shipper.stopping)) as publisher:
        shipper = Shipper([replace(source(logs / "*.trace"), record_start=None)], "bench-host", publisher, store, once=False)
        thread = threading.Thread(target=shipper.run)
        thread.start()
        try:
            yield shipper
        finally:
            shipper.stop()
            thread.join()


def _print_idle(shipper: Shipper, growing: list[Path], seconds: int) -> None:
    waits: list[float] = []
    if growing:
        _wait(shipper, *growing)  # until now they rested
    cpu_s, began_s = time.process_time(), time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        if growing:
            waits.append(_wait(shipper, *growing))
        time.sleep(max(0.0, 1 - (time.monotonic() - began_s - elapsed_s)))
    share = (time.process_time() - cpu_s) / (time.monotonic() - began_s)
    print(f"{share:.1%} of a core, with {len(growing)} files that grow")
    if waits:
        print(f"a line in a file that has grown lately waits {statistics.median(waits):.2f} s, at most {max(waits):.2f} s")


def _wait(shipper: Shipper, *paths: Path) -> float:
    """Seconds until a new line of each is acknowledged."""
    due = shipper.records + len(paths)
    for path in paths:
        with path.open("ab") as file:
            file.write(LINE % 1)
    began_s = time.monotonic()
    _await(lambda: shipper.records >= due)
    return time.monotonic() - began_s


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + CATCH_UP_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {CATCH_UP_S:.0f} s")
        time.sleep(0.01)


def _print_chores(shipper: Shipper) -> None:
    """Called beside the producer, which has nothing to do meanwhile."""
    print("\n| of all files | ms |\n|---|---|")
    chores: dict[str, Callable[[], object]] = {
        "look for files": shipper._scan,
        "save the checkpoint": shipper._save,
        "heartbeat": shipper._beat,
        "look for complete files": shipper._look_for_complete,
        "answer /metrics": lambda: expose(figures.samples(shipper)),
        "answer /health": lambda: figures.health(shipper),
    }
    for name, chore in chores.items():
        print(f"| {name} | {statistics.median(_took_ms(chore) for _ in range(5)):.1f} |")


def _took_ms(chore: Callable[[], object]) -> float:
    began_s = time.thread_time()
    chore()
    return (time.thread_time() - began_s) * 1e3
