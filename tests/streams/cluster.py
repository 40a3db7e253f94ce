"""Workers as users run them, in processes of their own, and what they leave on the topics of a real Kafka."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from faust.types import TP

from schemas.envelope import EventEnvelope, Patch, SessionSummary, Summary, decode, encode_event
from schemas.place import Place, key_prefix
from streams.recovery import ChangelogReader
from streams.store import MemoryPartition
from tailrace import kafka
from tailrace.settings import Settings
from tests.helpers import end_of, eventually, read_topic

CONFIG = """
[sources.clicks]
format = "json"
time = "time"
time_format = "epoch_ms"
client = ["who"]
id = "id"
kind = "what"

[sources.ezcast]
format = "ezcast"
timezone = "Europe/Brussels"
"""

IN: dict[str, kafka.Kind] = {"parse": "raw", "sessionize": "events"}


class Cluster:
    """One test's topics and workers."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.environment: dict[str, str] = {}
        """Of the workers, beyond what says where they work."""
        self.program = ["-m", "tailrace.cli"]
        """What Python runs as a worker."""
        self.config = folder / "tailrace.toml"
        self.config.write_text(CONFIG)
        self._admin = kafka.connect(settings.kafka, 5)
        kafka.ensure_topics(self._admin, settings.kafka, ["clicks", "ezcast"])
        self._workers = 0
        self._partitions = range(settings.kafka.partitions)
        self._consumers = {role: self._consumer(role) for role in IN}

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()

    def _consumer(self, role: str) -> Consumer:
        """One that never joins the role's group."""
        return Consumer(kafka.client_config(self.settings.kafka, group_id=kafka.group(self.settings.kafka, role), enable_auto_commit=False))

    def topic(self, source: str, kind: kafka.Kind) -> str:
        return kafka.topic(self.settings.kafka, source, kind)

    def configure(self, topic: str, key: str, value: str) -> None:
        """Set a topic's configuration."""
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        self._admin.incremental_alter_configs([resource])[resource].result(timeout=10)

    # -- workers

    @contextmanager
    def worker(self, *arguments: str) -> Iterator["Running"]:
        """A worker; SIGTERM and a clean exit at the end, unless it was killed."""
        self._workers += 1
        log = self.folder / f"worker-{self._workers}.log"
        environment = {
            **os.environ,
            "TAILRACE_CONFIG": str(self.config),
            "TAILRACE_STATE_DIR": str(self.folder / "state"),
            "TAILRACE_KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "TAILRACE_KAFKA_TOPIC_PREFIX": self.settings.kafka.topic_prefix,
            **self.environment,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *self.program, "stream", *arguments], env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        running = Running(process, log)
        try:
            yield running
            if not running.over:
                running.stop()
        finally:
            process.kill()
            process.wait()

    # -- records

    def publish(self, source: str, records: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Write (key, value, partition) to the source's raw topic."""
        self.produce(self.topic(source, "raw"), records)

    def add_events(self, made: Iterable["Click"]) -> None:
        """Write clicks to `clicks.events`, as parse does: those of a client to one partition, in their order."""
        events = ((click.who.encode(), encode_event(click.envelope()), -1) for click in made)
        self.produce(self.topic("clicks", "events"), events)

    def produce(self, topic: str, records: Iterable[tuple[bytes, bytes, int]]) -> None:
        producer = Producer(kafka.producer_config(self.settings.kafka))
        for key, value, partition in records:
            producer.produce(topic, value, key, partition)
        assert producer.flush(30) == 0

    @property
    def changelog(self) -> str:
        """The topic of the sessions' state."""
        return f"{kafka.group(self.settings.kafka, 'sessionize')}-clicks-sessions-changelog"

    def recover(self) -> list[MemoryPartition]:
        """The sessions' state, by partition, as a worker without a copy of its own recovers it."""
        reader = ChangelogReader(self.settings.kafka, "nobody")
        partitions = [MemoryPartition() for _ in self._partitions]
        reading = set(self._partitions)

        def read_on() -> bool:
            for tp, found in reader.fetch().items():
                partitions[tp.partition].recover(found.changes, found.offset)
                reading.difference_update([tp.partition] if found.at_end else [])
            return not reading

        reader.start({TP(self.changelog, number): 0 for number in reading})
        eventually(read_on, "the changelog is read", 60)
        reader.close()
        return partitions

    def ends(self, topic: str) -> list[int]:
        consumer = self._consumers["parse"]
        return [end_of(consumer, TopicPartition(topic, partition)) for partition in self._partitions]

    def committed(self, role: str, source: str) -> list[int]:
        topic = self.topic(source, IN[role])
        found = self._consumers[role].committed([TopicPartition(topic, partition) for partition in self._partitions], timeout=10)
        return [max(tp.offset, 0) for tp in found]

    def done(self, role: str, source: str) -> bool:
        """Whether the committed offsets have reached the ends."""
        return self.committed(role, source) == self.ends(self.topic(source, IN[role]))

    def events(self, source: str) -> dict[str, EventEnvelope]:
        """The events of `<source>.events` by id."""
        found = [decode(record.value or b"") for record in read_topic(self.settings, source, "events")]
        return {event.id: event for event in found if isinstance(event, EventEnvelope)}

    def dead(self, source: str) -> list[tuple[str, bytes]]:
        """(reason, payload) of the dead letters, sorted."""
        return sorted(
            (dict(record.headers)["reason"].decode(), record.value or b"") for record in read_topic(self.settings, source, "dead")
        )

    def sessions(self, source: str) -> tuple[dict[str, int | None], dict[int, SessionSummary]]:
        """What the index ends with: the session of each event, patches applied in order, and the sessions by id."""
        events: dict[str, int | None] = {}
        for record in read_topic(self.settings, source, "enriched"):
            found = decode(record.value or b"")
            if isinstance(found, Summary):
                continue
            assert isinstance(found, EventEnvelope | Patch)
            assert isinstance(found, EventEnvelope) or found.id in events, "a patch before its event"
            events[found.id] = found.session
        summaries: dict[int, SessionSummary] = {}
        for record in read_topic(self.settings, source, "sessions"):
            identity = int(record.key or b"")
            summaries.pop(identity, None)
            if record.value is not None:
                summary = decode(record.value)
                assert isinstance(summary, SessionSummary)
                summaries[identity] = summary
        return events, summaries

    def patches(self, source: str) -> "Patches":
        """What the patches of `<source>.enriched` said."""
        sent: dict[str, int | None] = {}
        now: dict[str, int | None] = {}
        written = changed = 0
        for found in (decode(record.value or b"") for record in read_topic(self.settings, source, "enriched")):
            if isinstance(found, Patch):
                written += 1
                changed += found.session != now[found.id]
                now[found.id] = found.session
            elif isinstance(found, EventEnvelope):
                sent[found.id] = now[found.id] = found.session
        return Patches(written, changed, sum(session != sent[event] for event, session in now.items()))


class Patches(NamedTuple):
    written: int
    changed: int
    """Of them, those that moved an event to another session."""
    least: int
    """Events that were last sent with another session than they end in: who does not know the future needs a patch for each."""


class Running:
    """A worker's process."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log
        self.over = False

    @property
    def said(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self.over = True
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Its exit code, when it ends by itself."""
        self.over = True
        return self.process.wait(60)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """As systemd and Kubernetes do: it must end by itself, without an error and without noise."""
        assert self.process.poll() is None, f"the worker has died:\n{self.said}"
        self.over = True
        self.process.send_signal(number)
        assert self.process.wait(45) == 0, self.said
        assert "Traceback" not in self.said, self.said


def lines(file: str, records: Iterable[bytes], host: str = "test-host") -> Iterator[tuple[bytes, bytes, int]]:
    """The records of a file, as a producer keys them, spread over partitions by the file."""
    prefix = key_prefix(Place(file, host, f"/var/log/{file}"))
    offset = 0
    for record in records:
        yield prefix + b"%d" % offset, record, sum(file.encode()) % 4
        offset += len(record) + 1


class Click(msgspec.Struct):
    """An event of the source `clicks`."""

    id: str
    time: int
    who: str
    what: str = "click"

    def line(self) -> bytes:
        return msgspec.json.encode(self)

    def envelope(self) -> EventEnvelope:
        return EventEnvelope(self.id, self.time, self.who, self.what, None, False, b"{}")
