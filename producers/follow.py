"""One file's turn: open it, read a chunk, hand over what is complete, and decide what comes next for it."""

import logging
from collections.abc import Callable, Iterable

from producers.content import Replaced
from producers.opener import Opener
from producers.progress import size
from producers.reader import Part
from producers.registry import ENDS_EARLY, Registry
from producers.tailed import TailedFile
from producers.turns import Turns

log = logging.getLogger("tailrace.ship")

GONE_S = 60.0
"""A deleted or renamed file is followed until it has not grown for so long: its writer may still have it open."""


class Follower:
    def __init__(
        self, registry: Registry, turns: Turns, opener: Opener, publish: Callable[[TailedFile, Iterable[Part]], None], *, once: bool
    ) -> None:
        """`publish` takes what is complete. `once`: a file ends where it ends now."""
        self._registry = registry
        self._turns = turns
        self._opener = opener
        self._publish = publish
        self._once = once
        self.failing: set[TailedFile] = set()
        """Files that could not be read in their last turn; they rest until they are woken."""

    def turn(self, tailed: TailedFile, now_s: float, limit: int) -> bool:
        """Read at most `limit` bytes. Whether anything was read or a backfill is done with the file. Raises what `publish` raises."""
        if not tailed.reader.is_open and not self._open(tailed, now_s):
            return False
        try:
            parts = tailed.reader.read(now_s, limit)
        except Replaced:
            self._replace(tailed)
            return True
        except OSError as error:
            self._opener.failed(tailed, error)
            self._fail(tailed)
            return False
        self._publish(tailed, parts)
        if not tailed.reader.at_end:
            tailed.grown_s = now_s
            return True
        if self._once:
            self._finish(tailed)
            return True
        self._at_end(tailed, now_s)
        return bool(parts)

    def let_go(self, tailed: TailedFile, *, replaced: bool = False) -> None:
        """Read no more of it; what was sent is still waited for."""
        self._registry.forget(tailed, replaced=replaced)
        self._turns.rest(tailed)

    def _open(self, tailed: TailedFile, now_s: float) -> bool:
        if tailed.gone:
            self._give_up(tailed)
        elif self._once and tailed.packed:
            self._finish(tailed)
        elif not self._has_more(tailed):
            self._at_end(tailed, now_s)
        elif self._opener.open(tailed):
            return True
        elif tailed.failed:
            self._fail(tailed)
        return False

    def _has_more(self, tailed: TailedFile) -> bool:
        """Of a file that is closed."""
        if self._once:
            return not tailed.failed
        return tailed.found.size != tailed.reader.consumed or (tailed.changed and not tailed.reader.is_packed)

    def _fail(self, tailed: TailedFile) -> None:
        self.failing.add(tailed)
        self._turns.rest(tailed)

    def _at_end(self, tailed: TailedFile, now_s: float) -> None:
        """There is nothing more to read now: it is given up, or what it holds back is due, or it may rest."""
        reader = tailed.reader
        torn_s = tailed.grown_s + tailed.source.torn_timeout_s
        is_torn = reader.is_torn and not reader.ends_early and tailed.torn_at != reader.position
        if tailed.gone:
            self._turns.rest(tailed)
            self._turns.wake(tailed)  # among the live files: a backlog does not wait for it
            if now_s - tailed.grown_s >= GONE_S:
                self._give_up(tailed)
        elif is_torn and now_s >= torn_s:
            self._publish_rest(tailed)
        elif not self._turns.is_live(tailed, now_s):
            held_s = tailed.grown_s + tailed.source.record_timeout_s if reader.waits else torn_s if is_torn else None
            self._turns.rest(tailed, held_s)

    def _replace(self, tailed: TailedFile) -> None:
        """What it holds is not what was read any more."""
        self._publish_rest(tailed)
        log.warning(
            "%s was cut or overwritten: what it held up to byte %d was read; what it holds now is read from its start",
            tailed.found.path, tailed.reader.position,
        )  # fmt: skip
        self.let_go(tailed, replaced=True)

    def _finish(self, tailed: TailedFile) -> None:
        """End of a file in a backfill."""
        if tailed.reader.ends_early:
            tailed.failed = ENDS_EARLY
        else:
            self._publish_rest(tailed)
            tailed.finished = True
        tailed.reader.close()
        self._turns.rest(tailed)

    def _give_up(self, tailed: TailedFile) -> None:
        """End of a file that is gone."""
        lost = tailed.size - tailed.reader.position
        if lost > 0:
            log.warning("%s was deleted before its last %s were read", tailed.found.path, size(lost))
        self._publish_rest(tailed)
        self.let_go(tailed)

    def _publish_rest(self, tailed: TailedFile) -> None:
        """What is held back of a file that is taken to be complete; once, and again only if it has grown."""
        if tailed.torn_at != tailed.reader.position:
            tailed.torn_at = tailed.reader.position
            self._publish(tailed, tailed.reader.finish())
