"""Bringing tables up to date: changelogs are read whole fetches at a time, by a consumer of their own.

Stock Faust hands over changelog records one by one, through the consumer of the events; and since a transaction ends with a
marker that takes an offset and is no record, it waits for an offset that never comes. Here a partition is up to date when
the consumer says that it has reached the end of what is committed. In order:

1. Take over the assigned partitions, so that nobody else can write them any more (`streams.transactions`).
2. Read their changelogs from where this machine's copy ends to the end.
3. Let the events flow, from the committed offsets.
4. Follow the changelogs of standby partitions until the next rebalance.

A rebalance at any point begins anew.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import faust
from aiokafka.errors import IllegalStateError
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode import Service

from streams.store import Partition
from streams.table import SessionTable
from tailrace import kafka
from tailrace.errors import TailraceError
from tailrace.settings import Kafka

log = logging.getLogger("tailrace.stream")

FETCH_RECORDS = 10_000
"""At once; until they are applied the event loop does nothing else, some 10 ms."""
FETCH_S = 0.1
FOLLOW_S = 0.5
"""How long a standby waits for company of a record, and a rebalance for the standby."""
REQUEST_S = 10.0
PROMISED_S = 5.0
"""How long a changelog may end before what is kept of it here, before it counts as one that has lost records."""
SAY_EVERY_S = 10.0
SILENT_S = 120.0
"""A recovery that hears nothing for so long fails the worker."""


class Fetched(NamedTuple):
    """What one fetch brought from one partition."""

    changes: dict[bytes, bytes | None]
    records: int
    offset: int
    """The last one that is covered."""
    at_end: bool


class ChangelogReader:
    """Reads changelog partitions from given offsets. Its methods block, and raise TailraceError for what does not pass."""

    def __init__(self, settings: Kafka, group: str) -> None:
        self._consumer = Consumer(
            kafka.client_config(
                settings,
                group_id=group,  # librdkafka wants one; it never joins and commits nothing
                enable_auto_commit=False,
                enable_partition_eof=True,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
        )

    def ends(self, tp: TP) -> tuple[int, int]:
        """The first and the next offset; what belongs to a transaction that has not ended does not count."""
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*tp), timeout=REQUEST_S)
        except KafkaException as failure:
            raise _unreadable(failure.args[0]) from None
        return low, high

    def start(self, offsets: dict[TP, int]) -> None:
        """Read these partitions from these offsets on, and no others."""
        self._consumer.assign([TopicPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()])

    def fetch(self, timeout_s: float = FETCH_S) -> dict[TP, Fetched]:
        """What comes within the timeout."""
        changes: dict[TP, dict[bytes, bytes | None]] = defaultdict(dict)
        counts: dict[TP, int] = defaultdict(int)
        offsets: dict[TP, int] = {}
        ended: set[TP] = set()
        messages: list[Message] = self._consumer.consume(FETCH_RECORDS, timeout_s)
        for message in messages:
            tp, error = TP(message.topic(), message.partition()), message.error()
            if error is None:
                changes[tp][message.key()] = message.value()
                counts[tp] += 1
                offsets[tp] = message.offset()
                ended.discard(tp)
            elif error.code() == KafkaError._PARTITION_EOF:
                offsets[tp] = message.offset() - 1  # markers of transactions included
                ended.add(tp)
            elif not error.retriable():
                raise _unreadable(error)
        return {tp: Fetched(changes[tp], counts[tp], offset, tp in ended) for tp, offset in offsets.items()}

    def close(self) -> None:
        self._consumer.close()


def _unreadable(error: KafkaError) -> TailraceError:
    return TailraceError(f"cannot read the changelog of sessions: {error.str()}")


class BatchRecovery(Recovery):  # type: ignore[misc, unused-ignore]
    """In place of Faust's own for an app whose tables are all session tables."""

    def __init__(self, app: faust.App, settings: Kafka, **kwargs: Any) -> None:
        super().__init__(app, app.tables, **kwargs)
        self._reader = ChangelogReader(settings, app.conf.id)
        self.read = 0
        """Changelog records since the start."""
        self.remaining = 0
        """Offsets that the recovery at hand has to go; 0 while none is at hand."""
        self._following: asyncio.Task[None] | None = None
        self._unfollow = False
        self._taking_over = asyncio.Lock()

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                break
            self.signal_recovery_start.clear()
            try:
                await self._recover(self._generation_id)
            except (RebalanceAgain, IllegalStateError):
                continue
            except ServiceStopped:
                break
        await self._stop_following()
        self._reader.close()

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Nothing comes this way."""

    @Service.task
    async def _publish_stats(self) -> None:
        """`remaining` tells it."""

    async def _recover(self, generation: int) -> None:
        await self._stop_following()
        self._set_recovery_started()
        began, before = time.monotonic(), self.read
        actives, standbys = set(self.active_tps), set(self.standby_tps)
        for table in self.tables.values():
            assert isinstance(table, SessionTable)
            changelog = table.changelog_topic_name
            async with self._taking_over:
                if generation != self.app.consumer_generation_id:
                    raise RebalanceAgain
                await table.take_over(tp.partition for tp in actives if tp.topic == changelog)
            await table.open(tp.partition for tp in actives | standbys if tp.topic == changelog)
        try:
            await self._catch_up(actives)
        finally:
            self.remaining = 0
        self._check_again()
        log.info(
            "sessions of %d partitions are up to date: %s changelog records in %.1f s",
            len(actives),
            f"{self.read - before:,}",
            time.monotonic() - began,
        )
        if standbys:
            self._following = asyncio.create_task(self._follow(standbys))
        await self.on_recovery_completed(generation)

    async def taken_over(self, *_: object, **__: object) -> None:
        """Partitions are given up after this: what is being taken over must not be taken from their next owner."""
        async with self._taking_over:
            pass

    def _check_again(self) -> None:
        if self.should_stop:
            raise ServiceStopped
        if self.signal_recovery_start.is_set():
            raise RebalanceAgain

    async def _catch_up(self, tps: set[TP]) -> None:
        """Read to the ends."""
        starts, ends = await self._offsets(tps)
        behind = {tp for tp, start in starts.items() if start < ends[tp]}
        self._reader.start({tp: starts[tp] for tp in behind})
        began = heard = said = time.monotonic()
        total = sum(ends[tp] - starts[tp] for tp in behind)
        while behind:
            self._check_again()
            fetched = await asyncio.to_thread(self._reader.fetch)
            self._apply(fetched)
            behind -= {tp for tp, found in fetched.items() if found.at_end}
            self.remaining = sum(ends[tp] - 1 - partition.offset for tp in behind if (partition := self._partition(tp)) is not None)
            now = time.monotonic()
            heard = now if fetched else heard
            if now - heard > SILENT_S:
                raise TailraceError(f"the changelog of sessions gave nothing for {SILENT_S:.0f} s: {sorted(behind)}")
            if now - said > SAY_EVERY_S and self.remaining < total:
                eta_s = (now - began) * self.remaining / (total - self.remaining)
                log.info("recovering sessions: %s of %s changelog records to go, about %.0f s", f"{self.remaining:,}", f"{total:,}", eta_s)
                said = now

    async def _offsets(self, tps: Iterable[TP]) -> tuple[dict[TP, int], dict[TP, int]]:
        """From where to read each partition, and its end."""
        starts, ends = {}, {}
        for tp in tps:
            partition = self._partition(tp)
            if partition is None:
                continue
            low, ends[tp] = await self._ends(tp, partition.offset)
            if partition.offset >= ends[tp]:
                partition.clear()  # the topic has lost records that were here
            starts[tp] = max(partition.offset + 1, low)
        return starts, ends

    async def _ends(self, tp: TP, kept: int) -> tuple[int, int]:
        """As the reader's. A transaction of this worker that Kafka has promised to commit may take a moment until it counts."""
        deadline = time.monotonic() + PROMISED_S
        while True:
            low, end = await asyncio.to_thread(self._reader.ends, tp)
            if kept < end or time.monotonic() > deadline:
                return low, end
            await asyncio.sleep(FETCH_S)

    async def _follow(self, tps: set[TP]) -> None:
        """Keep standbys warm."""
        try:
            starts, _ = await self._offsets(tps)
            self._reader.start(starts)
            while not self._unfollow:
                self._apply(await asyncio.to_thread(self._reader.fetch, FOLLOW_S))
        except Exception as error:
            await self.crash(error)

    async def _stop_following(self) -> None:
        """Not by cancelling: a fetch that is under way in its thread would take records of the next start with it."""
        if self._following is not None:
            self._unfollow = True
            await self._following
            self._following, self._unfollow = None, False

    def _apply(self, fetched: dict[TP, Fetched]) -> None:
        for tp, found in fetched.items():
            partition = self._partition(tp)
            if partition is not None:
                partition.recover(found.changes, found.offset)
                self.read += found.records

    def _partition(self, tp: TP) -> Partition | None:
        """None for one that was taken away meanwhile."""
        table = self.tp_to_table[tp]
        assert isinstance(table, SessionTable)
        return table.partitions_here.get(tp.partition)


def install(app: faust.App, settings: Kafka) -> BatchRecovery:
    """Give an app this recovery. Must come before the app starts."""
    recovery = BatchRecovery(app, settings, beacon=app.tables.beacon, loop=app.tables.loop)
    app.tables._recovery = recovery
    app.on_partitions_revoked.connect(recovery.taken_over, weak=False)
    return recovery
