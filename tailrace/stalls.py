"""Whether a role that has work left makes progress."""

from collections.abc import Mapping

Partition = tuple[str, int]
"""Topic and partition number."""


class Stalls:
    """When each partition that has work last moved."""

    def __init__(self, stuck_s: float) -> None:
        self._stuck_s = stuck_s
        self._moved: dict[Partition, tuple[int, float]] = {}

    def stuck(self, reached: Mapping[Partition, int], ends: Mapping[Partition, int], now: float) -> list[Partition]:
        """The partitions with work left whose reached offset has not moved for `stuck_s` seconds. `now` is monotonic."""
        behind = {at: offset for at, offset in reached.items() if offset < ends[at]}
        self._moved = {
            at: self._moved[at] if at in self._moved and self._moved[at][0] == offset else (offset, now) for at, offset in behind.items()
        }
        return [at for at, (_, since) in self._moved.items() if now - since >= self._stuck_s]

    def reset(self) -> None:
        """Count from now: for the time in which nothing can be known, or nothing can be done."""
        self._moved.clear()
