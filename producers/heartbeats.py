"""What a producer says every few seconds: how far it has come with the files that changed, and before when all are shipped."""

import time
from collections.abc import Iterator, Set

from producers.tailed import TailedFile
from schemas.heartbeat import Heartbeat, HostBeat, encode, heartbeat_key, host_key
from schemas.watermark import advance, shipped_by_host


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Heart:
    """Of one producer, for one source. Each beat is records of the topic `<source>.files`.

    The topic keeps what was said last of each file, so a file of which nothing changed is not told again, and costs nothing.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._files: set[TailedFile] = set()
        self._behind: set[TailedFile] = set()
        """Files of which something was not shipped at the last beat."""
        self.shipped_ms = 0
        """Everything that stood in the files at this time is shipped."""

    def beat(self, touched: Set[TailedFile], *, looked_ms: int, unreadable: int, stopped: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of what is due; each is taken as said when the next is asked for.

        `touched`: files of which something may have changed since the last beat. `looked_ms`: when the files were looked for last.
        """
        told_ms = now_ms()
        self._files.update(touched)
        for tailed in touched:
            beat = heartbeat(tailed, told_ms)
            if tailed.reported != _numbers(beat):
                yield heartbeat_key(tailed.place), encode(beat)
                tailed.reported = _numbers(beat)
        self._behind |= touched
        for tailed in self._behind:
            _pass_marks(tailed, looked_ms)
        self._behind = {tailed for tailed in self._behind if tailed.mark.shipped_ms != looked_ms}
        failed = sum(bool(tailed.failed) for tailed in self._behind)
        marks = (tailed.mark for tailed in self._behind)
        self.shipped_ms = shipped_by_host(looked_ms, marks, unreadable=unreadable + failed, before_ms=self.shipped_ms)
        host = HostBeat(
            host=self._host,
            files=len(self._files),
            unreadable=unreadable + failed,
            shipped_ms=self.shipped_ms,
            stopped=stopped,
            time_ms=told_ms,
        )
        yield host_key(self._host), encode(host)


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
