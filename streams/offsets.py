"""Which offset of each partition may be committed, when whole batches are finished in any order.

Faust keeps every acknowledged offset of a partition and looks for consecutive numbers, which costs per record and takes
compacted or transactional gaps for unfinished work. A batch needs one flag, and the order in which batches were read.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

Partition = TypeVar("Partition", bound=Hashable)


class Batch:
    """The records of one partition from one fetch."""

    __slots__ = ("done", "next_offset", "time")

    def __init__(self, next_offset: int, time: int) -> None:
        self.next_offset = next_offset
        """The offset to commit once this batch and all before it are done."""
        self.done = False
        self.time = time
        """Of its first record, as Kafka gave it: milliseconds since 1970."""


class Offsets(Generic[Partition]):
    """The batches in flight, in reading order."""

    def __init__(self) -> None:
        self._reading: dict[Partition, deque[Batch]] = {}
        self._ready: dict[Partition, int] = {}

    def read(self, partition: Partition, next_offset: int, time: int = 0) -> Batch:
        """Begin a batch. Batches of one partition are begun in the order of their offsets."""
        batch = Batch(next_offset, time)
        self._reading.setdefault(partition, deque()).append(batch)
        return batch

    def committable(self, partition: Partition) -> int | None:
        """The offset up to which everything is done, said again until a later one is; None before the first."""
        batches = self._reading.get(partition)
        while batches and batches[0].done:
            self._ready[partition] = batches.popleft().next_offset
        return self._ready.get(partition)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """The partitions are another worker's now, or are read again from where they were committed.

        What is still in flight for them can finish, and changes nothing here.
        """
        for partition in partitions:
            self._reading.pop(partition, None)
            self._ready.pop(partition, None)

    def in_flight(self) -> list[Batch]:
        """The batches that are not done. May be asked from any thread."""
        return [batch for batches in list(self._reading.values()) for batch in list(batches) if not batch.done]

    def __iter__(self) -> Iterator[Partition]:
        """The partitions that have been read from."""
        return iter(self._reading)
