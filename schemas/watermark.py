"""The completeness watermark: before which time everything that was written has been shipped.

"Nothing happened" and "nothing arrived" look alike on a topic of records. Heartbeats tell them apart: a producer that looked
at T, and has since had everything acknowledged that stood in its files then, has shipped all that was written before T. For a
source, that is so before the earliest such T of its hosts. A host that is silent proves nothing new, so it holds the
source back at its last word until it speaks again, or is said to be out of service.

Times are milliseconds since 1970 by the hosts' own clocks, which are taken to be right to about the time between two
heartbeats; a clock that is ahead of the reader's is not believed beyond it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from schemas.heartbeat import HostBeat

STALE_MS = 60_000
"""A producer that has said nothing for so long, of the 5 s between two heartbeats, is taken to be away."""


class Mark(NamedTuple):
    """How far one file is shipped, in time: all that stood in it at `shipped_ms` is.

    The same will hold of `looked_ms` once everything before `offset`, its size at that time, is acknowledged.
    """

    shipped_ms: int = 0
    looked_ms: int = 0
    offset: int = 0


def advance(mark: Mark, looked_ms: int, size: int, acknowledged: int, *, caught_up: bool) -> Mark:
    """The mark after a look at the file at `looked_ms`, when it had `size` bytes, of which `acknowledged` are by now.

    `caught_up`: no complete line of it is unacknowledged. A file that always grows is never caught up with, but each mark
    is passed in its turn.
    """
    if caught_up or acknowledged >= size:
        return Mark(looked_ms, looked_ms, size)
    if mark.looked_ms and acknowledged < mark.offset:
        return mark
    return Mark(mark.looked_ms, looked_ms, size)


def shipped_by_host(looked_ms: int, marks: Iterable[Mark], *, unreadable: int, before_ms: int) -> int:
    """Before when everything in a host's files is shipped; `looked_ms` where it has no file, `before_ms` is what it said last.

    A file that cannot be read holds it back, since nobody knows what stands in it.
    """
    now_ms = before_ms if unreadable else min((mark.shipped_ms for mark in marks), default=looked_ms)
    return max(now_ms, before_ms)


class Held(msgspec.Struct, frozen=True):
    host: str
    why: str


class Watermark(NamedTuple):
    time_ms: int | None
    """Everything that was written to the source's files before this has been shipped; None: nothing is known."""
    held_by: tuple[Held, ...]
    """Hosts that will not let it advance until something is done, and why."""


def watermark(beats: Iterable[HostBeat], now_ms: int, *, without: frozenset[str] = frozenset()) -> Watermark:
    """Of one source, by the newest heartbeat of each host that ever shipped it, save those that are out of service (`without`)."""
    serving = [beat for beat in beats if beat.host not in without]
    time_ms = min((min(beat.shipped_ms, now_ms) for beat in serving), default=0)
    held = (Held(beat.host, why) for beat in sorted(serving, key=lambda beat: beat.host) if (why := _held(beat, now_ms)))
    return Watermark(time_ms if time_ms > 0 else None, tuple(held))


def _held(beat: HostBeat, now_ms: int) -> str:
    if beat.stopped:
        return "its producer was stopped"
    if now_ms - beat.time_ms > STALE_MS:
        return f"no heartbeat for {(now_ms - beat.time_ms) // 1000} s"
    if beat.unreadable:
        return f"it cannot read {beat.unreadable} files"
    return ""
