"""What may be committed: for each assigned partition the offset below which everything is settled."""

import threading
from collections.abc import Iterable, Mapping

from sinks.bulk import Partition


class Offsets:
    """Written by the lanes, read by the loop.

    A partition belongs to one lane, which settles its batches in order, so the last settled batch says it all. Partitions that are
    not assigned are ignored: a late word of a lane must not move what another process owns by now.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: dict[Partition, int] = {}
        self._settled: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}

    def assign(self, partitions: Mapping[Partition, int]) -> None:
        """With the offsets that were committed before."""
        with self._lock:
            self._begun.update(partitions)

    def revoke(self, partitions: set[Partition]) -> None:
        with self._lock:
            for partition in partitions:
                self._begun.pop(partition, None)
                self._settled.pop(partition, None)
                self._committed.pop(partition, None)

    def settle(self, positions: Mapping[Partition, int]) -> None:
        """Everything below these offsets is in the index or in a dead letter."""
        with self._lock:
            for partition, offset in positions.items():
                if partition in self._begun:
                    self._settled[partition] = offset

    def uncommitted(self) -> dict[Partition, int]:
        """What has moved since the last `committed`."""
        with self._lock:
            return {partition: offset for partition, offset in self._settled.items() if self._committed.get(partition) != offset}

    def committed(self, positions: Mapping[Partition, int]) -> None:
        """A commit of these offsets is on its way."""
        with self._lock:
            self._committed.update({partition: offset for partition, offset in positions.items() if partition in self._begun})

    def not_committed(self, partitions: Iterable[Partition]) -> None:
        """Their commit failed: they are uncommitted again."""
        with self._lock:
            for partition in partitions:
                self._committed.pop(partition, None)

    def settled(self) -> dict[Partition, int]:
        """Of each assigned partition; what was committed before where nothing was settled since."""
        with self._lock:
            return self._begun | self._settled
