"""Raw lines to sessions: the two workers, and the parse of a stock Faust app that does the same work per record.

Each run is a worker in a process of its own that starts at the first record of a filled topic. The rate is that between the
first tenth of its output and the last record, so that starting costs nothing; CPU seconds are the whole process's. Runs are
interleaved, medians are compared. The Kafka is that of the settings; what is made there is deleted.
"""

import argparse
import multiprocessing
import os
import random
import resource
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import faust
import msgspec
import orjson
import uvloop
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.envelope import EventEnvelope, encode_event
from schemas.event import Event
from schemas.localtime import LocalClock
from schemas.place import Place, key_prefix, split_key
from streams import worker
from streams.enrich import Enricher
from streams.parse import build as build_parse
from streams.sessionize import build as build_sessionize
from tailrace import kafka
from tailrace.settings import Settings, load
from tailrace.sources import load_source

SOURCE = "ezcast"
CLIENTS = 2_000
FILES = 8
STALLED_S = 120.0


class Run(NamedTuple):
    rate: float
    """Events a second."""
    cpu_s: float
    """CPU seconds per million events, of the worker's process, its start included."""


def lines(count: int) -> Iterator[tuple[bytes, bytes, int]]:
    """(key, value, partition) of EZCast lines of some 110 bytes, of a busy week."""
    draw = random.Random(1)
    prefixes = [key_prefix(Place(f"{file:016x}", "bench", f"/traces/{file}.trace")) for file in range(FILES)]
    offsets = [0] * FILES
    for number in range(count):
        file = number % FILES
        stamp = time.strftime("%Y-%m-%d-%H:%M:%S", time.gmtime(1_476_000_000 + number * 600_000 // count))
        client = draw.randrange(CLIENTS)
        line = (
            f"{stamp} | session{client:018} | 193.190.{client % 250}.{client // 250} | user{client} | 3 | video_play_time | "
            f"ALBUM-{client % 40:03}-pub | 2016_10_09_10h00 | cam | {draw.randrange(3600)} | {draw.randrange(600)}"
        ).encode()
        yield prefixes[file] + b"%d" % offsets[file], line, file
        offsets[file] += len(line) + 1


def stock(settings: Settings) -> None:
    """Faust as its guide teaches it, with its fastest settings: parse, enrich and encode record by record."""
    source = load_source(settings, SOURCE)
    enricher = Enricher(source)
    app = faust.App(
        kafka.group(settings.kafka, "stock"),
        broker=f"kafka://{settings.kafka.bootstrap_servers}",
        datadir=settings.state_dir,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=131_072,
        producer_linger=0.05,
        producer_max_batch_size=262_144,
        producer_compression_type="lz4",
    )
    raw = app.topic(kafka.topic(settings.kafka, SOURCE, "raw"), key_serializer="raw", value_serializer="raw")
    events = app.topic(kafka.topic(settings.kafka, SOURCE, "events"), key_serializer="raw", value_serializer="raw")
    clocks: dict[str, LocalClock] = {}

    @app.agent(raw)  # type: ignore[untyped-decorator, unused-ignore]
    async def parse(stream: Any) -> None:
        async for key, value in stream.items():
            place, offset = split_key(key)
            clock = clocks.setdefault(place.file, LocalClock("Europe/Brussels"))
            for item in source.parse(value, place, offset, clock):
                assert isinstance(item, Event)
                event = enricher.enrich(item)
                envelope = EventEnvelope(event.id, event.time, event.client, event.kind, None, False, orjson.dumps(event.document))
                events.send_soon(key=(event.client or event.id).encode(), value=encode_event(envelope))

    async def run() -> None:
        await app.start()
        await app.wait_until_stopped()

    uvloop.run(run())


def parse(settings: Settings) -> None:
    worker.run(settings, lambda: build_parse(settings, [load_source(settings, SOURCE)]))


def sessionize(settings: Settings) -> None:
    worker.run(settings, lambda: build_sessionize(settings, [load_source(settings, SOURCE)]))


class Bench:
    """The topics of one benchmark."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings, self.count = settings, count
        self.admin = kafka.connect(settings.kafka, 10)
        kafka.ensure_topics(self.admin, settings.kafka, [SOURCE])
        self._consumer = Consumer(kafka.client_config(settings.kafka, group_id=f"{settings.kafka.topic_prefix}bench"))
        producer = Producer(kafka.producer_config(settings.kafka, queue_buffering_max_messages=1_000_000))
        raw = kafka.topic(settings.kafka, SOURCE, "raw")
        for key, value, file in lines(count):
            while True:
                with suppress(BufferError):
                    producer.produce(raw, value, key, file % settings.kafka.partitions)
                    break
                producer.poll(0.1)
        producer.flush()

    def close(self) -> None:
        self._consumer.close()
        prefix = self.settings.kafka.topic_prefix
        for future in self.admin.delete_topics([name for name in self.admin.list_topics().topics if name.startswith(prefix)]).values():
            future.result()

    def run(self, role: Callable[[Settings], None], out: kafka.Kind) -> Run:
        """One worker, of a group that has not read yet, from the start to its `count`th output."""
        before, cpu_before = self._outputs(out), _children_cpu_s()
        process = multiprocessing.get_context("spawn").Process(target=role, args=(self.settings,))
        process.start()
        try:
            first, started = self._reach(out, before + self.count // 10)
            last, ended = self._reach(out, before + self.count)
        finally:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGTERM if role is not stock else signal.SIGKILL)
            process.join()
        return Run((last - first) / (ended - started), (_children_cpu_s() - cpu_before) / self.count * 1e6)

    def _outputs(self, kind: kafka.Kind) -> int:
        topic = kafka.topic(self.settings.kafka, SOURCE, kind)
        return sum(
            self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            for partition in range(self.settings.kafka.partitions)
        )

    def _reach(self, kind: kafka.Kind, target: int) -> tuple[int, float]:
        latest, moved = 0, time.monotonic()
        while (now := self._outputs(kind)) < target:
            if now != latest:
                latest, moved = now, time.monotonic()
            if time.monotonic() - moved > STALLED_S:
                raise SystemExit(f"no output for {STALLED_S:.0f} s")
            time.sleep(0.05)
        return now, time.monotonic()


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stream", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    variants: dict[str, tuple[Callable[[Settings], None], kafka.Kind]] = {
        "parse, stock Faust": (stock, "events"),
        "parse": (parse, "events"),
        "sessionize": (sessionize, "enriched"),
    }
    runs: dict[str, list[Run]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            settings = load()
            own = msgspec.structs.replace(settings.kafka, topic_prefix=f"streams-bench-{uuid.uuid4().hex[:8]}-")
            bench = Bench(msgspec.structs.replace(settings, kafka=own, state_dir=folder), options.events)
            try:
                for name, (role, out) in variants.items():
                    runs[name].append(bench.run(role, out))
            finally:
                bench.close()
    base = statistics.median(run.rate for run in runs["parse, stock Faust"])
    print(f"{options.events:,} EZCast lines, medians of {options.rounds} rounds\n")
    print("| worker | events/s | x stock | CPU s per million |\n|---|---|---|---|")
    for name, found in runs.items():
        rate = statistics.median(run.rate for run in found)
        print(f"| {name} | {rate:,.0f} | {rate / base:.1f} | {statistics.median(run.cpu_s for run in found):.1f} |")
