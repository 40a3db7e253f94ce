"""The loop: find files, read them in turn, publish, remember what is acknowledged.

One thread. Every live file gets one chunk per round, and so does the oldest of the backlog: gigabytes of it starve nobody. Waiting for the
broker, for a file to grow and for a signal all happen in `Publisher.poll`.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from heapq import nlargest
from itertools import count
from zlib import crc32

from producers import content
from producers.checkpoint import Store
from producers.content import Replaced
from producers.discovery import find
from producers.heartbeats import Heart, now_ms
from producers.progress import Counts, FileCounts, Progress, size
from producers.publish import Batch, Publisher, Stopped
from producers.reader import Part, Records, TooLarge
from producers.registry import ENDS_EARLY, MAX_OPEN, Registry, TailedFile
from producers.reload import Reloaded
from producers.seal import Sealer
from producers.throttle import Throttle
from schemas.source import Source
from tailrace import settings as config
from tailrace.errors import Incomplete

log = logging.getLogger("tailrace.ship")

SCAN_S = 1.0
"""Between two looks at the globs."""

IDLE_S = 0.1
"""Between two looks at open files where nothing was read: what a new line waits at most."""

CHECKPOINT_S = 1.0
HEARTBEAT_S = 5.0
SEAL_S = 1.0
"""Between two looks for files that are complete."""
STATUS_S = 10.0

GONE_S = 60.0
"""A deleted or renamed file is followed until it has not grown for so long: its writer may still have it open."""

BACKLOG_NS = 86_400 * 10**9
"""A file that was last written so long ago is backlog, read after all older files. In a backfill every file is."""

LONGEST = 3
"""So many files of a backfill are named, those that have most to go."""

FLUSH_S = 10.0
"""A stop waits this long for deliveries; supervisors kill after 30 s or more."""


class Shipper:
    def __init__(
        self,
        sources: Sequence[Source],
        host: str,
        publisher: Publisher,
        store: Store,
        *,
        once: bool,
        settings: config.Ship | None = None,
        reloader: "Callable[[Sequence[Source]], Reloaded | None] | None" = None,
    ) -> None:
        """`reloader` gives what is in force after `reload`; None where nothing changes."""
        settings = settings or config.Ship()
        self._sources = sources
        self._publisher = publisher
        self._store = store
        self._once = once
        self._registry = Registry(host, store.load())
        self._spread = count()
        self._hearts = {source.name: Heart(host) for source in sources}
        self._throttle = Throttle(settings.records_per_second, settings.bytes_per_second, time.monotonic)
        self._sealer = Sealer(config.seconds(settings.seal_after, "ship.seal_after"))
        self._reloader = reloader
        self._reload_asked = False
        self._looked_ms = 0
        self._next: TailedFile | None = None
        """Whose turn it is, where a limit ended the last round early."""
        self._stop = False
        self._records = 0
        self._changed = True
        self.saved = True
        """The last checkpoint could be written."""
        self.moved_s = time.monotonic()
        """When the queue was empty or something was acknowledged."""
        self._due = dict.fromkeys(("scan", "checkpoint", "heartbeat", "seal", "status"), 0.0)
        self._last_status = (time.monotonic(), 0)

    def stop(self) -> None:
        """Asks `run` to end; for signal handlers."""
        self._stop = True

    def look(self) -> None:
        """Asks `run` to look for files now; from any thread."""
        self._due["scan"] = 0.0

    def reload(self) -> None:
        """Asks `run` to take over what its reloader says; for signal handlers."""
        self._reload_asked = True

    # Figures, for other threads (producers.figures)

    @property
    def publisher(self) -> Publisher:
        return self._publisher

    @property
    def records(self) -> int:
        """Acknowledged since the start."""
        return self._records

    def files(self) -> list[TailedFile]:
        return list(self._registry.files)

    def watermarks(self) -> dict[str, int]:
        """By source, milliseconds since 1970; 0: not known yet."""
        return {name: heart.shipped_ms for name, heart in self._hearts.items()}

    def unreadable(self) -> int:
        """How many files were found and could not be opened."""
        return sum(map(os.path.lexists, list(self._registry.unreadable)))

    def throttled_s(self) -> float:
        return self._throttle.wait_s()

    @property
    def stopping(self) -> bool:
        return self._stop

    def run(self, progress: Progress | None = None) -> None:
        """Until `stop`, or with `once` until everything present is acknowledged.

        Raises Incomplete where `once` could not do that, and what the publisher raises. Whatever happens, the checkpoint
        written last covers acknowledged records only.
        """
        self._scan()
        self._say_what_was_found()
        if progress:
            progress.begin(self._counts())
        try:
            with suppress(Stopped):
                self._loop(progress)
            left = self._publisher.flush(FLUSH_S)
            if left:
                log.warning("%d records are not acknowledged after %.0f s: they will be sent again", left, FLUSH_S)
        finally:
            self._settle()
            saved = self._save()
        self._sealer.close()
        self._beat(everything=True, stopped=True)
        self._publisher.flush(FLUSH_S if not left else 0)
        if progress:
            progress.end(self._counts())
        if self._once:
            self._check_complete(saved)

    def _loop(self, progress: Progress | None) -> None:
        while not self._stop:
            now_s = time.monotonic()
            if not self._once and self._is_due("scan", SCAN_S, now_s):
                self._scan()
            if self._reload_asked:
                self._take_over()
            moved = self._round(now_s) or self._sealer.step()
            self._publisher.poll(0 if moved else min(IDLE_S, self._throttle.wait_s() or IDLE_S))
            self._settle()
            if not self._publisher.queued:
                self.moved_s = now_s
            if self._is_due("checkpoint", CHECKPOINT_S, now_s) and self._changed:
                self._save()
            if self._is_due("heartbeat", HEARTBEAT_S, now_s):
                self._beat()
            if self._is_due("seal", SEAL_S, now_s):
                self._look_for_complete()
            if progress:
                progress.show(self._counts)
            elif self._is_due("status", STATUS_S, now_s):
                self._say_status(now_s)
            if self._once and not moved and self._is_complete() and not self._look_for_complete():
                return

    def _is_due(self, what: str, every_s: float, now_s: float) -> bool:
        if now_s < self._due[what]:
            return False
        self._due[what] = now_s + every_s
        return True

    # Reading

    def _scan(self) -> None:
        self._looked_ms = now_ms()
        for source in self._sources:
            self._registry.update(source, find(source.settings), heads_may_be_torn=self._once)

    def _round(self, now_s: float) -> bool:
        """One chunk of each file that may have one, but of the backlog only of the oldest. Whether anything was read.

        So years of files reach the topic day by day, as sessions need them, and live files do not wait for them.
        """
        moved = backlog_moved = False
        files = sorted((file for file in self._registry.files if not file.finished), key=_age)
        self._open_those_with_more(files)
        written_before_ns = time.time_ns() - BACKLOG_NS
        for tailed in self._in_turn(files):
            if self._throttle.wait_s():
                self._next = tailed
                break
            is_backlog = self._once or tailed.found.mtime_ns < written_before_ns
            if is_backlog and backlog_moved:
                continue
            if tailed.reader.is_open:
                read = self._turn(tailed, now_s)
                moved |= read
                backlog_moved |= read and is_backlog
            elif tailed.gone:
                self._give_up(tailed)
            if tailed.reader.is_torn and not tailed.reader.ends_early and now_s - tailed.grown_s >= tailed.source.torn_timeout_s:
                self._publish_rest(tailed)
        return moved

    def _in_turn(self, files: list[TailedFile]) -> list[TailedFile]:
        """The files, those first that the last round did not come to."""
        first = files.index(self._next) if self._next in files else 0
        self._next = None
        return files[first:] + files[:first] if first else files

    def _open_those_with_more(self, files: Sequence[TailedFile]) -> None:
        """Where too many are open already, in place of those that have been at their end for longest."""
        waiting = [file for file in files if not file.reader.is_open and not file.gone and self._has_more(file)]
        if not waiting:
            return
        opened = [file for file in files if file.reader.is_open]
        idle = sorted(
            (file for file in opened if file.reader.at_end and not file.gone and not file.reader.waits), key=lambda file: -file.grown_s
        )
        room = MAX_OPEN - len(opened)
        for tailed in waiting:
            if room <= 0:
                if not idle:
                    return
                idle.pop().reader.close()
                room += 1
            room -= self._open(tailed)

    def _has_more(self, tailed: TailedFile) -> bool:
        """Of a file that is closed."""
        return (self._once and not tailed.failed) or tailed.found.size != tailed.reader.consumed

    def _turn(self, tailed: TailedFile, now_s: float) -> bool:
        try:
            parts = tailed.reader.read(now_s)
        except Replaced:
            self._publish_rest(tailed)
            log.warning(
                "%s was cut or overwritten: what it held up to byte %d was read; what it holds now is read from its start",
                tailed.found.path, tailed.reader.position,
            )  # fmt: skip
            self._registry.forget(tailed, replaced=True)
            return True
        except OSError as error:
            self._cannot_read(tailed, error)
            return False
        self._publish(tailed, parts)
        if not tailed.reader.at_end:
            tailed.grown_s = now_s
            return True
        if self._once:
            self._finish(tailed)
            return True  # others may be opened in its place at once
        if tailed.gone and now_s - tailed.grown_s >= GONE_S:
            self._give_up(tailed)
        return bool(parts)

    def _finish(self, tailed: TailedFile) -> None:
        """End of a file in a backfill."""
        if tailed.reader.ends_early:
            tailed.failed = ENDS_EARLY
        else:
            self._publish_rest(tailed)
            tailed.finished = True
        tailed.reader.close()

    def _give_up(self, tailed: TailedFile) -> None:
        """End of a file that is gone."""
        lost = tailed.size - tailed.reader.position
        if lost > 0:
            log.warning("%s was deleted before its last %s were read", tailed.found.path, size(lost))
        self._publish_rest(tailed)
        self._registry.forget(tailed)

    def _open(self, tailed: TailedFile) -> bool:
        """Open a file by its path, if that still is the file."""
        try:
            opened = content.open_file(tailed.found.path)
        except OSError as error:
            self._cannot_read(tailed, error)
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
            self._cannot_read(tailed, error)
            return False
        tailed.failed = ""
        return True

    def _cannot_read(self, tailed: TailedFile, error: OSError) -> None:
        why = error.strerror or str(error)
        if tailed.failed != why:
            log.warning("cannot read %s: %s; other files go on, and it is tried again", tailed.found.path, why)
        tailed.failed = why
        tailed.reader.close()

    # Publishing

    def _publish_rest(self, tailed: TailedFile) -> None:
        """What is held back of a file that is taken to be complete; once, and again only if it has grown."""
        if tailed.torn_at != tailed.reader.position:
            tailed.torn_at = tailed.reader.position
            self._publish(tailed, tailed.reader.finish())

    def _publish(self, tailed: TailedFile, parts: Iterable[Part]) -> None:
        source = tailed.source
        for part in parts:
            partition = self._partition(tailed)
            batch: Batch
            if isinstance(part, Records):
                batch = self._publisher.send(source.name, partition, tailed.prefix, part)
            elif isinstance(part, TooLarge):
                batch = self._publisher.send_too_large(source.name, tailed.prefix, part)
            else:
                log.warning(
                    "%s ends in the middle of a line at byte %d: shipped as it stands; it will be sent again when it is complete",
                    tailed.found.path, part.begin,
                )  # fmt: skip
                batch = self._publisher.send_torn(source.name, partition, tailed.place, part)
            tailed.batches.append(batch)
            self._throttle.spend(batch.count, _length(part))

    def _partition(self, tailed: TailedFile) -> int:
        """By file where order within a file matters; else the next one for each chunk, since whole batches compress best."""
        partitions = self._publisher.partitions(tailed.source.name)
        if tailed.source.ordered_by_file:
            return crc32(tailed.place.file.encode()) % partitions
        return next(self._spread) % partitions

    # Remembering and reporting

    def _settle(self) -> None:
        for tailed in self._registry.files:
            if tailed.batches and (records := tailed.settle()):
                self._records += records
                self._changed = True
                self.moved_s = time.monotonic()

    def _save(self) -> bool:
        saved = self._store.save(self._registry.entries())
        self.saved = saved
        self._changed = not saved
        return saved

    def _beat(self, everything: bool = False, stopped: bool = False) -> None:
        unreadable = self.unreadable()
        for source in self._sources:
            heart = self._hearts[source.name]
            records = heart.beat(
                self._files(source), looked_ms=self._looked_ms, unreadable=unreadable, everything=everything, stopped=stopped
            )
            self._publisher.send_heartbeats(source.name, records)

    def _files(self, source: Source) -> list[TailedFile]:
        return [file for file in self._registry.files if file.source is source]

    def _look_for_complete(self) -> bool:
        """Whether there are files to be sealed."""
        for source in self._sources:
            self._sealer.look(self._files(source))
        return self._sealer.is_busy

    def _take_over(self) -> None:
        """A changed configuration."""
        self._reload_asked = False
        reloaded = self._reloader(self._sources) if self._reloader else None
        if reloaded is None:
            return
        self._sources = reloaded.sources
        by_name = {source.name: source for source in reloaded.sources}
        for tailed in self._registry.files:
            tailed.source = by_name[tailed.source.name]
        self._throttle.change(reloaded.ship.records_per_second, reloaded.ship.bytes_per_second)
        self._sealer.after_s = config.seconds(reloaded.ship.seal_after, "ship.seal_after")
        self._due["scan"] = 0

    def _counts(self) -> Counts:
        present = [file for file in self._registry.files if not file.replaced]
        done = sum(_delivered(file) for file in present)
        total = sum(file.size for file in present)
        left = nlargest(LONGEST, (file for file in present if _left(file)), key=_left)
        longest = tuple(FileCounts(file.found.path, file.resumed, _delivered(file), file.size) for file in left)
        return Counts(done, total, self._records, len(present), longest)

    def _say_what_was_found(self) -> None:
        for source in self._sources:
            found = self._files(source)
            paths = ", ".join(source.settings.paths) or "no paths are configured"
            if found:
                left = sum(max(0, file.size - file.acknowledged) for file in found)
                log.info("%s: %d files, %s to ship", source.name, len(found), size(left))
            elif self._once:
                log.warning("%s: nothing to ship: no file with a line in it matches %s", source.name, paths)
            else:
                log.info("%s: no file matches yet, waiting for one: %s", source.name, paths)

    def _say_status(self, now_s: float) -> None:
        since_s, before = self._last_status
        if self._records == before:
            return
        counts = self._counts()
        log.info(
            "%d files, %.0f records/s, %s acknowledged, %s behind",
            counts.files, (self._records - before) / (now_s - since_s), size(counts.acknowledged), size(counts.total - counts.acknowledged),
        )  # fmt: skip
        self._last_status = (now_s, self._records)

    def _is_complete(self) -> bool:
        return all((file.finished or file.failed) and not file.batches for file in self._registry.files)

    def _check_complete(self, saved: bool) -> None:
        missing = [f"{path}: {why}" for path, why in self._registry.unreadable.items()]
        for file in self._registry.files:
            if file.failed:
                missing.append(f"{file.found.path}: {file.failed}")
            elif not file.finished or file.batches:
                missing.append(f"{file.found.path}: {size(file.size - file.acknowledged)} from byte {file.acknowledged} on")
        if not saved:
            missing.append("the checkpoint, which could not be written")
        if missing:
            raise Incomplete(f"not everything was shipped; missing: {'; '.join(missing)}. Run it again to go on from there")


def _age(file: TailedFile) -> tuple[int, str]:
    """Sorts the oldest first. Files that were copied have one time; their names often tell their days."""
    return file.found.mtime_ns, file.found.path


def _left(tailed: TailedFile) -> int:
    return tailed.size - _delivered(tailed)


def _delivered(tailed: TailedFile) -> int:
    """Bytes of a file that are done with, a shipped torn end included."""
    return tailed.reader.position if tailed.finished and not tailed.batches else tailed.acknowledged


def _length(part: Part) -> int:
    """Bytes that a part sends, about."""
    if isinstance(part, Records):
        return part.ends[-1]
    return len(part.head if isinstance(part, TooLarge) else part.value)
