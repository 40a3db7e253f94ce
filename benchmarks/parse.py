"""Records to JSON documents on one core, without Kafka: Tailrace's parsers, and DataONE's enrichment, against bare loops.

A bare loop is what the format costs at the least. EZCast's decodes, splits, names the fields of each action and writes them, with no
types, no time, no address, no quirk; DataONE's reads JSON and writes it again. All read generated days of the demo: EZCast's repeated,
DataONE's with as many readers as it takes, since what is known about a client is kept. Lists and City database are the demo's. Runs are
interleaved; medians of CPU seconds are compared, which other work on the machine disturbs least. Documents are written by orjson.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from demo import dataone, ezcast, setup
from schemas.event import Event
from schemas.ezcast.catalogue import built_in
from schemas.ezcast.parse import COLUMNS
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import Source
from streams.enrich import Enricher
from tailrace import settings
from tailrace.sources import load_source

PLACE = Place("0123456789abcdef0123", "bench-host", "/var/log/file")

Run = Callable[[list[bytes]], int]
"""How many documents it made of the records."""


class Subject(NamedTuple):
    source: str
    records: list[bytes]
    loops: dict[str, Run]
    """By name, the bare one first."""


def split_and_zip(records: list[bytes]) -> int:
    names = {action: COLUMNS + forms[0].fields for action, forms in built_in().forms.items()}
    for record in records:
        parts = record.decode("utf-8", "replace").split(" | ")
        orjson.dumps(dict(zip(names.get(parts[5], COLUMNS), parts, strict=False)))
    return len(records)


def read_and_write(records: list[bytes]) -> int:
    for record in records:
        orjson.dumps(orjson.loads(record))
    return len(records)


def parsing(source: Source, *uses: Callable[[Event], object]) -> Run:
    """Parse, and do these with each event."""

    def run(records: list[bytes]) -> int:
        parse, clock = source.parse, LocalClock(source.local_timezone) if source.local_timezone else None
        events = offset = 0
        for record in records:
            for item in parse(record, PLACE, offset, clock):
                if item.__class__ is Event:
                    for use in uses:
                        use(item)
                    events += 1
            offset += len(record) + 1
        return events

    return run


def enriching(source: Source, *uses: Callable[[Event], object]) -> Run:
    """Parse and enrich, knowing no client at first."""
    return lambda records: parsing(source, Enricher(source).enrich, *uses)(records)


def short(source: Source) -> Run:
    """What a worker does: usual records the short way, the others as `enriching` does; to JSON."""

    def run(records: list[bytes]) -> int:
        assert source.usual is not None
        clock, enricher = LocalClock(source.local_timezone or "UTC"), Enricher(source)
        read, ending = source.usual(PLACE, clock), enricher.endings()
        assert read is not None
        assert ending is not None
        events = offset = 0
        for record in records:
            usual = read(record, offset)
            if usual is not None:
                usual.opening + ending(usual)
                events += 1
            else:
                for item in source.parse(record, PLACE, offset, clock):
                    if isinstance(item, Event):
                        write(enricher.enrich(item))
                        events += 1
            offset += len(record) + 1
        return events

    return run


def write(event: Event) -> bytes:
    return orjson.dumps(event.document)


def subjects(folder: Path, amount: int) -> Iterator[Subject]:
    configured = settings.load(setup.write_config(folder), {})
    campus = [line.data.removesuffix(b"\n") for line in ezcast.day(seed=1) if line.records == line.events == 1]
    traces = load_source(configured, "ezcast")
    loops = {
        "split, zip, orjson": split_and_zip,
        "parse": parsing(traces),
        "parse, enrich, orjson": enriching(traces, write),
        "usual records the short way": short(traces),
    }
    yield Subject("EZCast", (campus * (amount // len(campus) + 1))[:amount], loops)

    crowd = 2 * amount // len(dataone.day(seed=1)) + 1  # a part of the day does not grow with it
    reads = [line.data.removesuffix(b"\n") for line in dataone.day(seed=1, crowd=crowd) if line.events or line.repeats]
    events = load_source(configured, "dataone")
    loops = {
        "orjson": read_and_write,
        "parse": parsing(events),
        "parse, enrich": enriching(events),
        "parse, enrich, orjson": enriching(events, write),
        "usual records the short way": short(events),
    }
    yield Subject("DataONE", reads[:amount], loops)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks parse", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(argv)
    print("| source | loop | events per CPU s | us per event | x bare loop |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        for subject in subjects(Path(folder), options.events):
            report(subject, options.runs)


def report(subject: Subject, runs: int) -> None:
    amount = len(subject.records)
    seconds: dict[str, list[float]] = {name: [] for name in subject.loops}
    for _ in range(runs):
        for name, loop in subject.loops.items():
            began = time.process_time()
            events = loop(subject.records)
            seconds[name].append(time.process_time() - began)
            assert events >= amount * 0.99, f"{name}: {events} events of {amount} records"
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    bare = next(iter(medians.values()))
    size = sum(map(len, subject.records)) / amount
    for name, median in medians.items():
        source = f"{subject.source}, {amount:,} records of {size:.0f} bytes"
        print(f"| {source} | {name} | {amount / median:,.0f} | {median / amount * 1e6:.2f} | {bare / median:.2f} |")


if __name__ == "__main__":
    main()
