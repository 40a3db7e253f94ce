"""What a running sink's metrics and health are.

Read from other threads than the sink's: each figure is a number, or is copied in one step, and those of one answer may be a moment
apart. Nothing is asked of Kafka or Elasticsearch for them.
"""

import time
from collections.abc import Iterator

from schemas.envelope import EventEnvelope, decode
from sinks.bulk import Record
from sinks.consume import Sink
from tailrace import metrics
from tailrace.metrics import Sample
from tailrace.monitor import Health
from tailrace.stalls import Stalls

STUCK_S = 60.0
"""A sink that has waited for Elasticsearch for so long, or has work left and has not moved, is not well."""


class SinkHealth(Health, frozen=True, kw_only=True):
    lag_records: int
    waiting_s: float


class Figures:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._stalls = Stalls(STUCK_S)

    def samples(self) -> Iterator[Sample]:
        yield from self._sink.counts.samples()
        yield from (Sample(metrics.SINK_LAG, lag, (topic, str(number))) for (topic, number), lag in self._sink.lag().items())
        records = self._sink.oldest()
        yield Sample(metrics.SINK_OLDEST_EVENT, min(_event_times(records), default=0) / 1000)
        yield Sample(metrics.SINK_OLDEST_RECORD, min((record.timestamp()[1] for record in records), default=0) / 1000)
        waited_s, _ = self._sink.waiting()
        yield Sample(metrics.SINK_WAITING_SINCE, time.time() - waited_s if waited_s else 0)

    def health(self) -> SinkHealth:
        waited_s, cause = self._sink.waiting()
        lag = self._sink.lag()
        stuck = self._stalls.stuck(*self._sink.positions(), time.monotonic())
        if waited_s >= STUCK_S:
            status = f"Elasticsearch has taken nothing for {waited_s:.0f} s: {cause}"
        elif stuck:
            status = f"no progress for {STUCK_S:.0f} s although there is work on {sorted(stuck)}"
        else:
            status = "ok"
        return SinkHealth(status=status, lag_records=sum(lag.values()), waiting_s=round(waited_s, 1))


def _event_times(records: list[Record]) -> Iterator[int]:
    """Milliseconds since 1970 of those that are events and have a time."""
    for record in records:
        try:
            event = decode(record.value() or b"")
        except ValueError:
            continue
        if isinstance(event, EventEnvelope) and event.time is not None:
            yield event.time
