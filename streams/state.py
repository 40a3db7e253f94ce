"""The sessions of all clients of one partition, within the horizon.

The horizon is the time before which sessions are forgotten: so many whole days before what the clock of the events says.
That clock is the third latest of the clients' latest times, so one forged date, or two, cannot age everybody's state. It
moves in whole days and never back. An event before the horizon cannot be placed any more, unless it is known still.

Years of files that are shipped at once reach a partition with their days mixed: partitions of the raw topic are read at
uneven speed, and one file ahead of its time moves the clock for all. So a horizon waits until `DELAY_EVENTS` more events
have come: to forget is a matter of memory, and so many events take none worth saving.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from streams.sessions import Client, first_time
from streams.store import HORIZON, Partition, page_key

DAY_MS = 86_400_000
AGREEING_CLIENTS = 3
"""So many clients must have reached a time before it counts as past."""
DELAY_EVENTS = 500_000
"""Of the partition, from when the clock calls for a new horizon until it counts. At most some 50 MB of state that could be forgotten."""
OPEN_MEMBERS = 500_000
"""Events of clients that are kept decoded, some 150 bytes each; the clients of the batch at hand come on top."""
EXPIRED_PER_BATCH = 1_000
"""Clients looked at for expiry after each batch, so that no batch waits for a whole day's worth of them."""

Writes = dict[bytes, bytes | None]


class Clock(NamedTuple):
    """What is stored of a partition's event time."""

    horizon: int | None
    """Milliseconds since 1970; None until enough clients have been seen."""
    latest: dict[str, int]
    """The clients that are furthest ahead, at most `AGREEING_CLIENTS`, with their latest times."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int | None, dict[str, int]]).decode


class State:
    """One partition's sessions, on top of the table's data for it."""

    def __init__(self, data: Partition, gap_ms: int, days: int, delay_events: int = DELAY_EVENTS) -> None:
        self._data = data
        self._gap = gap_ms
        self._days = days
        self._delay = delay_events
        self._events = 0
        self._coming: deque[tuple[int, int]] = deque()
        """Horizons that the clock calls for, with the number of events from which on they count. A restart only delays them."""
        self.horizon, self._latest = Clock(*_decode(data.horizon)) if data.horizon is not None else Clock(None, {})
        self._open: dict[str, Client] = {}
        """Decoded clients, the least recently used first."""
        self._sizes: dict[str, int] = {}
        self._open_members = 0
        self._due: dict[int, set[str]] = {}
        """Clients by the horizon at which their oldest session may be over."""
        for name, pages in data.clients():
            self._due.setdefault(self._over_at(first_time(pages)), set()).add(name.decode())
        self._expiring: list[str] = []

    def client(self, client: str) -> Client:
        """A client's sessions, empty for a new one. Ask once per batch."""
        found = self._open.pop(client, None)
        if found is None:
            found = Client(self._gap, self._data.pages(client.encode()))
        self._open[client] = found
        return found

    def is_late(self, time: int) -> bool:
        """Whether sessions of this time may be forgotten already."""
        return self.horizon is not None and time < self.horizon

    def observe(self, client: str, time: int) -> None:
        """A client has been seen at a time (ms)."""
        self._events += 1
        latest = self._latest
        if client in latest:
            latest[client] = max(latest[client], time)
        elif len(latest) < AGREEING_CLIENTS:
            latest[client] = time
        else:
            last = min(latest, key=latest.__getitem__)
            if time > latest[last]:
                del latest[last]
                latest[client] = time

    def end_batch(self, clients: Iterable[str]) -> Writes:
        """After these clients' batches are settled: move the horizon, forget what is over. Returns what to write."""
        for client in clients:
            self._note(client)
        writes: Writes = {}
        if self._advance():
            writes[HORIZON] = _encode(Clock(self.horizon, self._latest))
        for client in self._take_expiring():
            for page, value in self.client(client).expire((self.horizon or 0) - self._gap).items():
                writes[page_key(client.encode(), page)] = value
            self._note(client)
        self._close()
        return writes

    def _advance(self) -> bool:
        if len(self._latest) < AGREEING_CLIENTS:
            return False
        horizon = (min(self._latest.values()) // DAY_MS - self._days) * DAY_MS
        newest = self._coming[-1][0] if self._coming else self.horizon
        if newest is None or horizon > newest:
            self._coming.append((horizon, self._events + self._delay))
        if not self._coming or self._events < self._coming[0][1]:
            return False
        while self._coming and self._events >= self._coming[0][1]:
            self.horizon = horizon = self._coming.popleft()[0]
        for day in [day for day in self._due if day <= horizon]:
            self._expiring += self._due.pop(day)
        return True

    def _take_expiring(self) -> Iterator[str]:
        for _ in range(min(EXPIRED_PER_BATCH, len(self._expiring))):
            yield self._expiring.pop()

    def _note(self, client: str) -> None:
        """Look at a client again when its oldest session can be over."""
        found = self._open[client]
        self._open_members += len(found) - self._sizes.get(client, 0)
        self._sizes[client] = len(found)
        if found.first_end is not None:
            self._due.setdefault(self._over_at(found.first_end), set()).add(client)

    def _over_at(self, end: int) -> int:
        """The first horizon (a whole day) at which nothing can join a session that ended then."""
        return ((end + self._gap) // DAY_MS + 1) * DAY_MS

    def _close(self) -> None:
        """Keep the memory of decoded clients bounded."""
        while self._open_members > OPEN_MEMBERS and len(self._open) > 1:
            client = next(iter(self._open))
            del self._open[client]
            self._open_members -= self._sizes.pop(client, 0)
