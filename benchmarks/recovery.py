"""Bringing sessions' state up to date from its changelog: each store, a restart of each, and a stock Faust table.

The changelog holds one page of a few events for each client. Each run reads all of it in a process of its own, from the first record
to the moment in which events could flow; memory is what the process holds more afterwards than before. Runs are interleaved, medians
are compared. The Kafka is that of the settings; what is made there is deleted.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import faust
import msgspec
import uvloop
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic
from faust.types import TP

from streams.recovery import ChangelogReader
from streams.sessions import Client
from streams.state import State
from streams.store import MemoryPartition, Partition, open_on_disk, page_key
from tailrace import kafka
from tailrace.settings import Settings, load

GAP_MS = 3_600_000
DAYS = 90
EVENTS = 3
"""Of each client."""


class Run(NamedTuple):
    seconds: float
    cpu_s: float
    memory_mb: float
    disk_mb: float


def changelog(settings: Settings) -> str:
    return f"{settings.kafka.topic_prefix}recovery-sessions-changelog"


def pages(clients: int) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each client's page."""
    for number in range(clients):
        name = f"session{number:018}"
        client = Client(GAP_MS, {})
        for event in range(EVENTS):
            client.add(1_476_000_000_000 + number + event * 60_000, f"{number:016x}-{event * 180}")
        for page, value in client.settle().pages.items():
            assert value is not None
            yield page_key(name.encode(), page), value


Work = Callable[[Settings, Path], object]
"""Recovers, and returns what holds the state then."""


def memory(settings: Settings, folder: Path) -> object:
    return _recover(settings, lambda number: MemoryPartition())


def rocksdb(settings: Settings, folder: Path) -> object:
    return _recover(settings, lambda number: open_on_disk(folder / str(number), "topic"))


def _recover(settings: Settings, make: Callable[[int], Partition]) -> list[State]:
    """As `streams.recovery` does, and the first thing that a batch needs."""
    reader = ChangelogReader(settings.kafka, "nobody")
    partitions = [make(number) for number in range(settings.kafka.partitions)]
    topic = changelog(settings)
    reading = set(range(len(partitions)))
    reader.start({TP(topic, number): partition.offset + 1 for number, partition in enumerate(partitions)})
    while reading:
        for tp, found in reader.fetch().items():
            partitions[tp.partition].recover(found.changes, found.offset)
            reading.difference_update([tp.partition] if found.at_end else [])
    reader.close()
    return [State(partition, GAP_MS, DAYS) for partition in partitions]


def stock(settings: Settings, folder: Path) -> object:
    app = faust.App(
        f"{settings.kafka.topic_prefix}recovery",
        broker=f"kafka://{settings.kafka.bootstrap_servers}",
        datadir=folder,
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        stream_recovery_delay=0.0,
        web_enabled=False,
    )
    raw = faust.Schema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    app.Table("sessions", partitions=settings.kafka.partitions, schema=raw, key_type=bytes, value_type=bytes)

    @app.agent(app.topic(f"{settings.kafka.topic_prefix}events", key_serializer="raw", value_serializer="raw"))  # type: ignore[untyped-decorator, unused-ignore]
    async def read(stream: faust.StreamT) -> None:
        async for _ in stream:
            pass

    async def run() -> None:
        await app.start()
        await app.tables.recovery.completed.wait()
        await app.stop()

    uvloop.run(run())
    return app


def _measured(work: Work, settings: Settings, folder: Path, result: Connection) -> None:
    before_mb, cpu_s, began = _resident_mb(), time.process_time(), time.monotonic()
    state = work(settings, folder)
    seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    result.send(Run(seconds, cpu_s, _resident_mb() - before_mb, disk / 1e6))
    del state


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def measure(work: Work, settings: Settings, folder: Path) -> Run:
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_measured, args=(work, settings, folder, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()  # type: ignore[no-any-return]
    finally:
        process.join()


def fill(settings: Settings, clients: int) -> None:
    admin = kafka.connect(settings.kafka, 10)
    names = [changelog(settings), f"{settings.kafka.topic_prefix}events"]
    for future in admin.create_topics([NewTopic(name, settings.kafka.partitions, 1) for name in names]).values():
        future.result()
    producer = Producer(kafka.producer_config(settings.kafka, queue_buffering_max_messages=200_000))
    for number, (key, value) in enumerate(pages(clients)):
        while True:
            with suppress(BufferError):
                producer.produce(changelog(settings), value, key, number % settings.kafka.partitions)
                break
            producer.poll(0.1)
    producer.flush()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks recovery", description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stock", action="store_true", help="a stock Faust table as well: some minutes for a million clients")
    options = parser.parse_args(argv)
    settings = load()
    own = msgspec.structs.replace(settings.kafka, topic_prefix=f"recovery-bench-{uuid.uuid4().hex[:8]}-")
    settings = msgspec.structs.replace(settings, kafka=own)
    fill(settings, options.clients)
    runs: dict[str, list[Run]] = {}
    try:
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                runs.setdefault("memory", []).append(measure(memory, settings, Path(folder, "none")))
                runs.setdefault("rocksdb, empty folder", []).append(measure(rocksdb, settings, Path(folder, "disk")))
                runs.setdefault("rocksdb, started again", []).append(measure(rocksdb, settings, Path(folder, "disk")))
                if options.stock:
                    runs.setdefault("stock Faust table in memory", []).append(measure(stock, settings, Path(folder, "stock")))
    finally:
        admin = kafka.connect(settings.kafka)
        for future in admin.delete_topics([name for name in admin.list_topics().topics if name.startswith(own.topic_prefix)]).values():
            future.result()
    print(f"{options.clients:,} clients of {EVENTS} events, medians of {options.rounds} rounds\n")
    print("| store | seconds | clients/s | CPU s | memory, MB | disk, MB |\n|---|---|---|---|---|---|")
    for name, found in runs.items():
        middle = [statistics.median(figures) for figures in zip(*found, strict=True)]
        seconds, cpu_s, memory_mb, disk_mb = middle
        print(f"| {name} | {seconds:.1f} | {options.clients / seconds:,.0f} | {cpu_s:.1f} | {memory_mb:,.0f} | {disk_mb:,.0f} |")
