"""What a running harvester's metrics and health are, read from it while it runs: each figure is a number that is read at once."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tailrace import metrics
from tailrace.metrics import Sample
from tailrace.monitor import Health

if TYPE_CHECKING:
    from producers.harvest.harvester import Harvester

STUCK_S = 60.0
"""A harvester whose core gives no usable answer, or whose queue does not move, for so long is not well."""


class HarvestHealth(Health, frozen=True, kw_only=True):
    documents: int
    queue_records: int


def samples(harvester: "Harvester") -> Iterator[Sample]:
    for core in harvester.cores:
        source, waiting = (core.source.name,), core.waiting
        yield Sample(metrics.HARVEST_RECORDS, core.documents, source)
        yield Sample(metrics.HARVEST_WAITING_SINCE, waiting.since_s if waiting else 0, source)
        yield Sample(metrics.HARVEST_SHIPPED_BEFORE, core.shipped_ms / 1000, source)
    yield Sample(metrics.HARVEST_DEAD_LETTERS, harvester.publisher.dead_letters)
    yield Sample(metrics.HARVEST_QUEUE, harvester.publisher.queued)
    yield Sample(metrics.HARVEST_KAFKA_ERRORS, harvester.publisher.errors)
    yield Sample(metrics.HARVEST_CHECKPOINT_FAILED, not harvester.saved)


def health(harvester: "Harvester") -> HarvestHealth:
    return HarvestHealth(
        status="; ".join(_complaints(harvester)) or "ok",
        documents=sum(core.documents for core in harvester.cores),
        queue_records=harvester.publisher.queued,
    )


def _complaints(harvester: "Harvester") -> Iterator[str]:
    for core in harvester.cores:
        waiting = core.waiting
        if waiting and (waited_s := time.time() - waiting.since_s) >= STUCK_S:
            yield f"Solr at {core.address.url} has given no usable answer for {waited_s:.0f} s: {waiting.cause}"
    still_s = time.monotonic() - harvester.moved_s
    if still_s >= STUCK_S:
        yield f"nothing has moved for {still_s:.0f} s, and {harvester.publisher.queued} records wait for Kafka"
    if not harvester.saved:
        yield "the checkpoint cannot be written"
