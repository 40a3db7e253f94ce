"""Raw lines to sessions: each stage of the workers, against stock Faust and quixstreams with the same work per record.

Each run is a worker in a process of its own that starts at the first record of a filled topic. Rate and CPU seconds are those
between the first tenth of what it is to read and the last of it, so that starting costs nothing. Runs are interleaved, medians are
compared. Stock Faust is so much slower that it is given a tenth of the events. The Kafka is that of the settings; what is
made there is deleted.

quixstreams needs an older confluent-kafka than Tailrace, so it has an environment of its own, which `make bench-stream` makes;
without it the benchmark says so and goes on.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks._visits import visits
from benchmarks._workers import OUT
from demo import dataone
from schemas.place import Place, key_prefix
from tailrace import kafka
from tailrace.settings import Settings, load

FILES = 8
STALLED_S = 120.0
PEERS = Path(".venv-bench/bin/python")


class Stage(NamedTuple):
    name: str
    stage: str
    source: str


STAGES = {
    "ezcast-parse": Stage("EZCast: parse", "parse", "ezcast"),
    "ezcast-sessionize": Stage("EZCast: sessionize", "sessionize", "ezcast"),
    "dataone-parse": Stage("DataONE: parse and enrich", "parse", "dataone"),
}
"""In this order: sessionize reads what parse has written."""


class Program(NamedTuple):
    name: str
    command: str
    python: str
    share: float
    """Of the events that it is given."""


class Run(NamedTuple):
    rate: float
    """Events a second."""
    cpu_s: float
    """CPU seconds per million events, of the worker's process."""


Lines = Iterator[tuple[bytes, bytes, int]]
"""(key, value, partition)"""


def ezcast_lines(count: int) -> Lines:
    """A campus's visits, some 40 lines each, spread over the files of several hosts; all in the order of their stamps."""
    prefixes = [key_prefix(Place(f"{file:016x}", "bench", f"/traces/{file}.trace")) for file in range(FILES)]
    offsets = [0] * FILES
    for line, file in sorted((line.encode(), number % FILES) for number, visit in enumerate(visits(count)) for line in visit.lines):
        yield prefixes[file] + b"%d" % offsets[file], line, file
        offsets[file] += len(line) + 1


def dataone_lines(count: int) -> Lines:
    """The lines of the demo's day of DataONE, again and again under new ids; some 700 bytes each."""
    day = [json.loads(line.data) for line in dataone.day(1) if line.events and not line.repeats]
    prefix = key_prefix(Place("0123456789abcdef0123", "bench", "/var/log/dataone/d1logagg.log"))
    offset = 0
    for number in range(count):
        record = day[number % len(day)]
        record["id"] = f"{record['nodeId']}.{number}"
        line = msgspec.json.encode(record)
        yield prefix + b"%d" % offset, line, number
        offset += len(line) + 1


LINES: dict[str, Callable[[int], Lines]] = {"ezcast": ezcast_lines, "dataone": dataone_lines}


def programs(with_peers: bool) -> list[Program]:
    own = sys.executable
    found = [Program("tailrace", "tailrace", own, 1.0)]
    if not with_peers:
        return found
    found.append(Program("stock Faust", "faust", own, 0.1))
    if PEERS.exists():
        found.append(Program("quixstreams", "quixstreams", str(PEERS.absolute()), 0.5))
    else:
        print(f"quixstreams is left out: there is no {PEERS}; `make bench-stream` makes it\n")
    return found


