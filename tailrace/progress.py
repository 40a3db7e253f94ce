"""How far each stage has come: committed offsets against the ends of its topics, documents in the index, dead letters.

A stage commits an offset only after the next stage's topic (or the index) holds what it made of the record, so a stage
without lag has handed everything on.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from elasticsearch import ApiError, TransportError

from tailrace import kafka, search
from tailrace.errors import Unreachable
from tailrace.letters import Letters
from tailrace.settings import Settings

STAGES: dict[str, kafka.Kind] = {"parse": "raw", "sessionize": "events", "sink": "enriched"}
"""Each stage's name, which is its consumer group's role, and the topics that it reads, in the order of the data."""

REQUEST_S = 5.0
REFRESH_S = 60.0
"""How long a server that has just been filled may take to make it searchable."""
LOOK_EVERY_S = 1.0
DEAD_LETTERS_S = 0.5
"""At most this long is spent on new dead letters in one look; the rest is read in the next."""

_PASSING = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
"""What a broker answers for a moment about topics and groups that are new or moving."""


class Stage(NamedTuple):
    name: str
    done: int
    """Records of its topics below the committed offsets."""
    total: int
    """Records of its topics."""

    @property
    def lag(self) -> int:
        return self.total - self.done


class Progress(NamedTuple):
    began: float
    """Monotonic seconds before the first figure was asked for."""
    stages: tuple[Stage, ...]
    """In the order of the data; the first one's total is what producers have shipped."""
    documents: int
    """Searchable in the sources' indices."""
    dead: Counter[tuple[str, str, str]]
    """Distinct dead letters by (source, stage, reason), without those that were retried or dropped."""

    def drained(self) -> bool:
        """Whether nothing is on its way. Commits were read before ends, so this holds stage after stage."""
        return all(stage.lag == 0 for stage in self.stages)

    def missing(self) -> str:
        """What is on its way, in words: `parse has 3 of 10 records to go`."""
        return "; ".join(f"{stage.name} has {stage.lag:,} of {stage.total:,} records to go" for stage in self.stages if stage.lag)

    def figures(self) -> tuple[object, ...]:
        """Changes when anything moves."""
        return self.stages, self.documents, self.dead.total()


