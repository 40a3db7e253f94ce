"""What a running worker's metrics and health are.

Read from other threads than the event loop's: each figure is a number or a container that is copied in one step, so that nothing
needs a lock; figures of one answer may be a moment apart. Nothing is asked of Kafka for them.
"""

import time
from collections import Counter
from collections.abc import Iterator

import faust
from faust.types import TP

from tailrace import metrics
from tailrace.metrics import Sample
from tailrace.monitor import Health
from tailrace.stalls import Stalls

STUCK_S = 60.0
"""A worker with work left whose offsets have not moved for so long is not well."""


class Counts:
    """What a worker has done since it started."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()
        """Records done, by the topic that they were read from."""
        self.outputs: Counter[str] = Counter()
        """Records acknowledged by Kafka, by topic."""


class StreamHealth(Health, frozen=True, kw_only=True):
    lag_records: int
    batches_in_flight: int
    recovery_remaining_records: int


class Figures:
    def __init__(self, app: faust.App, counts: Counts) -> None:
        self._app = app
        self._counts = counts
        self._stalls = Stalls(STUCK_S)

    def samples(self) -> Iterator[Sample]:
        yield from (Sample(metrics.STREAM_RECORDS, number, (topic,)) for topic, number in self._counts.records.copy().items())
        yield from (Sample(metrics.STREAM_OUTPUTS, number, (topic,)) for topic, number in self._counts.outputs.copy().items())
        batches = self._app.consumer.offsets.in_flight()
        yield Sample(metrics.STREAM_BATCHES, len(batches))
        yield Sample(metrics.STREAM_OLDEST, min((batch.time for batch in batches), default=0) / 1000)
        committed, ends = self._offsets()
        yield from (Sample(metrics.STREAM_LAG, ends[tp] - offset, (tp.topic, str(tp.partition))) for tp, offset in committed.items())
        recovery = self._app.tables.recovery
        yield Sample(metrics.STREAM_RECOVERY, getattr(recovery, "remaining", 0))
        yield Sample(metrics.STREAM_RECOVERED, getattr(recovery, "read", 0))
        for table in self._app.tables.values():
            for number, partition in table.partitions_here.copy().items():
                yield Sample(metrics.STREAM_TABLE, partition.offset, (table.changelog_topic_name, str(number)))

    def health(self) -> StreamHealth:
        remaining = getattr(self._app.tables.recovery, "remaining", 0)
        committed, ends = self._offsets()
        if remaining:
            self._stalls.reset()  # its own time-out fails the worker
        stuck = self._stalls.stuck(committed, ends, time.monotonic())
        return StreamHealth(
            status=f"no progress for {STUCK_S:.0f} s although there is work on {sorted(stuck)}" if stuck else "ok",
            lag_records=sum(ends.values()) - sum(committed.values()),
            batches_in_flight=len(self._app.consumer.offsets.in_flight()),
            recovery_remaining_records=remaining,
        )

    def _offsets(self) -> tuple[dict[TP, int], dict[TP, int]]:
        """Of the partitions whose events flow: the committed offset and the end, as far as fetches have told it."""
        consumer = self._app.consumer
        changelogs = self._app.tables.changelog_topics
        committed, ends = {}, {}
        for tp in consumer.assignment():
            end = None if tp.topic in changelogs else consumer.highwater(tp)
            if end is not None:
                committed[tp] = min(consumer._committed_offset.get(tp) or 0, end)
                ends[tp] = end
        return committed, ends
