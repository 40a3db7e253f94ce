"""Delivery in batches: what one fetch brought from a partition reaches the agent as one Faust event.

Stock Faust hands over record by record, at four asyncio tasks and a lock each: about 12,000 records a second before any
work is done. Here the whole list that was fetched becomes the value of one event, so that Faust's price is paid
once per batch. What changes against `faust.transport.drivers.aiokafka`:

- `_drain_messages` fetches and delivers whole lists, of records of our own. Changelogs do not come this way (`streams.recovery`).
- A batch's event is acknowledged by hand, when Kafka holds all that the batch produced (`streams.outbox`), and `Offsets`
  replaces the search for consecutive acknowledged numbers.
- The generation of the consumer group is read in the consumer's own thread at the moment of the fetch. A batch of an earlier
  assignment is never delivered, and the new assignment starts at the committed offsets.
- Back-pressure is a full queue: the drain waits for a place in it, instead of pausing partitions and sleeping for a second.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import faust
import uvloop
from faust.transport.drivers import aiokafka as stock
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

from streams.offsets import Batch, Offsets
from streams.records import Record, use_light_records
from tailrace.errors import TailraceError

Fetched = Mapping[TP, Sequence[Record]]

MAX_BATCH_RECORDS = 5_000
"""Of one fetch. A batch blocks the event loop while it is worked on: some 50 to 100 ms for so many records."""
QUEUED_BATCHES = 4
"""That wait for an agent. More only costs memory: aiokafka fetches ahead by itself."""
DRAIN_S = 30.0
"""How long a rebalance waits until Kafka has acknowledged what is in flight."""
LAST_DRAIN_S = 10.0
"""How long a stop waits for it."""
IDLE_S = 0.1
"""Pause of the drain while nothing is assigned, or everything is paused."""


log = logging.getLogger("tailrace.stream")


class NotDrained(TailraceError):
    """Kafka did not acknowledge what was in flight in time, so the partitions cannot be given up in order."""


class BatchMessage(ConsumerMessage):  # type: ignore[misc, unused-ignore]
    """A batch as Faust's message: `value` is the list of records, `offset` the last one's."""

    __slots__ = ("batch",)

    batch: Batch


class ConsumerThread(stock.AIOKafkaConsumerThread):  # type: ignore[misc, unused-ignore]
    """aiokafka's consumer in its thread; says which generation of the group a fetch belongs to."""

    async def fetch(self, active: frozenset[TP], timeout_s: float) -> tuple[int, Fetched]:
        return cast(tuple[int, Fetched], await self.call_thread(self._fetch, active, timeout_s))

    async def _fetch(self, active: frozenset[TP], timeout_s: float) -> tuple[int, Fetched]:
        fetched = await self._fetch_records(self._ensure_consumer(), active, timeout=timeout_s, max_records=MAX_BATCH_RECORDS)
        # Nothing is awaited between aiokafka's hand-over and this line, so no rebalance can come between them.
        return self.app.consumer_generation_id, fetched

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        return cast(Mapping[TP, int | None], await self.call_thread(self._seek_to_committed))

    async def _seek_to_committed(self) -> Mapping[TP, int | None]:
        """Where nothing is committed, to the beginning. Left to itself, aiokafka goes on there behind what it has fetched, whether or
        not that was delivered.
        """
        consumer = self._ensure_consumer()
        committed: Mapping[TP, int | None] = await consumer.seek_to_committed()
        if fresh := [tp for tp, offset in committed.items() if not offset]:
            await consumer.seek_to_beginning(*fresh)
        return committed

    def left_group(self) -> BaseException | None:
        """What ended the consumer's part in its group. aiokafka tells it to those who call `getmany`, which Faust does not."""
        coordinator = None if self._consumer is None else self._consumer._coordinator
        if coordinator is None:
            return None
        task: asyncio.Task[None] = coordinator._coordination_task
        failed = task.exception() if task.done() and not task.cancelled() else None
        return cast(BaseException | None, failed or coordinator._pending_exception)


