"""File to Kafka: `tailrace ship --once` against a plain confluent-kafka loop that sends the same keys and values to one partition,
and against rsyslog and syslog-ng where they are installed.

All are idempotent, acks=all, compressed alike, and done when every record is acknowledged; the loop splits lines with
Python's own file iterator and counts delivery reports, without joining, identity, checkpoints or heartbeats. Runs are
interleaved, each in a process of its own; medians are compared. The topics are checked for the number of records. Ours and the
loop are timed from opening the file, others from the start of their process, until the last record is on the topic.

Then each but the loop is killed with SIGKILL when so many records are on the topic, and started again: what it lost and doubled.
"""

import argparse
import multiprocessing
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from benchmarks._shippers import SHIPPERS, Shipper, end, peak_mb
from producers.checkpoint import Store
from producers.cli import run
from schemas.event import Parsed
from schemas.place import Place, key_prefix
from schemas.source import Source, SourceSettings
from tailrace import kafka
from tailrace.settings import Settings, load

SOURCE = "bench"
PLAIN = "plain loop"
OURS = "tailrace ship --once"

QUIET_S = 5.0
"""A shipper whose topic has not grown for so long has sent all that it will send."""
LIMIT_S = 120.0


class Run(NamedTuple):
    seconds: float
    """From opening the file until the last record is acknowledged."""
    cpu_s: float
    peak_mb: float


class Killed(NamedTuple):
    at: int
    """Records on the topic when it was killed."""
    lost: int
    doubled: int
    told: int
    """Of those that are doubled, how many have the key of the first copy, by which a reader drops them."""


def write_trace(path: Path, lines: int) -> int:
    """A trace like EZCast's, 167 bytes a line, one event in a thousand of two lines, no two equal; how many records it holds."""
    records = 0
    with path.open("wb") as file:
        for number in range(lines):
            stamp = f"2016-09-27-{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
            if number % 1000 == 999:
                file.write(f"and on the next line | the rest of a bookmark | {number}\n".encode())
                continue
            records += 1
            session, video = f"{number % 997:026d}", f"COURSE-{number % 53:03}-pub | 2016_09_19_14h00 | cam"
            file.write(
                f"{stamp} | {session} | 10.0.{number % 250}.{number % 199} | user{number % 997:05} | 4 | video_play_time"
                f" | {video} | {number % 5400} | {number % 3600} | from_button | {number:010}\n".encode()
            )
    return records


def source(path: Path) -> Source:
    def parse(*_: object) -> Parsed:
        raise NotImplementedError("a producer does not parse")

    start = re.compile(rb"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d \| ")
    settings = SourceSettings(format="ezcast", paths=[str(path)])
    return Source(SOURCE, settings, SOURCE, parse, {}, record_start=start, ordered_by_file=True)


# The programs, each measured over one file


def run_ship(settings: Settings, path: Path) -> None:
    store = Store(Path(settings.state_dir))
    run(settings, [source(path)], store, once=True)
    store.close()


def run_plain(settings: Settings, path: Path) -> None:
    prefix = key_prefix(Place("0123456789abcdef0123", "bench-host", str(path)))
    topic = kafka.topic(settings.kafka, SOURCE, "raw")
    producer = Producer(kafka.producer_config(settings.kafka))
    acknowledged = 0

    def delivered(error: object, _: object) -> None:
        nonlocal acknowledged
        acknowledged += error is None

    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file):
            while True:
                try:
                    producer.produce(topic, line[:-1], prefix + b"%d" % offset, 0, delivered)
                    break
                except BufferError:
                    producer.poll(0.05)
            offset += len(line)
            if number % 1000 == 0:
                producer.poll(0)
    producer.flush()
    assert acknowledged, "nothing was acknowledged"


def _measured(measure: Callable[[Settings, Path], None], settings: Settings, path: Path) -> Run:
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    measure(settings, path)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, cpu_s, peak_mb())


def in_process(measure: Callable[[Settings, Path], None], settings: Settings, path: Path, _: int) -> Run:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (measure, settings, path))


