"""Event time of a partition: how far each file has come, which sessions may be forgotten, and which days have been.

Live files and years of backlog arrive side by side, so one clock for all would make the backlog late. Each origin, the file or feed
that an event came from, has a clock of its own: the third latest of its clients' latest times, so that a forged date, or two, says
nothing. The horizon lies so many whole days before the slowest of the origins that are active, which are those whose clock has moved
on among the last `ACTIVE_EVENTS` events of the partition: a file that has ended, or whose writer's clock stands still, holds nobody
back. It is no earlier in force than after so many events, since a file may not have begun when another one is at its end.

What has been forgotten is remembered by the day. So an event is late only where a neighbour of it may have been forgotten: a backlog
that begins years after the live files is sessionized like any other, the same backlog shipped again is late as a whole.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import msgspec

DAY_MS = 86_400_000
AGREEING_CLIENTS = 3
"""So many clients must have reached a time before it counts as past."""
STEP_MS = 3_600_000
"""A clock moves by steps of at least an hour: most events are told to move nothing by one comparison."""
ACTIVE_EVENTS = 500_000
"""Of the partition. In so many events there is at most some 50 MB of state that could have been forgotten."""
LOOK_EVENTS = 10_000
"""So many events pass between two looks at the clocks, each of which costs up to a microsecond."""
KEEP_EVENTS = 50_000
"""After so many events the clocks are stored; a restart has them stand still for at most that long."""
MOST_ORIGINS = 2_048
"""Clocks kept, those that have stood still longest given up; some 300 bytes each."""
LAST_DAY = 2_932_896
"""9999-12-31 in days since 1970: a bound for what a forged date can have remembered."""


class _Origin:
    __slots__ = ("floor", "latest", "moved_at")

    def __init__(self, latest: dict[str, int], moved_at: int) -> None:
        self.latest = latest
        """The clients that are furthest ahead, at most `AGREEING_CLIENTS`, with their latest times."""
        self.moved_at = moved_at
        """Events of the partition when the clock moved last."""
        self.floor = self._floor()
        """Events up to this time move nothing."""

    def _floor(self) -> int:
        return min(self.latest.values()) + STEP_MS if len(self.latest) == AGREEING_CLIENTS else -(1 << 63)

    @property
    def clock(self) -> int:
        return min(self.latest.values())

    def see(self, client: str, time: int, events: int) -> None:
        latest = self.latest
        if latest.get(client, time - 1) >= time:
            return
        clients, clock = len(latest), self.clock
        latest[client] = time
        if len(latest) > AGREEING_CLIENTS:
            del latest[min(latest, key=latest.__getitem__)]
        self.floor = self._floor()
        if len(latest) > clients or self.clock > clock:
            self.moved_at = events


class _Stored(msgspec.Struct, array_like=True):
    events: int
    forgotten: list[int]
    """First and last day of each stretch of days."""
    origins: list[tuple[int | None, int, dict[str, int]]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


class Clock:
    """What a partition knows of time. Show it every event that has a session, look at `horizon` after each batch."""

    def __init__(self, stored: bytes | None, days: int, active_events: int = ACTIVE_EVENTS) -> None:
        """`days` of event time are kept behind the slowest active origin."""
        found = _decode(stored) if stored is not None else _Stored(0, [], [])
        self._days = days
        self._active = active_events
        self._events = found.events
        self._origins = {origin: _Origin(latest, moved_at) for origin, moved_at, latest in found.origins}
        stretches = iter(found.forgotten)
        self._forgotten = {day for first, last in zip(stretches, stretches, strict=True) for day in range(first, last + 1)}
        self._looked_at = -LOOK_EVENTS
        self._kept_at = self._events
        self._dirty = False
        self.horizon: int | None = None
        """Sessions that ended before this time (ms, a whole day) may be forgotten. None until that can be said. It moves back where
        an origin begins that is further behind."""

    def observe(self, client: str, time: int, origin: int | None) -> None:
        """A client has been seen at a time (ms), in a record of this origin."""
        self._events += 1
        found = self._origins.get(origin)
        if found is None:
            self._origins[origin] = _Origin({client: time}, self._events)
        elif time > found.floor:
            found.see(client, time, self._events)

    def look(self) -> bool:
        """Set the horizon anew, now and then. Returns whether it is another one than before."""
        if self._events - self._looked_at < min(LOOK_EVENTS, self._active):
            return False
        self._looked_at = self._events
        before, self.horizon = self.horizon, self._horizon()
        return self.horizon != before

    def is_forgotten(self, time: int) -> bool:
        """Whether sessions that an event of this time can belong to may have been forgotten."""
        return bool(self._forgotten) and _day(time) in self._forgotten

    def forget(self, start: int, end: int) -> None:
        """Events of these times (ms, bounds included) can have had to do with something that is forgotten now."""
        days = range(_day(start), _day(end) + 1)
        self._dirty |= not self._forgotten.issuperset(days)
        self._forgotten.update(days)

    def to_store(self) -> bytes | None:
        """What to store before the pages of what was forgotten go; None where what is stored will do."""
        if not self._dirty and self._events - self._kept_at < KEEP_EVENTS:
            return None
        self._dirty, self._kept_at = False, self._events
        origins = [(origin, found.moved_at, found.latest) for origin, found in self._origins.items()]
        return _encode(_Stored(self._events, list(_stretches(self._forgotten)), origins))

    def _horizon(self) -> int | None:
        if len(self._origins) > MOST_ORIGINS:
            latest = sorted(self._origins, key=lambda origin: self._origins[origin].moved_at)[-MOST_ORIGINS:]
            self._origins = {origin: self._origins[origin] for origin in latest}
        if self._events < self._active:
            return None
        active = [found for found in self._origins.values() if found.moved_at + self._active >= self._events]
        clients: dict[str, int] = {}
        for found in active:
            for client, time in found.latest.items():
                clients[client] = max(time, clients.get(client, time))
        if len(clients) < AGREEING_CLIENTS:
            return self.horizon
        agreed = sorted(clients.values())[-AGREEING_CLIENTS]
        slowest = min(found.clock for found in active)
        return (min(agreed, slowest) // DAY_MS - self._days) * DAY_MS


def _day(time: int) -> int:
    return min(max(time // DAY_MS, 0), LAST_DAY)


def _stretches(days: Iterable[int]) -> Iterator[int]:
    """First and last of each run of days."""
    ordered = sorted(days)
    if ordered:
        yield ordered[0]
        for before, after in pairwise(ordered):
            if after > before + 1:
                yield before
                yield after
        yield ordered[-1]
