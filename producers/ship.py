"""The loop: find files, read them in turn, publish, remember what is acknowledged.

One thread. Every live file gets one chunk per round, and so does the oldest of the backlog: gigabytes of it starve nobody. Waiting for the
broker, for a file to grow and for a signal all happen in `Publisher.poll`. What concerns all files at once (looking for them, the
checkpoint, heartbeats, seals) is done now and then, and with thousands of files less often.
"""

import logging
import os
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from itertools import count
from zlib import crc32

from producers import report
from producers.checkpoint import Store
from producers.discovery import find
from producers.follow import Follower
from producers.heartbeats import Heart, now_ms
from producers.opener import Opener
from producers.progress import Counts, Progress
from producers.publish import Batch, Publisher, Stopped
from producers.reader import CHUNK_BYTES, Part, Records, TooLarge
from producers.registry import MAX_OPEN, Registry
from producers.reload import Reloaded
from producers.seal import Sealer
from producers.tailed import TailedFile
from producers.throttle import Throttle
from producers.turns import Turns, age
from schemas.source import Source
from tailrace import settings as config
from tailrace.errors import Incomplete

log = logging.getLogger("tailrace.ship")

SCAN_S = 1.0
"""Between two looks at the globs."""

IDLE_S = 0.1
"""Between two looks at live files where nothing was read: what a new line waits at most."""

CHECKPOINT_S = 1.0
CHECKPOINT_BYTES = 16 * 1024 * 1024
"""A checkpoint is due after so long, or when so much is acknowledged: what a kill -9 sends twice at most, beside what was in flight."""

HEARTBEAT_S = 5.0
SEAL_S = 1.0
"""Between two looks for files that are complete."""
STATUS_S = 10.0