def run_other(shipper: Shipper, settings: Settings, path: Path, expected: int) -> Run:
    began = time.perf_counter()
    process = _start_other(shipper, settings, path)
    try:
        with _ends(settings) as ends:
            _await(lambda: ends() >= expected, f"{shipper.name}: all records on the topic", process)
        seconds = time.perf_counter() - began
    finally:
        spent = end(process)
    return Run(seconds, *spent)


def _start_other(shipper: Shipper, settings: Settings, path: Path) -> "subprocess.Popen[bytes]":
    topic = kafka.topic(settings.kafka, SOURCE, "raw")
    return shipper.start(Path(settings.state_dir), path, settings.kafka.bootstrap_servers, topic)


def _start_ours(settings: Settings, path: Path) -> "subprocess.Popen[bytes]":
    folder = Path(settings.state_dir)
    folder.mkdir(exist_ok=True)
    config = folder / "tailrace.toml"
    config.write_text(
        f'state_dir = "{folder}"\n[kafka]\ntopic_prefix = "{settings.kafka.topic_prefix}"\n'
        f'bootstrap_servers = "{settings.kafka.bootstrap_servers}"\n'
        f'[sources.{SOURCE}]\nformat = "ezcast"\npaths = ["{path}"]\n'
    )
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "tailrace.cli", "--config", str(config), "ship", "--once"], stdout=log, stderr=log)


# Killed and started again


def kill(start: Callable[[Settings, Path], "subprocess.Popen[bytes]"], settings: Settings, path: Path, at: int, expected: int) -> Killed:
    """`expected`: distinct records that the file holds."""
    with _ends(settings) as ends:
        process = start(settings, path)
        try:
            _await(lambda: ends() >= at, "so many records that it is killed", process)
        finally:
            end(process, signal.SIGKILL)
        killed_at = ends()
        process = start(settings, path)
        try:
            _await_quiet(ends)
        finally:
            end(process)
    keyed: set[int] = set()
    values: set[int] = set()
    total = 0
    key: bytes | None = None
    for key, value in _records(settings):
        keyed.add(hash((key, value)))
        values.add(hash(value))
        total += 1
    told = total - len(keyed) if key is not None else 0
    return Killed(killed_at, expected - len(values), total - len(values), told)