class Monitor:
    """Looks at Kafka and Elasticsearch on behalf of a person. Owns its clients; one thread at a time may use it.

    Committed offsets are asked for by a consumer of each group that never joins it, not by an AdminClient: one that is
    given up while the broker looks for a group's coordinator hangs for ever (librdkafka 2.16, its broker thread).
    """

    def __init__(self, settings: Settings, sources: Iterable[str]) -> None:
        self._kafka = settings.kafka
        self._sources = list(sources)
        self._groups = {name: self._consumer(name) for name in STAGES}
        self._search = search.client(settings.elasticsearch, request_timeout=REQUEST_S)
        self._indices = ",".join(index_pattern(settings, name) for name in self._sources)
        self._letters = {
            topic: (source, Letters(stages, payloads=False))
            for source in self._sources
            for topic, stages in kafka.dead_topics(self._kafka, source).items()
        }
        """By topic, with its source: they are few, or something is very wrong."""
        self._letters_read = 0
        """Letters and verdicts."""
        self._dead: Counter[tuple[str, str, str]] = Counter()
        self._reader = self._consumer("progress")
        self._reader_assigned = False

    def close(self) -> None:
        for consumer in (*self._groups.values(), self._reader):
            consumer.close()
        self._search.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> Progress:
        """Figures of now. The sources' topics must exist. Raises Unreachable when a server does not say."""
        deadline = time.monotonic() + REQUEST_S
        while True:
            try:
                return self._look()
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise Unreachable(f"cannot see how far the work has come: {error.args[0].str()}") from error
            except ApiError as error:
                # 503: an index is so new that its shards are not there yet
                if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                    raise Unreachable(f"cannot see how far the work has come: {error}") from error
            except TransportError as error:
                raise Unreachable(f"cannot see how far the work has come: {error}") from error
            time.sleep(0.1)

    def _look(self) -> Progress:
        began = time.monotonic()
        topics = self._groups["parse"].list_topics(timeout=REQUEST_S).topics
        if (
            any(topic not in topics for kind in ("raw", "events", "enriched") for topic in self._topics(kind))
            or self._letters.keys() - topics
        ):
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))  # made a moment ago, and this broker does not know yet
        read = {
            name: [TopicPartition(topic, partition) for topic in self._topics(kind) for partition in topics[topic].partitions]
            for name, kind in STAGES.items()
        }
        # Commits before ends, and stage after stage: a stage that had caught up then has nothing more to hand on now.
        committed = {name: self._committed(name, partitions) for name, partitions in read.items()}
        stages = tuple(self._stage(name, partitions, committed[name]) for name, partitions in read.items())
        self._read_letters([TopicPartition(topic, number, 0) for topic in self._letters for number in topics[topic].partitions])
        return Progress(began, stages, self._documents(), self._dead.copy())

    def refresh(self) -> None:
        """Make everything written so far searchable. Raises Unreachable."""
        client = self._search.options(request_timeout=REFRESH_S)
        try:
            client.indices.refresh(index=self._indices, ignore_unavailable=True, allow_no_indices=True)
        except (ApiError, TransportError) as error:
            raise Unreachable(f"everything is in the index, but Elasticsearch does not make it searchable now: {error}") from None

    def _topics(self, kind: kafka.Kind) -> list[str]:
        return [kafka.topic(self._kafka, source, kind) for source in self._sources]

    def _consumer(self, role: str) -> Consumer:
        group = kafka.group(self._kafka, role)
        # Quiet, since what fails is told by `look`, and the services tell of the connection.
        return Consumer({**kafka.client_config(self._kafka, group_id=group, enable_auto_commit=False), "log_level": 2})

    def _committed(self, name: str, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
        """Committed offset by topic and partition; negative where the group has committed none."""
        found = self._groups[name].committed(partitions, timeout=REQUEST_S)
        return {(partition.topic, partition.partition): partition.offset for partition in found}

    def _stage(self, name: str, partitions: list[TopicPartition], committed: dict[tuple[str, int], int]) -> Stage:
        done = total = 0
        for partition in partitions:
            # Not by the consumer of dead letters: behind its fetch, which the broker holds for half a second, every answer waits.
            first, end = self._groups[name].get_watermark_offsets(partition, timeout=REQUEST_S)
            done += max(0, min(committed[partition.topic, partition.partition], end) - first)
            total += end - first
        return Stage(name, done, total)

    def _documents(self) -> int:
        return int(self._search.count(index=self._indices, ignore_unavailable=True, allow_no_indices=True)["count"])

    def _read_letters(self, partitions: list[TopicPartition]) -> None:
        """Count what the dead letter topics hold more than at the last look; one that was written twice counts once."""
        if not self._reader_assigned:
            self._reader.assign(partitions)
            self._reader_assigned = True
        deadline = time.monotonic() + DEAD_LETTERS_S
        before = self._letters_read
        while time.monotonic() < deadline and (messages := self._reader.consume(1000, timeout=0.05)):
            for message in messages:
                if message.error() is None:
                    source, letters = self._letters[message.topic()]
                    letters.take(source, message)
                    self._letters_read += 1
        if self._letters_read > before:
            waiting = (letter for _, letters in self._letters.values() for letter in letters if letter.state == "waiting")
            self._dead = Counter((letter.source, letter.letter.stage, letter.letter.reason) for letter in waiting)


class Watch(threading.Thread):
    """Looks every second beside the work, so that a slow answer holds nothing up. A server that is away is asked again.

    The monitor belongs to this thread from entry to exit.
    """

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(name="progress", daemon=True)
        self._monitor = monitor
        self.latest: Progress | None = None
        self.failure: str | None = None
        """Why the last look failed; None after a good one."""
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.latest = self._monitor.look()
                self.failure = None
            except Unreachable as error:
                self.failure = error.message
            self._stop_asked.wait(LOOK_EVERY_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join()


def index_pattern(settings: Settings, source: str) -> str:
    """The pattern of a source's indices: `ezcast-*`."""
    return f"{settings.elasticsearch.index_prefix}{settings.sources[source].index or source}-*"
