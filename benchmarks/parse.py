"""EZCast records to JSON documents on one core: Tailrace's parser against a bare loop that splits, zips and writes JSON.

The bare loop is what the format costs at the least: it decodes, splits, names the fields of each action and writes them, with no
types, no time, no address, no quirk. Both read the same generated day of a campus, repeated. Runs are interleaved; medians of CPU
seconds are compared, which other work on the machine disturbs least. Events are counted, and documents written by orjson.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import orjson

from demo.ezcast import day
from schemas.event import Event
from schemas.ezcast.catalogue import built_in
from schemas.ezcast.parse import COLUMNS
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import SourceSettings
from schemas.sources import build

ZONE = "Europe/Brussels"
PLACE = Place("0123456789abcdef0123", "bench-host", "/var/lib/ezcast/traces/2016-09-27.trace")


def bare(records: list[bytes]) -> int:
    names = {action: COLUMNS + forms[0].fields for action, forms in built_in().forms.items()}
    written = 0
    for record in records:
        parts = record.decode("utf-8", "replace").split(" | ")
        orjson.dumps(dict(zip(names.get(parts[5], COLUMNS), parts, strict=False)))
        written += 1
    return written


def parsed(records: list[bytes]) -> int:
    return _parse(records, lambda event: None)


def parsed_and_written(records: list[bytes]) -> int:
    return _parse(records, lambda event: orjson.dumps(event.document))


def _parse(records: list[bytes], use: Callable[[Event], object]) -> int:
    parse = build("ezcast", SourceSettings(format="ezcast", timezone=ZONE)).parse
    clock = LocalClock(ZONE)
    events = offset = 0
    for record in records:
        for item in parse(record, PLACE, offset, clock):
            if item.__class__ is Event:
                use(item)
                events += 1
        offset += len(record) + 1
    return events


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks parse", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(argv)
    campus = [line.data.removesuffix(b"\n") for line in day(seed=1) if line.records == line.events == 1]
    records = (campus * (options.events // len(campus) + 1))[: options.events]

    loops = (("split, zip, orjson", bare), ("Tailrace, without JSON", parsed), ("Tailrace and orjson", parsed_and_written))
    seconds: dict[str, list[float]] = {name: [] for name, _ in loops}
    for _ in range(options.runs):
        for name, loop in loops:
            began = time.process_time()
            events = loop(records)
            seconds[name].append(time.process_time() - began)
            assert events >= len(records) * 0.99, f"{name}: {events} events of {len(records)} records"

    limit = statistics.median(seconds["split, zip, orjson"])
    size = sum(map(len, records)) / len(records)
    print(f"{len(records):,} records of {size:.0f} bytes on average\n")
    print("| loop | events per CPU s | us per event | x bare loop |\n|---|---|---|---|")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"| {name} | {len(records) / median:,.0f} | {median / len(records) * 1e6:.2f} | {limit / median:.2f} |")


if __name__ == "__main__":
    main()
