"""Whose turn it is to be read.

A file that has grown lately is looked at in every round. Others rest until a scan sees that they changed, or until something that they
hold back is due: so ten thousand files of which few grow cost no more than those few. Of a backlog one file is read at a time, the
oldest: so years of files reach the topic day by day, as sessions need them, and live files do not wait for them.
"""

import time
from heapq import heappop, heappush
from itertools import count

from producers.tailed import TailedFile

LIVELY_S = 10.0
"""A file is looked at in every round for so long after it has grown."""

BACKLOG_NS = 86_400 * 10**9
"""A file that was last written so long ago is backlog, read after all older files. In a backfill every file is."""


class Turns:
    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._round: dict[TailedFile, None] = {}
        """Live files and one of the backlog; those that have waited longest for a turn come first."""
        self._oldest: TailedFile | None = None
        """The one of the backlog."""
        self._backlog: list[tuple[tuple[int, str], int, TailedFile]] = []
        """A heap, the oldest first; what is no longer in `_queued` is passed over."""
        self._queued: set[TailedFile] = set()
        self._alarms: list[tuple[float, int, TailedFile]] = []
        self._number = count()
        """Decides between what is equal, since files have no order."""

    def wake(self, tailed: TailedFile) -> None:
        """It may have something to read, or may be gone."""
        if tailed.finished or tailed in self._round or tailed in self._queued:
            return
        if self._is_backlog(tailed):
            self._queued.add(tailed)
            heappush(self._backlog, (age(tailed), next(self._number), tailed))
        else:
            self._round[tailed] = None

    def rest(self, tailed: TailedFile, until_s: float | None = None) -> None:
        """It has no turn until it is woken; at `until_s` (monotonic), if nothing does before."""
        self._round.pop(tailed, None)
        self._queued.discard(tailed)
        if tailed is self._oldest:
            self._oldest = None
        if until_s is not None:
            heappush(self._alarms, (until_s, next(self._number), tailed))

    def round(self, now_s: float) -> list[TailedFile]:
        """The files that have a turn now."""
        while self._alarms and self._alarms[0][0] <= now_s:
            self.wake(heappop(self._alarms)[-1])
        while self._backlog and self._oldest is None:
            tailed = heappop(self._backlog)[-1]
            if tailed in self._queued:
                self._queued.remove(tailed)
                self._round[tailed] = None
                self._oldest = tailed
        return list(self._round)

    @property
    def is_next_waiting(self) -> bool:
        """The backlog's next file can have its turn at once."""
        return self._oldest is None and bool(self._queued)

    def had(self, tailed: TailedFile) -> None:
        """It had its turn: the next one comes after everybody else's."""
        del self._round[tailed]
        self._round[tailed] = None

    def is_live(self, tailed: TailedFile, now_s: float) -> bool:
        """Whether a file that is at its end is looked at again soon."""
        return tailed is not self._oldest and now_s - tailed.grown_s < LIVELY_S

    def waits_in_backlog(self, tailed: TailedFile) -> bool:
        return tailed in self._queued

    def _is_backlog(self, tailed: TailedFile) -> bool:
        return self._once or (not tailed.gone and time.time_ns() - tailed.found.mtime_ns > BACKLOG_NS)


def age(tailed: TailedFile) -> tuple[int, str]:
    """Sorts the oldest first. Files that were copied have one time; their names often tell their days."""
    return tailed.found.mtime_ns, tailed.found.path
