"""What a producer says about its files every few seconds: how far it has come with each."""

import time
from collections.abc import Iterable, Iterator

from producers.registry import TailedFile
from schemas.heartbeat import Heartbeat
from schemas.place import Place

QUIET_MS = 86_400_000
"""A file that has not been written for so long is reported when its numbers change and at the end only: an archive of
thousands of old files need not be repeated every few seconds."""


def heartbeats(files: Iterable[TailedFile], *, everything: bool) -> Iterator[tuple[Place, Heartbeat]]:
    """Those that are due, which are then taken as said."""
    now_ms = time.time_ns() // 1_000_000
    for tailed in files:
        beat = heartbeat(tailed, now_ms)
        if everything or now_ms - beat.mtime_ms < QUIET_MS or tailed.reported != _numbers(beat):
            tailed.reported = _numbers(beat)
            yield tailed.place, beat


def heartbeat(tailed: TailedFile, now_ms: int) -> Heartbeat:
    size = tailed.size
    return Heartbeat(
        file=tailed.place.file,
        host=tailed.place.host,
        path=tailed.place.path,
        path_now=None if tailed.gone or tailed.replaced else tailed.found.path,
        size=size,
        mtime_ms=tailed.found.mtime_ns // 1_000_000,
        read=tailed.reader.position,
        acknowledged=tailed.acknowledged,
        read_to_end=tailed.acknowledged == size and not tailed.failed,
        time_ms=now_ms,
    )


def _numbers(beat: Heartbeat) -> tuple[int, int, int, str | None]:
    return beat.size, beat.read, beat.acknowledged, beat.path_now
