"""Which files are open: no more than a few hundred of however many are followed, those that are read."""

import logging
import os
from collections.abc import Callable

from producers import content
from producers.tailed import TailedFile

log = logging.getLogger("tailrace.ship")


class Opener:
    def __init__(self, limit: int, waits: Callable[[TailedFile], bool]) -> None:
        """`limit`: files open at a time. `waits`: whether a file that is open is not being read yet."""
        self._limit = limit
        self._waits = waits
        self._opened: dict[TailedFile, None] = {}
        """All that are open, and some that were."""

    def note(self, tailed: TailedFile) -> None:
        """It may have been opened by whoever found it."""
        if tailed.reader.is_open:
            self._opened[tailed] = None

    def open(self, tailed: TailedFile) -> bool:
        """Open a file by its path, if that still is the file. False where there is no room now, or where it failed."""
        if not self._make_room():
            return False
        try:
            opened = content.open_file(tailed.found.path)
        except OSError as error:
            self.failed(tailed, error)
            return False
        status = os.fstat(opened.fileno())
        if (status.st_dev, status.st_ino) != tailed.found.inode:  # the next scan finds it where it is now
            tailed.failed = "it was renamed or replaced meanwhile"
            opened.close()
            return False
        try:
            tailed.reader.open(opened)
        except OSError as error:
            opened.close()
            self.failed(tailed, error)
            return False
        tailed.failed, tailed.changed = "", False
        self._opened[tailed] = None
        return True

    def failed(self, tailed: TailedFile, error: OSError) -> None:
        """It cannot be read at the moment: said once."""
        why = error.strerror or str(error)
        if tailed.failed != why:
            log.warning("cannot read %s: %s; other files go on, and it is tried again", tailed.found.path, why)
        tailed.failed = why
        tailed.reader.close()

    def close_inactive(self, before_s: float) -> None:
        """Close those that have not grown since `before_s` (monotonic)."""
        for tailed in [tailed for tailed in self._opened if tailed.grown_s < before_s and _is_idle(tailed)]:
            tailed.reader.close()

    def _make_room(self) -> bool:
        """In place of files that have been at their end for longest, a few at a time; else of one that is not being read yet."""
        if len(self._opened) >= self._limit:
            self._opened = {tailed: None for tailed in self._opened if tailed.reader.is_open}
        if len(self._opened) < self._limit:
            return True
        idle = [tailed for tailed in self._opened if _is_idle(tailed)]
        idle = idle or [tailed for tailed in self._opened if self._waits(tailed) and not tailed.gone][:1]
        for tailed in sorted(idle, key=lambda tailed: tailed.grown_s)[: max(1, self._limit // 4)]:
            tailed.reader.close()
            del self._opened[tailed]
        return bool(idle)


def _is_idle(tailed: TailedFile) -> bool:
    """Whether nothing is lost by closing it: what is deleted or renamed away is to be read from the descriptor, noticed or not."""
    reader = tailed.reader
    if not reader.is_open or not reader.is_short or tailed.gone or reader.waits:
        return False
    return os.fstat(reader.fileno()).st_nlink > 0