class Bench:
    """The topics of one round."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings, self.count = settings, count
        self.admin = kafka.connect(settings.kafka, 10)
        kafka.ensure_topics(self.admin, settings.kafka, LINES)
        self._consumer = Consumer(kafka.client_config(settings.kafka, group_id=f"{settings.kafka.topic_prefix}bench"))
        producer = Producer(kafka.producer_config(settings.kafka))
        for source, lines in LINES.items():
            for key, value, file in lines(count):
                while True:
                    with suppress(BufferError):
                        producer.produce(kafka.topic(settings.kafka, source, "raw"), value, key, file % settings.kafka.partitions)
                        break
                    producer.poll(0.1)
        producer.flush()

    def close(self) -> None:
        self._consumer.close()
        prefix = self.settings.kafka.topic_prefix
        for future in self.admin.delete_topics([name for name in self.admin.list_topics().topics if prefix in name]).values():
            future.result()

    def run(self, program: Program, stage: Stage) -> Run:
        """One worker, of a group that has not read yet, from its start until it has written what it is to read."""
        count = int(self.count * program.share)
        topic = kafka.topic(self.settings.kafka, stage.source, OUT[stage.stage])
        before = self._written(topic)
        command = [program.python, "-m", "benchmarks._workers", program.command, stage.stage, stage.source]
        process = subprocess.Popen(command, env=self._environment())
        try:
            first, started, cpu_before = self._reach(topic, before + count // 10, process)
            last, ended, cpu_after = self._reach(topic, before + count, process)
        finally:
            process.send_signal(signal.SIGTERM if program.command == "tailrace" else signal.SIGKILL)
            process.wait()
        return Run((last - first) / (ended - started), (cpu_after - cpu_before) / (last - first) * 1e6)

    def _environment(self) -> dict[str, str]:
        own = self.settings.kafka
        return {
            **os.environ,
            "TAILRACE_KAFKA_BOOTSTRAP_SERVERS": own.bootstrap_servers,
            "TAILRACE_KAFKA_TOPIC_PREFIX": own.topic_prefix,
            "TAILRACE_CONFIG": str(Path(self.settings.state_dir) / "tailrace.toml"),
        }

    def _written(self, topic: str) -> int:
        partitions = range(self.settings.kafka.partitions)
        return sum(self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1] for partition in partitions)

    def _reach(self, topic: str, target: int, process: "subprocess.Popen[bytes]") -> tuple[int, float, float]:
        """How much is written when the target is reached, when that was, and the CPU seconds of the process by then."""
        latest, moved = 0, time.monotonic()
        while (now := self._written(topic)) < target:
            if now != latest:
                latest, moved = now, time.monotonic()
            if time.monotonic() - moved > STALLED_S or process.poll() is not None:
                raise SystemExit(f"{process.args} wrote {now:,} of {target:,} records and then nothing more")
            time.sleep(0.05)
        return now, time.monotonic(), _cpu_s(process.pid)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def configuration(folder: Path) -> str:
    """With the demo's lists for DataONE."""
    for name, text in dataone.lists().items():
        (folder / name).write_text(text)
    return f"""
state_dir = "{folder}"
[sources.ezcast]
[sources.dataone]
own_networks = "{folder}/dataone_ips.txt"
robot_networks = "{folder}/robot_ips.txt"
machine_user_agents = "{folder}/machine_user_agents.txt"
robot_user_agents = "{folder}/robot_user_agents.txt"
admin_subjects = "{folder}/admin_subjects.txt"
"""


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stream", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="of each source")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stage", action="append", choices=STAGES, help="only this one; may be given again")
    parser.add_argument("--no-peers", action="store_true", help="Tailrace alone")
    options = parser.parse_args(argv)
    found = programs(with_peers=not options.no_peers)
    stages = [stage for name, stage in STAGES.items() if options.stage is None or name in options.stage]
    runs: dict[tuple[Stage, Program], list[Run]] = {(stage, program): [] for stage in stages for program in found}
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            settings = load()
            (Path(folder) / "tailrace.toml").write_text(configuration(Path(folder)))
            own = msgspec.structs.replace(settings.kafka, topic_prefix=f"streams-bench-{uuid.uuid4().hex[:8]}-")
            bench = Bench(msgspec.structs.replace(settings, kafka=own, state_dir=folder), options.events)
            try:
                if STAGES["ezcast-sessionize"] in stages and STAGES["ezcast-parse"] not in stages:
                    bench.run(found[0], STAGES["ezcast-parse"])
                for stage, program in runs:
                    run = bench.run(program, stage)
                    runs[stage, program].append(run)
                    print(
                        f"round {number + 1}: {stage.name}, {program.name}: {run.rate:,.0f} events/s, {run.cpu_s:.1f} CPU s/M", flush=True
                    )
            finally:
                bench.close()
    print(f"\n{options.events:,} events of each source, medians of {options.rounds} rounds\n\n{table(runs)}")


def table(runs: dict[tuple[Stage, Program], list[Run]]) -> str:
    rows = ["| stage | program | events/s | CPU s/M | x tailrace's CPU |", "|---|---|---|---|---|"]
    for (stage, program), its in runs.items():
        ours = statistics.median(run.cpu_s for at, them in runs.items() if at[0] is stage and at[1].command == "tailrace" for run in them)
        rate = statistics.median(run.rate for run in its)
        cpu_s = statistics.median(run.cpu_s for run in its)
        rows.append(f"| {stage.name} | {program.name} | {rate:,.0f} | {cpu_s:.1f} | {cpu_s / ours:.1f} |")
    return "\n".join(rows)
