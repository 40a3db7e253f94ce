"""What a producer says every few seconds: how far it has come with each file, and before when all of them are shipped."""

import time
from collections.abc import Iterable, Iterator

from producers.registry import TailedFile
from schemas.heartbeat import Heartbeat, HostBeat, encode, heartbeat_key, host_key
from schemas.watermark import advance, shipped_by_host

QUIET_MS = 86_400_000
"""A file that has not been written for so long is reported when its numbers change and at the end only: an archive of
thousands of old files need not be repeated every few seconds."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Heart:
    """Of one producer, for one source. Each beat is records of the topic `<source>.files`."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.shipped_ms = 0
        """Everything that stood in the files at this time is shipped."""

    def beat(
        self, files: Iterable[TailedFile], *, looked_ms: int, unreadable: int, everything: bool, stopped: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of what is due, which is then taken as said. `looked_ms`: when the files were looked for last.

        With `everything`, quiet files too.
        """
        told_ms = now_ms()
        files = list(files)
        for tailed in files:
            _pass_marks(tailed, looked_ms)
            beat = heartbeat(tailed, told_ms)
            if everything or told_ms - beat.mtime_ms < QUIET_MS or tailed.reported != _numbers(beat):
                tailed.reported = _numbers(beat)
                yield heartbeat_key(tailed.place), encode(beat)
        unreadable += sum(bool(tailed.failed) for tailed in files)
        marks = (tailed.mark for tailed in files)
        self.shipped_ms = shipped_by_host(looked_ms, marks, unreadable=unreadable, before_ms=self.shipped_ms)
        yield (
            host_key(self._host),
            encode(
                HostBeat(
                    host=self._host,
                    files=len(files),
                    unreadable=unreadable,
                    shipped_ms=self.shipped_ms,
                    stopped=stopped,
                    time_ms=told_ms,
                )
            ),
        )


def heartbeat(tailed: TailedFile, told_ms: int) -> Heartbeat:
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
        sealed=tailed.sealed,
        time_ms=told_ms,
    )


def _numbers(beat: Heartbeat) -> tuple[object, ...]:
    return beat.size, beat.read, beat.acknowledged, beat.path_now, beat.sealed


def _pass_marks(tailed: TailedFile, looked_ms: int) -> None:
    nothing_waits = not tailed.batches and not tailed.failed and not tailed.reader.waits
    seen_to_end = tailed.reader.position >= tailed.size and (tailed.reader.at_end or not tailed.gone)
    caught_up = nothing_waits and (tailed.finished or seen_to_end)
    tailed.mark = advance(tailed.mark, looked_ms, tailed.size, tailed.acknowledged, caught_up=caught_up)
