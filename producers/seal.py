"""When a file is complete, and a record of what it holds then.

A file is read again for its seal, a slice at a time beside the shipping, rather than hashed while it is shipped: that would
cost every growing file a tenth of its speed for the sake of those that turn out to be complete. A seal stands in the
checkpoint, so a restart does not repeat the work.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from producers import content
from producers.content import Content, Replaced
from producers.discovery import Found
from producers.tailed import TailedFile
from schemas.heartbeat import Seal

log = logging.getLogger("tailrace.ship")

SLICE_BYTES = 1 << 20
"""Read and hashed at once: a millisecond, which is what a live file may have to wait."""


class Complete:
    """Whether nothing more is expected in a file: a newer one of its source exists, and it has not been written for a while."""

    def __init__(self, mtimes_ns: Iterable[int], now_ns: int, after_s: float) -> None:
        """`mtimes_ns` of all files of the source."""
        self._newest_ns = max(mtimes_ns, default=0)
        self._latest_ns = now_ns - int(after_s * 1e9)

    def __call__(self, mtime_ns: int) -> bool:
        return mtime_ns < self._newest_ns and mtime_ns <= self._latest_ns


class _Work:
    """A file that is being read for its seal."""

    def __init__(self, tailed: TailedFile) -> None:
        """Raises OSError as the file system does."""
        self.tailed = tailed
        self.found = tailed.found
        self.content: Content = content.open_file(tailed.found.path)
        self._hash = hashlib.sha256()
        self._lines = self._bytes = 0

    def step(self) -> bool:
        """False at the end. Raises OSError and Replaced as the content does."""
        data = self.content.pread(SLICE_BYTES, self._bytes)
        self._hash.update(data)
        self._lines += data.count(b"\n")
        self._bytes += len(data)
        return bool(data)

    def seal(self) -> Seal | None:
        """None where the file is not what was acknowledged, or changed meanwhile."""
        status = os.fstat(self.content.fileno())
        unchanged = (
            _version(self.found) == (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) == _version(self.tailed.found)
        )
        whole = self._bytes == self.tailed.acknowledged == self.tailed.reader.position and not self.content.ends_early
        return Seal(self._lines, self._bytes, self._hash.hexdigest()) if unchanged and whole else None


class _Version(NamedTuple):
    device: int
    inode: int
    size: int
    mtime_ns: int


def _version(found: Found) -> _Version:
    return _Version(*found.inode, found.size, found.mtime_ns)


class Sealer:
    """Call `look` now and then and `step` as often as there is time; complete files get their `sealed`."""

    def __init__(self, after_s: float, changed: Callable[[TailedFile], None]) -> None:
        """`changed` is told of files that got a seal or lost theirs."""
        self.after_s = after_s
        self._changed = changed
        self._waiting: dict[TailedFile, None] = {}
        """In order; a dictionary, since with thousands of files each is looked up at each look."""
        self._work: _Work | None = None
        self._refused: set[_Version] = set()
        """Files that could not be sealed as they are; when they change they are tried again."""

    @property
    def is_busy(self) -> bool:
        return self._work is not None or bool(self._waiting)

    def look(self, files: Iterable[TailedFile]) -> None:
        """Take back the seals of files that grew, and find those that are complete. `files` are those of one source."""
        present = [tailed for tailed in files if not (tailed.gone or tailed.replaced)]
        complete = Complete((tailed.found.mtime_ns for tailed in present), time.time_ns(), self.after_s)
        for tailed in present:
            if tailed.sealed and tailed.reader.position != tailed.sealed.bytes:
                tailed.sealed = None
                self._changed(tailed)
            if complete(tailed.found.mtime_ns) and self._is_shipped(tailed):
                self._waiting[tailed] = None

    def _is_shipped(self, tailed: TailedFile) -> bool:
        return (
            tailed.sealed is None
            and not tailed.failed
            and not tailed.batches
            and 0 < tailed.acknowledged == tailed.reader.position
            and tailed.size == tailed.acknowledged
            and (self._work is None or self._work.tailed is not tailed)
            and _version(tailed.found) not in self._refused
        )

    def step(self) -> bool:
        """Read one slice of one file. Whether there was anything to do."""
        if self._work is None and not self._begin():
            return False
        work = self._work
        assert work is not None, "begun above"
        try:
            if work.step():
                return True
            self._end(work, work.seal())
        except (OSError, Replaced):
            self._end(work, None)
        return True

    def _begin(self) -> bool:
        while self._waiting:
            tailed, _ = self._waiting.popitem()
            try:
                self._work = _Work(tailed)
            except OSError:
                self._refused.add(_version(tailed.found))
            else:
                return True
        return False

    def _end(self, work: _Work, seal: Seal | None) -> None:
        work.content.close()
        self._work = None
        work.tailed.sealed = seal
        if seal is None:
            self._refused.add(_version(work.found))
        else:
            self._changed(work.tailed)
            log.info("%s is complete: %d lines, %d bytes, SHA-256 %s", work.found.path, seal.lines, seal.bytes, seal.hash)

    def close(self) -> None:
        if self._work is not None:
            self._work.content.close()
            self._work = None
