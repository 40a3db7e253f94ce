"""Workers as users run them, in processes of their own, and what they leave on the topics of a real Kafka."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.envelope import EventEnvelope, Patch, SessionSummary, decode
from schemas.place import Place, key_prefix
from tailrace import kafka
from tailrace.settings import Settings

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

IN = {"parse": "raw", "sessionize": "events"}


def await_(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Ask four times a second until it is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.25)


class Cluster:
    """One test's topics and workers."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.config = folder / "tailrace.toml"
        self.config.write_text(CONFIG)
        admin = kafka.connect(settings.kafka, 5)
        kafka.ensure_topics(admin, settings.kafka, ["clicks", "ezcast"])
        self._workers = 0
        self.consumer = Consumer(
            kafka.client_config(
                settings.kafka, group_id=f"{settings.kafka.topic_prefix}test", enable_auto_commit=False, auto_offset_reset="earliest"
            )
        )

    def topic(self, source: str, kind: kafka.Kind) -> str:
        return kafka.topic(self.settings.kafka, source, kind)

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
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tailrace.cli", "stream", *arguments], env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        running = Running(process, log)
        try:
            yield running
            if not running.killed:
                running.stop()
        finally:
            process.kill()
            process.wait()

    # -- records

    def publish(self, source: str, records: Iterable[tuple[bytes, bytes, int]]) -> None:
        """Write (key, value, partition) to the source's raw topic."""
        self.produce(self.topic(source, "raw"), records)

    def produce(self, topic: str, records: Iterable[tuple[bytes, bytes, int]]) -> None:
        producer = Producer(kafka.producer_config(self.settings.kafka))
        for key, value, partition in records:
            producer.produce(topic, value, key, partition)
        assert producer.flush(30) == 0

    def ends(self, topic: str) -> list[int]:
        partitions = range(self.settings.kafka.partitions)
        return [self.consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1] for partition in partitions]

    def committed(self, role: str, source: str) -> list[int]:
        topic = self.topic(source, IN[role])  # type: ignore[arg-type]
        reader = Consumer(kafka.client_config(self.settings.kafka, group_id=kafka.group(self.settings.kafka, role)))
        try:
            found = reader.committed([TopicPartition(topic, partition) for partition in range(self.settings.kafka.partitions)], timeout=10)
        finally:
            reader.close()
        return [max(tp.offset, 0) for tp in found]

    def done(self, role: str, source: str) -> bool:
        """Whether the committed offsets have reached the ends."""
        return self.committed(role, source) == self.ends(self.topic(source, IN[role]))  # type: ignore[arg-type]

    def read(self, source: str, kind: kafka.Kind) -> list[Message]:
        """Everything on a topic, in the order of each partition."""
        topic = self.topic(source, kind)
        left = dict(enumerate(self.ends(topic)))
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition, end in left.items() if end])
        found: list[Message] = []
        while any(left.values()):
            messages = self.consumer.consume(5000, timeout=10)
            assert messages, f"{topic} ends before its end"
            for message in messages:
                assert message.error() is None
                found.append(message)
                left[message.partition()] -= 1
        return found

    def events(self, source: str) -> dict[str, EventEnvelope]:
        """The events of `<source>.events` by id."""
        found = [decode(message.value()) for message in self.read(source, "events")]
        return {event.id: event for event in found if isinstance(event, EventEnvelope)}

    def dead(self, source: str) -> list[tuple[str, bytes]]:
        """(reason, payload) of the dead letters, sorted."""
        return sorted((dict(message.headers())["reason"].decode(), message.value()) for message in self.read(source, "dead"))

    def sessions(self, source: str) -> tuple[dict[str, int | None], dict[int, SessionSummary]]:
        """What the index ends with: the session of each event, patches applied in order, and the sessions by id."""
        events: dict[str, int | None] = {}
        for message in self.read(source, "enriched"):
            found = decode(message.value())
            assert isinstance(found, EventEnvelope | Patch)
            assert isinstance(found, EventEnvelope) or found.id in events, "a patch before its event"
            events[found.id] = found.session
        summaries: dict[int, SessionSummary] = {}
        for message in self.read(source, "sessions"):
            identity = int(message.key())
            summaries.pop(identity, None)
            if message.value() is not None:
                summary = decode(message.value())
                assert isinstance(summary, SessionSummary)
                summaries[identity] = summary
        return events, summaries


class Running:
    """A worker's process."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log
        self.killed = False

    @property
    def said(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As systemd and Kubernetes do: it must end by itself, without an error and without noise."""
        assert self.process.poll() is None, f"the worker has died:\n{self.said}"
        self.process.send_signal(signal.SIGTERM)
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