def _await(condition: Callable[[], bool], what: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and not condition():
            raise SystemExit(f"ended too early: {what}")
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {LIMIT_S:.0f} s: {what}")
        time.sleep(0.02)


def _await_quiet(ends: Callable[[], int]) -> None:
    seen, since_s = ends(), time.monotonic()
    while time.monotonic() - since_s < QUIET_S:
        time.sleep(0.1)
        if (now := ends()) != seen:
            seen, since_s = now, time.monotonic()


# The topic


@contextmanager
def _ends(settings: Settings) -> Iterator[Callable[[], int]]:
    """How many records are on the topic, asked again with each call."""
    consumer = Consumer(kafka.client_config(settings.kafka, group_id="bench"))
    topic = kafka.topic(settings.kafka, SOURCE, "raw")

    def ends() -> int:
        marks: list[Any] = [consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in range(settings.kafka.partitions)]
        return sum(high - low for low, high in marks)

    yield ends
    consumer.close()


def _records(settings: Settings) -> Iterator[tuple[bytes | None, bytes]]:
    """Keys and values of what can be read. Offsets do not count it: a transaction's end takes one too."""
    consumer = Consumer(kafka.client_config(settings.kafka, group_id="bench", enable_auto_commit=False, enable_partition_eof=True))
    topic = kafka.topic(settings.kafka, SOURCE, "raw")
    left = set(range(settings.kafka.partitions))
    consumer.assign([TopicPartition(topic, number, 0) for number in left])
    while left:
        for message in consumer.consume(10_000, timeout=1):
            if message.error() is None:
                yield message.key(), message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise KafkaException(message.error())
    consumer.close()


@contextmanager
def own(configured: Settings, folder: str) -> Iterator[Settings]:
    """Settings with topics and a state folder of their own."""
    name = uuid.uuid4().hex[:8]
    own = msgspec.structs.replace(configured.kafka, topic_prefix=f"bench-{name}-")
    admin = kafka.connect(own, 5)
    kafka.ensure_topics(admin, own, [SOURCE])
    settings = msgspec.structs.replace(configured, kafka=own, state_dir=f"{folder}/{name}")
    try:
        _await_leaders(settings)
        yield settings
    finally:
        for future in admin.delete_topics([kafka.topic(own, SOURCE, kind) for kind in kafka.KINDS]).values():
            future.result()


def _await_leaders(settings: Settings) -> None:
    """Partitions that were just created have none for a moment."""
    deadline = time.monotonic() + 10
    with _ends(settings) as ends:
        while True:
            try:
                assert ends() == 0
                return
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks ship", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kill-at", type=int, default=300_000, help="records on the topic when it is killed; 0: leave this out")
    options = parser.parse_args(argv)
    others = []
    for shipper in SHIPPERS:
        if shipper.found():
            others.append(shipper)
        else:
            print(f"{shipper.name} is not installed: left out (Debian: apt-get install {shipper.packages})\n")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "2016-09-27.trace"
        records = write_trace(path, options.lines)
        programs: dict[str, tuple[Callable[[Settings, Path, int], Run], int]] = {
            PLAIN: (partial(in_process, run_plain), options.lines),
            OURS: (partial(in_process, run_ship), records),
            **{shipper.name: (partial(run_other, shipper), options.lines) for shipper in others},
        }
        runs: dict[str, list[Run]] = {name: [] for name in programs}
        for _ in range(options.runs):
            for name, (measure, expected) in programs.items():
                with own(load(), folder) as settings:
                    runs[name].append(measure(settings, path, expected))
                    found = sum(1 for _ in _records(settings))
                    assert found == expected, f"{name}: {found} of {expected} records are on the topic"
        _print(runs, options.lines, path.stat().st_size / 1e6)
        if options.kill_at:
            starts = {OURS: (_start_ours, records), **{it.name: (partial(_start_other, it), options.lines) for it in others}}
            _print_killed(_killed(starts, path, folder, options.kill_at))
    one, five, fifteen = os.getloadavg()
    print(f"\n{options.lines:,} lines, {options.runs} runs, {os.cpu_count()} cores, load at the end {one:.1f} {five:.1f} {fifteen:.1f}")


def _killed(starts: dict[str, tuple[Any, int]], path: Path, folder: str, at: int) -> dict[str, Killed]:
    found = {}
    for name, (start, expected) in starts.items():
        with own(load(), folder) as settings:
            found[name] = kill(start, settings, path, at, expected)
    return found


def _print(runs: dict[str, list[Run]], lines: int, megabytes: float) -> None:
    limit_s = statistics.median(run.seconds for run in runs[PLAIN])
    print("| program | lines/s | slowest to fastest | MB/s | x plain loop | CPU s/M lines | peak MB |\n|---|---|---|---|---|---|---|")
    for name, its in runs.items():
        seconds, cpu_s, peak_mb = (statistics.median(values) for values in zip(*its, strict=True))
        per_million = cpu_s / lines * 1e6
        speeds = sorted(lines / run.seconds for run in its)
        print(
            f"| {name} | {lines / seconds:,.0f} | {speeds[0]:,.0f} to {speeds[-1]:,.0f} | {megabytes / seconds:.0f} "
            f"| {limit_s / seconds:.2f} | {per_million:.2f} | {peak_mb:.0f} |"
        )


def _print_killed(found: dict[str, Killed]) -> None:
    print("\n| killed with SIGKILL, started again | records on the topic then | lost | doubled | of these under the same key |")
    print("|---|---|---|---|---|")
    for name, (at, lost, doubled, told) in found.items():
        print(f"| {name} | {at:,} | {lost:,} | {doubled:,} | {told:,} |")


if __name__ == "__main__":
    main()
