"""Sessions' state as a Faust table: one store per partition, each write in a compacted changelog topic.

Faust's own tables produce each assignment at once and one by one, through the slowest of its ways (50 to 110 us), and its stores
write the data and the changelog offset that it stands for apart. This table leaves the changelog to the caller, who writes the
changes of whole batches together with what else came of them (`streams.session_agent`). Faust assigns partitions and standbys;
`streams.recovery` brings them up to date.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import faust
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faust.stores.memory import Store
from faust.types import TP, EventT

from streams.outbox import Output
from streams.store import TOMBSTONES_S, Changes, MemoryPartition, Partition, open_on_disk, require_rocksdb
from streams.transactions import PartitionWriter
from tailrace import kafka
from tailrace import settings as config
from tailrace.errors import ConfigError, Refused, TailraceError
from tailrace.kafka_access import in_words

KNOWN_S = 30.0

_SCHEMA = faust.Schema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


class PartitionStore(Store):  # type: ignore[misc, unused-ignore]
    """Faust's view of the partitions that this worker has, standbys included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.partitions: dict[int, Partition] = {}

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Give up what is not this worker's any more."""
        mine = {tp.partition for tp in assigned if tp.topic == self.table.changelog_topic_name}
        for number in self.partitions.keys() - mine:
            self.partitions.pop(number).close()

    def persisted_offset(self, tp: TP) -> int | None:
        partition = self.partitions.get(tp.partition)
        return None if partition is None else partition.offset

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        raise TypeError("a partition keeps its offset together with its data")

    def apply_changelog_batch(self, batch: Iterable[EventT], to_key: Any, to_value: Any) -> None:
        """Faust's own recovery hands over nothing."""

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing to tidy up: `on_rebalance` has."""


class SessionTable(faust.Table):  # type: ignore[misc, unused-ignore]
    """A table that is written by `write`, the changes of some batches at a time."""

    open_partition: Callable[[int], Partition]
    """Set by `make_table`, as the next: how a partition's data is kept here,"""
    writer: Callable[[int], PartitionWriter]
    """and who writes it to Kafka."""

    def _new_store(self) -> PartitionStore:
        self.writers: dict[int, PartitionWriter] = {}
        """Of the partitions that are this worker's."""
        return PartitionStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    @property
    def partitions_here(self) -> dict[int, Partition]:
        return self.data.partitions  # type: ignore[no-any-return]

    def partition(self, number: int) -> Partition:
        """Raises KeyError for a partition that is not this worker's."""
        return self.partitions_here[number]

    async def open(self, numbers: Iterable[int]) -> None:
        """Have the data of these partitions here, as far as this machine kept it."""
        for number in sorted(numbers):
            if number not in self.partitions_here:
                self.partitions_here[number] = await asyncio.to_thread(self.open_partition, number)

    async def take_over(self, numbers: Iterable[int]) -> None:
        """Be the only one who can write these partitions, and no others. Must come before their changelog is read."""
        self.writers = {number: self.writer(number) for number in numbers}
        await asyncio.gather(*(asyncio.to_thread(writer.take_over) for writer in self.writers.values()))

    def abandon(self) -> None:
        """The worker ends: nothing may wait for Kafka any more."""
        for writer in self.writers.values():
            writer.abandon()

    def change(self, number: int, changes: Changes) -> list[Output]:
        """Change what is read from the partition. Returns the records for the changelog, in the order of the changes."""
        self.partition(number).change(changes)
        topic = self.changelog_topic_name
        return [Output(topic, key, value, number) for key, value in changes.items()]

    def on_key_set(self, key: bytes, value: bytes) -> None:
        raise TypeError("a session table is changed by change() only")

    def on_key_del(self, key: bytes) -> None:
        raise TypeError("a session table is changed by change() only")


def make_table(app: faust.App, settings: config.Settings, admin: AdminClient, source_name: str) -> SessionTable:
    """The table of a source's sessions, with as many partitions as `<source>.events`, and its changelog topic.

    Raises ConfigError where the changelog does not match the partitions of the events any more, TailraceError where it cannot be made.
    """
    events = kafka.topic(settings.kafka, source_name, "events")
    partitions = len(describe(admin, events).partitions)
    table: SessionTable = app.Table(f"{source_name}-sessions", partitions=partitions, schema=_SCHEMA, key_type=bytes, value_type=bytes)
    _ensure_changelog(admin, settings.kafka, table, events)
    if settings.stream.store == "rocksdb":
        require_rocksdb()
        topic = topic_id(admin, table.changelog_topic_name)
        folder = Path(app.conf.datadir) / f"{source_name}-sessions"
        table.open_partition = lambda number: open_on_disk(folder / str(number), topic)
    else:
        table.open_partition = lambda number: MemoryPartition()
    table.writer = lambda number: PartitionWriter(settings.kafka, f"{app.conf.id}-{source_name}-{number}")
    return table


def _ensure_changelog(admin: AdminClient, settings: config.Kafka, table: SessionTable, events_topic: str) -> None:
    """Create the table's changelog topic, compacted."""
    name, wanted = table.changelog_topic_name, table.partitions
    if name not in admin.list_topics(timeout=10).topics:
        topic = NewTopic(
            name,
            num_partitions=wanted,
            replication_factor=settings.replication_factor,
            config={
                "cleanup.policy": "compact",
                "delete.retention.ms": f"{TOMBSTONES_S * 1000:.0f}",
                "max.message.bytes": str(kafka.MAX_RECORD_BYTES),
            },
        )
        try:
            admin.create_topics([topic])[name].result(timeout=30)
        except KafkaException as failure:
            if failure.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise Refused(in_words(settings, [f"Read, Write and Create on topic {name}"])) from None
            if failure.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise TailraceError(f"cannot create topic {name}: {failure.args[0].str()}") from None
    there = len(describe(admin, name).partitions)
    if there != wanted:
        raise ConfigError(
            f"topic {name} has {there} partitions and {events_topic} has {wanted}: sessions are kept per partition, "
            f"so delete {name}, reset the consumer group {table.app.conf.id} to the start, and let the sessions be computed anew"
        )


def topic_id(admin: AdminClient, name: str) -> str:
    """Another one for each topic, even of the same name."""
    return str(describe(admin, name).topic_id)


def describe(admin: AdminClient, name: str) -> Any:
    """A topic with its partitions, a confluent_kafka TopicDescription. One that is new is not known to every broker for a moment.

    Raises TailraceError where it is not known for longer.
    """
    deadline = time.monotonic() + KNOWN_S
    while True:
        described: Mapping[str, Any] = admin.describe_topics(TopicCollection([name]), request_timeout=KNOWN_S)
        try:
            found = described[name].result(timeout=KNOWN_S)
            missing = None if found.partitions else "it has no partitions yet"
        except KafkaException as failure:
            missing = failure.args[0].str()
        if missing is None:
            return found
        if time.monotonic() > deadline:
            raise TailraceError(f"Kafka does not describe topic {name}: {missing}")
        time.sleep(0.1)