class Consumer(stock.Consumer):  # type: ignore[misc, unused-ignore]
    """Delivers batches, and commits what is finished."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.offsets: Offsets[TP] = Offsets()
        self.abandoned = False
        """Set by a worker that has failed: what is in flight will never be acknowledged."""
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, thread_loop=uvloop.new_event_loop(), beacon=self.beacon)

    def left_group(self) -> BaseException | None:
        """What made the worker leave its group for good, if anything did. May be asked from any thread."""
        return None if self._thread is None else self._thread.left_group()

    # -- reading

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch and deliver until the fetcher is stopped. Faust starts this anew after every rebalance that stopped it."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                active = frozenset(self._get_active_partitions())
                if not active:  # aiokafka would take this for "all"
                    await self.sleep(IDLE_S)
                    continue
                generation, fetched = await self._thread.fetch(active, 1.0)
                for tp, records in fetched.items():
                    if not self.flow_active:
                        # They may be of the assignment that is being prepared, which aiokafka has read past. Dropped now, they would be
                        # lost if what follows them is committed before that assignment is sought anew.
                        await self.wait(self.can_resume_flow)
                    if generation != self.app.consumer_generation_id or self.should_stop:
                        break  # of an assignment that is over: what follows starts from the committed offsets
                    await self._deliver(tp, records)
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _deliver(self, tp: TP, records: Sequence[Record]) -> None:
        """Wait for a place in the agent's queue, but not beyond a rebalance."""
        await self.wait_first(self.callback(self._batch(tp, records)), self.suspend_flow.wait())

    def _batch(self, tp: TP, records: Sequence[Record]) -> BatchMessage:
        last = records[-1]
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        message = BatchMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            None,
            None,
            records,  # type: ignore[arg-type, unused-ignore]
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.batch = self.offsets.read(tp, last.offset + 1, records[0].timestamp)
        return message

    def on_buffer_full(self, tp: TP) -> None:
        """A full queue makes the drain wait; pausing the partition as well would only stall it."""

    # -- acknowledging and committing

    def ack(self, message: ConsumerMessage) -> bool:
        if not isinstance(message, BatchMessage):
            return cast(bool, super().ack(message))
        message.acked = message.batch.done = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    def _filter_tps_with_pending_acks(self, topics: Iterable[Any] | None = None) -> Iterable[TP]:
        return [tp for tp in self.offsets if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        return self.offsets.committable(tp)

    async def perform_seek(self) -> None:
        """Read again from the committed offsets, after recovery."""
        self.offsets.forget(list(self.offsets))
        await super().perform_seek()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)  # waits for what is in flight, and commits it
        self.offsets.forget(revoked)

    async def wait_empty(self) -> None:
        """Wait until everything that agents have begun is acknowledged, and commit it.

        Raises NotDrained when a rebalance takes too long: the worker then ends, since what it still has in flight must not
        reach the changelog of a partition that another worker has taken over. A stop goes on without.
        """
        limit = LAST_DRAIN_S if self.app.should_stop else DRAIN_S
        deadline = self.loop.time() + limit
        while self._unacked_messages and not (self.abandoned or self.app.crashed):
            if self.loop.time() >= deadline:
                left = f"Kafka did not acknowledge {len(self._unacked_messages)} batches within {limit:.0f} s; they will be read again"
                if not self.app.should_stop:
                    raise NotDrained(left)
                log.warning("%s", left)
                break
            await self._wait_for_ack(timeout=1)
        await self.commit_and_end_transactions()


class BatchTransport(stock.Transport):  # type: ignore[misc, unused-ignore]
    Consumer = Consumer


def install(app: faust.App) -> None:
    """Give an app this transport. Must come before anything that touches its consumer or topics."""
    use_light_records()
    app.transport = BatchTransport(app.conf.broker_consumer, app)
