"""A source's batches through its sessionizer: what comes of them reaches Kafka in transactions, and only then counts.

Why a death at any moment loses nothing, and doubles nothing that matters. What comes of a batch (events with their sessions, patches,
summaries, dead letters, and the changelog) is one transaction. Only when Kafka has committed it may the batch's offset be committed.
So what a successor recovers from the changelog knows of an event exactly if all that it caused is in Kafka. It may read some
batches again, and for each event one of two things is true:

- The changelog lacks it. Its whole effect, patches of other events included, is computed and sent, for the first time.
- The changelog has it. It changes nothing, and is sent on once more with the session that it has now.

Either way the last word on each event in `<source>.enriched` is the session that follows from the set of all events. A worker that
stood still and has been given up by the group cannot add to it: see `streams.transactions`.

While a transaction is on its way, the next batches of its partition are worked on; they become one transaction together.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from faust.types import EventT

from schemas.notes import LONGEST_DAY_MS
from schemas.source import Source
from streams.outbox import Output, by_topic
from streams.records import Record
from streams.state import State, Writes
from streams.table import SessionTable
from streams.transactions import PartitionWriter
from streams.worker import Worker

WAITING_BATCHES = 4
"""Of one partition. With the batch at hand and the transaction under way this bounds the memory of what is in flight."""


class _Finished(NamedTuple):
    """A batch that has been worked on."""

    event: EventT
    outputs: list[Output]
    """The changelog's records included, as the last."""
    writes: Writes


Sessionize = Callable[[Sequence[Record], State], tuple[list[Output], Writes]]
"""The outputs of a batch in the order in which they must be read, and what to write to the table."""


class SessionAgent:
    def __init__(self, worker: Worker, sessionize: Sessionize, table: SessionTable, source: Source) -> None:
        self._worker = worker
        self._sessionize = sessionize
        self._table = table
        self._source = source
        self._states: dict[int, State] = {}
        self._finished: dict[int, asyncio.Queue[_Finished]] = {}
        self._generation = -1

    async def __call__(self, event: EventT) -> None:
        partition = event.message.partition
        outputs, writes = self._sessionize(event.value, self._state(event))
        outputs += self._table.change(partition, writes)
        await self._queue(partition).put(_Finished(event, outputs, writes))

    def _state(self, event: EventT) -> State:
        """The state of the event's partition. After a rebalance everything is made anew from the recovered table."""
        message = event.message
        if message.generation_id != self._generation:
            self._generation = message.generation_id
            self._states.clear()
        state = self._states.get(message.partition)
        if state is None:
            data = self._table.partition(message.partition)
            gap = self._source.session_gap_ms
            reach = gap if self._source.views is None else max(gap, LONGEST_DAY_MS)  # the views of a day are whole or forgotten
            state = State(data, gap, self._source.settings.session_days, reach_ms=reach)
            self._states[message.partition] = state
        return state

    def _queue(self, partition: int) -> asyncio.Queue[_Finished]:
        if partition not in self._finished:
            self._finished[partition] = asyncio.Queue(WAITING_BATCHES)
            self._worker.background(self._write(partition, self._finished[partition]))
        return self._finished[partition]

    async def _write(self, partition: int, queue: asyncio.Queue[_Finished]) -> None:
        """One partition's batches in order, those that wait together."""
        while True:
            batches = [await queue.get()]
            while not queue.empty():
                batches.append(queue.get_nowait())
            await self._transaction(partition, self._table.writers[partition], batches)

    async def _transaction(self, partition: int, writer: PartitionWriter, batches: list[_Finished]) -> None:
        outputs = [output for batch in batches for output in batch.outputs]
        offsets = await asyncio.to_thread(writer.write, outputs) if outputs else {}
        changelog = self._table.changelog_topic_name
        if changelog in offsets:
            writes = {key: value for batch in batches for key, value in batch.writes.items()}
            self._table.partition(partition).keep(writes, offsets[changelog])
        for batch in batches:
            self._worker.done(batch.event, by_topic(batch.outputs))
