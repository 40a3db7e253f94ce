"""What a running producer's metrics and health are, read from it while it runs.

Called from other threads than the producer's: each figure is a number that is read at once, and the list of files is copied
in one step, so that nothing needs a lock; figures of one answer may be a moment apart.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from producers.tailed import TailedFile
from tailrace import metrics
from tailrace.metrics import Sample
from tailrace.monitor import Health

if TYPE_CHECKING:
    from producers.ship import Shipper

STUCK_S = 60.0
"""A producer whose queue has not moved for so long is not well: Kafka takes nothing, or reading hangs in a dead share."""

RESTING_S = 3600.0
"""Figures of a file are told until it has not grown for so long, and as long as anything in it is not acknowledged: thousands of
archives that rest are no news, and each would be four series."""


class ShipHealth(Health, frozen=True, kw_only=True):
    files: int
    lag_bytes: int
    queue_records: int
    unreadable_files: int


def samples(shipper: "Shipper") -> Iterator[Sample]:
    files, watermarks = shipper.files(), shipper.watermarks()
    since_s = time.monotonic() - RESTING_S
    yield from (sample for tailed in files if tailed.source.name in watermarks and _is_news(tailed, since_s) for sample in _of_file(tailed))
    for name, shipped_ms in watermarks.items():
        mine = [tailed for tailed in files if tailed.source.name == name]
        yield Sample(metrics.SHIP_LAG, sum(_lag(tailed) for tailed in mine), (name,))
        yield Sample(metrics.SHIP_FILES, len(mine), (name,))
        yield Sample(metrics.SHIP_OPEN_FILES, sum(tailed.reader.is_open for tailed in mine), (name,))
        yield Sample(metrics.SHIP_SHIPPED_BEFORE, shipped_ms / 1000, (name,))
    yield Sample(metrics.SHIP_UNREADABLE_FILES, _unreadable(shipper, files))
    yield Sample(metrics.SHIP_RECORDS, shipper.records)
    yield Sample(metrics.SHIP_DEAD_LETTERS, shipper.publisher.dead_letters)
    yield Sample(metrics.SHIP_QUEUE, shipper.publisher.queued)
    yield Sample(metrics.SHIP_KAFKA_ERRORS, shipper.publisher.errors)
    yield Sample(metrics.SHIP_CHECKPOINT_FAILED, not shipper.saved)
    yield Sample(metrics.SHIP_THROTTLED, shipper.throttled_s())


def _is_news(tailed: TailedFile, since_s: float) -> bool:
    return not tailed.replaced and (tailed.grown_s > max(0.0, since_s) or _lag(tailed) > 0)


def _lag(tailed: TailedFile) -> int:
    return 0 if tailed.replaced else max(0, tailed.size - tailed.acknowledged)


def _of_file(tailed: TailedFile) -> Iterator[Sample]:
    labels = (tailed.source.name, tailed.place.file, tailed.found.path)
    size, acknowledged = tailed.size, tailed.acknowledged
    yield Sample(metrics.SHIP_FILE_SIZE, size, labels)
    yield Sample(metrics.SHIP_FILE_READ, tailed.reader.position, labels)
    yield Sample(metrics.SHIP_FILE_ACKNOWLEDGED, acknowledged, labels)
    yield Sample(metrics.SHIP_FILE_LAG, _lag(tailed), labels)


def health(shipper: "Shipper") -> ShipHealth:
    files = shipper.files()
    return ShipHealth(
        status=_status(shipper),
        files=len(files),
        lag_bytes=sum(map(_lag, files)),
        queue_records=shipper.publisher.queued,
        unreadable_files=_unreadable(shipper, files),
    )


def _status(shipper: "Shipper") -> str:
    still_s = time.monotonic() - shipper.moved_s
    if still_s > STUCK_S:
        return f"nothing has moved for {still_s:.0f} s, and {shipper.publisher.queued} records wait for Kafka"
    return "ok" if shipper.saved else "the checkpoint cannot be written"


def _unreadable(shipper: "Shipper", files: list[TailedFile]) -> int:
    return shipper.unreadable() + sum(bool(tailed.failed) for tailed in files)
