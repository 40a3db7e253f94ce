"""Sessions' state as a Faust table: one dictionary per partition in memory, each write in a compacted changelog topic.

Faust's own tables produce each assignment at once and one by one, through the slowest of its ways (50 to 110 us), and its
memory store mixes the partitions, so that keys of one that was given up survive until it comes back. This table leaves the
changelog to the caller, who writes a batch's pages together and at the right time (`streams.sessionize`), and keeps each
partition's data with the changelog offset that it stands for. Recovery is Faust's own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import faust
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faust.stores.memory import Store
from faust.types import TP, EventT

from streams.outbox import Output
from tailrace import kafka
from tailrace.errors import ConfigError, Refused, TailraceError
from tailrace.kafka_access import in_words
from tailrace.settings import Kafka

Pages = dict[bytes, bytes]
"""A client's pages by name."""

HORIZON = b"\xff\xff\xff\xff"
"""The key of a partition's horizon: no client, since keys begin with the length of the client."""

_SCHEMA = faust.Schema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def page_key(client: bytes, name: bytes) -> bytes:
    """The table's key of a page: the client's length in 4 bytes, the client, the page's name."""
    return len(client).to_bytes(4, "big") + client + name


class Partition:
    """The data of one partition, as of a changelog offset."""

    def __init__(self) -> None:
        self.clients: dict[bytes, Pages] = {}
        self.horizon: bytes | None = None
        self.offset = -1
        """The last changelog record that is in here, be it read or written; -1: none."""

    def put(self, key: bytes, value: bytes | None) -> None:
        if key == HORIZON:
            self.horizon = value
            return
        cut = 4 + int.from_bytes(key[:4], "big")
        client, name = key[4:cut], key[cut:]
        if value is not None:
            self.clients.setdefault(client, {})[name] = value
        elif client in self.clients:
            self.clients[client].pop(name, None)
            if not self.clients[client]:
                del self.clients[client]


class PartitionStore(Store):  # type: ignore[misc, unused-ignore]
    """Faust's view of the partitions that this worker has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.partitions: dict[int, Partition] = {}

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Drop what is another worker's now, so that it is recovered as a whole when it comes back."""
        changelog = self.table.changelog_topic_name
        mine = {tp.partition for tp in assigned if tp.topic == changelog}
        lost = {tp.partition for tp in revoked if tp.topic == changelog}
        self.partitions = {
            partition: self.partitions[partition] if partition in self.partitions and partition not in lost else Partition()
            for partition in mine
        }

    def persisted_offset(self, tp: TP) -> int | None:
        partition = self.partitions.get(tp.partition)
        return None if partition is None else partition.offset

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        partition = self.partitions.get(tp.partition)
        if partition is not None:
            partition.offset = max(partition.offset, offset)

    def apply_changelog_batch(self, batch: Iterable[EventT], to_key: Any, to_value: Any) -> None:
        """Recovery. `to_key` and `to_value` are for tables of Python objects; ours are bytes on both sides."""
        for event in batch:
            message = event.message
            partition = self.partitions.get(message.partition)
            if partition is not None and message.topic == self.table.changelog_topic_name:
                partition.put(message.key, message.value)
                partition.offset = message.offset

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing to tidy up: `on_rebalance` has."""


class SessionTable(faust.Table):  # type: ignore[misc, unused-ignore]
    """A table that is written by `write`, a batch's changes at a time."""

    def _new_store(self) -> PartitionStore:
        return PartitionStore("memory://", self.app, self, table_name=self.name, loop=self.loop)

    def partition(self, number: int) -> Partition:
        """Raises KeyError for a partition that is not assigned to this worker."""
        return self.data.partitions[number]  # type: ignore[no-any-return]

    def write(self, number: int, changes: Mapping[bytes, bytes | None]) -> list[Output]:
        """Change the data, and return what the changelog must hold. The caller produces it and calls `written`."""
        put = self.partition(number).put
        for key, value in changes.items():
            put(key, value)
        topic = self.changelog_topic_name
        return [Output(topic, key, value, number) for key, value in changes.items()]

    def written(self, message: Message) -> None:
        """Kafka holds a record of the changelog."""
        self.data.set_persisted_offset(TP(message.topic(), message.partition()), message.offset())

    def on_key_set(self, key: bytes, value: bytes) -> None:
        raise TypeError("a session table is changed by write() only")

    def on_key_del(self, key: bytes) -> None:
        raise TypeError("a session table is changed by write() only")


def make_table(app: faust.App, source_name: str, partitions: int) -> SessionTable:
    """The table of a source's sessions; it must have as many partitions as `<source>.events`."""
    table: SessionTable = app.Table(f"{source_name}-sessions", partitions=partitions, schema=_SCHEMA, key_type=bytes, value_type=bytes)
    return table


def ensure_changelog(admin: AdminClient, settings: Kafka, table: SessionTable, events_topic: str) -> None:
    """Create the table's changelog topic, compacted.

    Raises ConfigError where it does not match the partitions of the events any more, TailraceError where it cannot be made.
    """
    name, wanted = table.changelog_topic_name, table.partitions
    found = admin.list_topics(timeout=10).topics.get(name)
    if found is not None:
        if len(found.partitions) != wanted:
            raise ConfigError(
                f"topic {name} has {len(found.partitions)} partitions and {events_topic} has {wanted}: sessions are kept per partition, "
                f"so delete {name}, reset the consumer group {table.app.conf.id} to the start, and let the sessions be computed anew"
            )
        return
    topic = NewTopic(
        name,
        num_partitions=wanted,
        replication_factor=settings.replication_factor,
        config={"cleanup.policy": "compact", "max.message.bytes": str(kafka.MAX_RECORD_BYTES)},
    )
    try:
        admin.create_topics([topic])[name].result(timeout=30)
    except KafkaException as failure:
        if failure.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise Refused(in_words(settings, [f"Read, Write and Create on topic {name}"])) from None
        if failure.args[0].name() != "TOPIC_ALREADY_EXISTS":
            raise TailraceError(f"cannot create topic {name}: {failure.args[0].str()}") from None
