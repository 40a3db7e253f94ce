"""File to Kafka: `tailrace ship --once` against a plain confluent-kafka loop that sends the same keys and values to one partition.

Both are idempotent, acks=all, compressed alike, and end when every record is acknowledged; the loop splits lines with
Python's own file iterator and counts delivery reports, without joining, identity, checkpoints or heartbeats. Runs are
interleaved, each in a process of its own; medians are compared. The topics are checked for the number of records.
"""

import argparse
import multiprocessing
import re
import resource
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from producers.checkpoint import Store
from producers.cli import run
from schemas.event import Parsed
from schemas.place import Place, key_prefix
from schemas.source import Source, SourceSettings
from tailrace import kafka
from tailrace.settings import Settings, load

SOURCE = "bench"


class Run(NamedTuple):
    seconds: float
    """From opening the file until the last record is acknowledged."""
    cpu_s: float
    peak_mb: float


def write_trace(path: Path, lines: int) -> int:
    """A trace like EZCast's, 167 bytes a line, one event in a thousand of two lines; how many records it holds."""
    records = 0
    with path.open("wb") as file:
        for number in range(lines):
            stamp = f"2016-09-27-{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
            if number % 1000 == 999:
                file.write(b"and on the next line | the rest of a bookmark | 2\n")
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
    return Run(seconds, cpu_s, after.ru_maxrss / 1024)


def _in_process(measure: Callable[[Settings, Path], None], settings: Settings, path: Path) -> Run:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (measure, settings, path))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks ship", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(argv)
    configured = load()
    runs: dict[str, list[Run]] = {"plain loop": [], "tailrace ship --once": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "2016-09-27.trace"
        records = write_trace(path, options.lines)
        megabytes = path.stat().st_size / 1e6
        for number in range(options.runs):
            for name, measure, expected in (("plain loop", run_plain, options.lines), ("tailrace ship --once", run_ship, records)):
                own = msgspec.structs.replace(configured.kafka, topic_prefix=f"bench-{uuid.uuid4().hex[:8]}-")
                settings = msgspec.structs.replace(configured, kafka=own, state_dir=f"{folder}/{number}")
                admin = kafka.connect(own, 5)
                kafka.ensure_topics(admin, own, [SOURCE])
                try:
                    runs[name].append(_in_process(measure, settings, path))
                    found = _records(settings)
                    assert found == expected, f"{name}: {found} of {expected} records are on the topic"
                finally:
                    for future in admin.delete_topics([kafka.topic(own, SOURCE, kind) for kind in kafka.KINDS]).values():
                        future.result()
    _print(runs, options.lines, megabytes)


def _records(settings: Settings) -> int:
    topic = kafka.topic(settings.kafka, SOURCE, "raw")
    consumer = Consumer(kafka.client_config(settings.kafka, group_id="bench"))
    marks: list[Any] = [consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in range(settings.kafka.partitions)]
    consumer.close()
    return sum(high - low for low, high in marks)


def _print(runs: dict[str, list[Run]], lines: int, megabytes: float) -> None:
    limit_s = statistics.median(run.seconds for run in runs["plain loop"])
    print("| program | lines/s | MB/s | x plain loop | CPU s/M lines | peak MB |\n|---|---|---|---|---|---|")
    for name, its in runs.items():
        seconds, cpu_s, peak_mb = (statistics.median(values) for values in zip(*its, strict=True))
        per_million = cpu_s / lines * 1e6
        print(
            f"| {name} | {lines / seconds:,.0f} | {megabytes / seconds:.0f} | {limit_s / seconds:.2f} | {per_million:.2f} | {peak_mb:.0f} |"
        )


if __name__ == "__main__":
    main()