SHARE = 100
"""None of these may take more than a hundredth of a core: with thousands of files they are done less often."""
EAGER = 10
"""The same for looks that were asked for, as by a folder where files keep coming."""

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
        self._turns = Turns(once=once)
        self._opener = Opener(MAX_OPEN, self._turns.waits_in_backlog)
        self._follower = Follower(self._registry, self._turns, self._opener, self._publish, once=once)
        self._unsettled: dict[TailedFile, None] = {}
        """Files that have batches."""
        self._touched: set[TailedFile] = set()
        """Files of which something may have changed since the last heartbeat."""
        self._spread = count()
        self._host = host
        self._hearts = {source.name: Heart(host) for source in sources}
        self._throttle = Throttle(settings.records_per_second, settings.bytes_per_second, time.monotonic)
        self._sealer = Sealer(config.seconds(settings.seal_after, "ship.seal_after"), self._note_seal)
        self._close_inactive_s = config.seconds(settings.close_inactive, "ship.close_inactive")
        self._reloader = reloader
        self._reload_asked = False
        self._looked_ms = 0
        self._looked_s = self._look_took_s = 0.0
        self._stop = False
        self._records = 0
        self._unsaved = 1
        """Bytes, about, that were acknowledged since the last checkpoint; more than 0 where there is anything to save."""
        self.saved = True
        """The last checkpoint could be written."""
        self.moved_s = time.monotonic()
        """When the queue was empty or something was acknowledged."""
        self._due = dict.fromkeys(("scan", "checkpoint", "heartbeat", "seal", "status"), 0.0)
        self._status = report.Status()

    def stop(self) -> None:
        """Asks `run` to end; for signal handlers."""
        self._stop = True

    def look(self) -> None:
        """Asks `run` to look for files now, or when ten times as long has passed as that takes; from any thread."""
        self._due["scan"] = min(self._due["scan"], self._looked_s + EAGER * self._look_took_s)

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
        for source in self._sources:
            report.say_what_was_found(source, self._files(source), once=self._once)
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
        self._beat(stopping=self._hearts)
        self._publisher.flush(FLUSH_S if not left else 0)
        if progress:
            progress.end(self._counts())
        if self._once:
            self._check_complete(saved)

    def _loop(self, progress: Progress | None) -> None:
        while not self._stop:
            now_s = time.monotonic()
            if not self._once:
                self._when_due("scan", SCAN_S, now_s, self._scan)
            if self._reload_asked:
                self._take_over()
            moved = self._round(now_s) or self._sealer.step()
            self._publisher.poll(0 if moved else min(IDLE_S, self._throttle.wait_s() or IDLE_S))
            self._settle()
            if not self._publisher.queued:
                self.moved_s = now_s
            if self._unsaved >= CHECKPOINT_BYTES:
                self._due["checkpoint"] = now_s
            if self._unsaved:
                self._when_due("checkpoint", CHECKPOINT_S, now_s, self._save)
            self._when_due("heartbeat", HEARTBEAT_S, now_s, self._beat)
            self._when_due("seal", SEAL_S, now_s, self._look_for_complete)
            if progress:
                progress.show(self._counts)
            else:
                self._when_due("status", STATUS_S, now_s, lambda: self._status.say(self._registry.files, self._records))
            if self._once and not moved and self._is_complete() and not self._look_for_complete():
                return

    def _when_due(self, what: str, every_s: float, now_s: float, act: Callable[[], object]) -> None:
        if now_s < self._due[what]:
            return
        self._due[what] = due_s = now_s + every_s
        began_s = time.thread_time()
        act()
        if self._due[what] == due_s:  # nobody asked for it meanwhile
            self._due[what] = max(due_s, now_s + SHARE * (time.thread_time() - began_s))

    # Reading

    def _scan(self) -> None:
        self._looked_ms, self._looked_s, began_s = now_ms(), time.monotonic(), time.thread_time()
        for source in self._sources:
            self._registry.update(source, find(source.settings), heads_may_be_torn=self._once)
        for tailed in sorted({*self._registry.take_changed(), *self._follower.failing}, key=age):
            self._opener.note(tailed)
            self._touched.add(tailed)
            self._turns.wake(tailed)
        self._follower.failing.clear()
        self._opener.close_inactive(time.monotonic() - self._close_inactive_s)
        self._look_took_s = time.thread_time() - began_s

    def _round(self, now_s: float) -> bool:
        """One chunk of each file whose turn it is. Whether there is more to do at once."""
        moved = False
        for tailed in self._turns.round(now_s):
            if self._throttle.wait_s():
                break
            self._turns.had(tailed)
            self._touched.add(tailed)
            moved |= self._follower.turn(tailed, now_s, self._throttle.piece(CHUNK_BYTES))
            if tailed.replaced:
                self.look()
        return moved or self._turns.is_next_waiting

    # Publishing

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
            tailed.sent(part, batch)
            self._unsettled[tailed] = None
            self._throttle.spend(batch.count, _length(part))

    def _partition(self, tailed: TailedFile) -> int:
        """By file where order within a file matters; else the next one for each chunk, since whole batches compress best."""
        partitions = self._publisher.partitions(tailed.source.name)
        if tailed.source.ordered_by_file:
            return crc32(tailed.place.file.encode()) % partitions
        return next(self._spread) % partitions

    # Remembering and reporting

    def _settle(self) -> None:
        for tailed in list(self._unsettled):
            before = tailed.acknowledged
            if records := tailed.settle():
                self._records += records
                self._unsaved += 1 + tailed.acknowledged - before
                self._touched.add(tailed)
                self.moved_s = time.monotonic()
            if not tailed.batches:
                del self._unsettled[tailed]

    def _save(self) -> bool:
        self.saved = self._store.save(self._registry.entries())
        self._unsaved = 0 if self.saved else 1
        return self.saved

    def _note_seal(self, tailed: TailedFile) -> None:
        self._touched.add(tailed)
        self._unsaved += 1

    def _beat(self, *, stopping: Container[str] = ()) -> None:
        """`stopping`: names of sources that are not followed any more."""
        unreadable = self.unreadable()
        for source in self._sources:
            touched = {tailed for tailed in self._touched if tailed.source.name == source.name}
            heart, stopped = self._hearts[source.name], source.name in stopping
            records = heart.beat(touched, looked_ms=self._looked_ms, unreadable=unreadable, stopped=stopped)
            if self._publisher.send_heartbeats(source.name, records):
                self._touched -= touched

    def _files(self, source: Source) -> list[TailedFile]:
        return [file for file in self._registry.files if file.source is source]

    def _counts(self) -> Counts:
        return report.counted(self._registry.files, self._records)

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
        self._follow_sources(reloaded.sources)
        self._throttle.change(reloaded.ship.records_per_second, reloaded.ship.bytes_per_second)
        self._sealer.after_s = config.seconds(reloaded.ship.seal_after, "ship.seal_after")
        self._close_inactive_s = config.seconds(reloaded.ship.close_inactive, "ship.close_inactive")
        self.look()

    def _follow_sources(self, sources: Sequence[Source]) -> None:
        """These instead of those up to now. Files of a source that is left out are let go of; their checkpoints stay."""
        by_name = {source.name: source for source in sources}
        leaving = [tailed for tailed in self._registry.files if tailed.source.name not in by_name]
        for tailed in leaving:
            self._follower.let_go(tailed)
        self._beat(stopping={source.name for source in self._sources if source.name not in by_name})
        for tailed in self._registry.files:
            tailed.source = by_name.get(tailed.source.name, tailed.source)
        self._hearts = {name: self._hearts.get(name) or Heart(self._host) for name in by_name}
        self._sources = sources

    def _is_complete(self) -> bool:
        return all((file.finished or file.failed) and not file.batches for file in self._registry.files)

    def _check_complete(self, saved: bool) -> None:
        missing = list(report.missing(self._registry))
        if not saved:
            missing.append("the checkpoint, which could not be written")
        if missing:
            raise Incomplete(f"not everything was shipped; missing: {'; '.join(missing)}. Run it again to go on from there")


def _length(part: Part) -> int:
    """Bytes that a part sends, about."""
    if isinstance(part, Records):
        return part.ends[-1]
    return len(part.head if isinstance(part, TooLarge) else part.value)
