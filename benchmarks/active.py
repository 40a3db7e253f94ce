"""One client with very many events through the sessionizer, without a Kafka: does an event cost more when there are many before it?

One session of events without a pause, and a month of a session a day, each arriving in order, in reverse and shuffled. Each case runs
in a process of its own. Memory is what the state holds in the end; opening is what a worker pays that has not had the client in hand.
"""

import argparse
import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from schemas.envelope import EventEnvelope, encode_event
from schemas.source import Source, SourceSettings
from schemas.sources import build
from streams.sessionize import Sessionizer, Topics
from streams.sessions import Client
from streams.state import DAY_MS, State
from streams.store import HORIZON, MemoryPartition
from streams.transport import MAX_BATCH_RECORDS

DAYS = 30
PARTS = 10
"""What an event costs is told for the first and the last of so many parts."""
T0 = 17_000 * DAY_MS
ORDERS = ("in order", "in reverse", "shuffled")
ID = "ac0f31de-77aa-4c3b-93d5-{:012}"


class Record(NamedTuple):
    """The part of aiokafka's ConsumerRecord that the sessionizer uses."""

    key: bytes
    value: bytes


class Cost(NamedTuple):
    """Of one batch."""

    cpu_s: float
    patches: int
    changelog_bytes: int


class Partition:
    """A partition of a source of clicks, its sessionizer and its state."""

    def __init__(self) -> None:
        self.source: Source = build("clicks", SourceSettings(format="json", time="time", client=["who"], id="id", kind="what"))
        self.data = MemoryPartition()
        self._state = State(self.data, self.source.session_gap_ms, self.source.settings.session_days)
        self._sessionizer = Sessionizer(self.source, Topics("enriched", "sessions", "dead"))

    def batch(self, records: Sequence[Record]) -> Cost:
        began = time.process_time()
        outputs, writes = self._sessionizer.run(records, self._state)  # type: ignore[arg-type]
        self.data.change(writes)
        cpu_s = time.process_time() - began
        enriched = sum(output.topic == "enriched" for output in outputs)
        summaries = sum(output.topic == "sessions" for output in outputs)  # each has a document beside it
        written = sum(len(key) + len(value or b"") for key, value in writes.items() if key != HORIZON)
        return Cost(cpu_s, enriched - summaries - len(records), written)

    def open(self, client: str) -> Client:
        """A client as a worker that has not had it in hand has to."""
        return Client(self.source.session_gap_ms, self.data.pages(client.encode()))


def times(events: int, days: int) -> Iterator[int]:
    """So many events: on each day without a pause for 16 hours; those of no day within 50 minutes."""
    for number in range(events):
        day, rest = divmod(number * max(days, 1), events)
        yield T0 + day * DAY_MS + rest * (16 * 60 if days else 50) * 60_000 // events


def arrival(moments: Sequence[int], order: str) -> Iterator[Record]:
    """The records of a client's events in an order of arrival."""
    numbers = list(range(len(moments)))
    if order == "in reverse":
        numbers.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(numbers)
    for number in numbers:
        yield record("busy", ID.format(number), moments[number])


def record(who: str, event: str, time_ms: int) -> Record:
    return Record(who.encode(), encode_event(EventEnvelope(event, time_ms, who, "click", None, False, b'{"a":1}')))


def _measure(events: int, days: int, order: str, size: int, result: Connection) -> None:
    records = list(arrival(list(times(events, days)), order))
    before_mb, partition = _resident_mb(), Partition()
    costs = [partition.batch(records[begin : begin + size]) for begin in range(0, events, size)]
    held_mb, cpu_s = _resident_mb() - before_mb, time.process_time()
    client = partition.open("busy")
    opened_ms = (time.process_time() - cpu_s) * 1000
    part = max(1, len(costs) // PARTS)
    first, last = (sum(cost.cpu_s for cost in costs[cut]) / part / size * 1e6 for cut in (slice(part), slice(-part, None)))
    patches, written = sum(cost.patches for cost in costs) / events, sum(cost.changelog_bytes for cost in costs) / events
    row = (
        f"{len(client.sessions)} | {order} | {first:.1f} | {last:.1f} | {patches:.1f} | {written:,.0f} | {held_mb:,.0f} | {opened_ms:,.0f}"
    )
    result.send(row)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks active", description=__doc__)
    parser.add_argument("--session", type=int, default=100_000, metavar="EVENTS", help="of the case of one session; 0 leaves it out")
    parser.add_argument("--month", type=int, default=1_000_000, metavar="EVENTS", help="of the case of a month; 0 leaves it out")
    parser.add_argument("--arrival", choices=ORDERS, help="all of them by default")
    parser.add_argument("--batch", type=int, default=MAX_BATCH_RECORDS, metavar="EVENTS", help="what one fetch of a backlog brings")
    options = parser.parse_args(argv)
    orders = [options.arrival] if options.arrival else ORDERS
    print("| events | sessions | arrival | us/event, first tenth | last tenth | patches/event | changelog bytes/event | MB | opening, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for events, days in ((options.session, 0), (options.month, DAYS)):
        for order in orders if events else ():
            receiver, sender = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(target=_measure, args=(events, days, order, options.batch, sender))
            process.start()
            sender.close()
            print(f"| {events:,} | {receiver.recv()} |", flush=True)
            process.join()
