"""The sessions of all clients of one partition, within the horizon of its clock.

The horizon (`streams.clock`) is the time before which sessions are forgotten. An event of which a neighbour may have been forgotten
cannot be placed any more, unless it is within a session that is known still: nothing that was forgotten is within reach of that.
"""

from collections.abc import Iterable, Iterator

from streams.clock import ACTIVE_EVENTS, DAY_MS, Clock
from streams.members import first_time
from streams.sessions import Client
from streams.store import HORIZON, Partition, page_key

OPEN_MEMBERS = 500_000
"""Events of clients that are kept decoded, some 150 bytes each; the clients of the batch at hand come on top."""
CLIENT_MEMBERS = 15
"""A decoded client takes as much memory as so many events, even when all of its own are forgotten."""
EXPIRED_PER_BATCH = 1_000
"""Clients looked at for expiry after each batch, so that no batch waits for a whole day's worth of them."""

Writes = dict[bytes, bytes | None]


class State:
    """One partition's sessions, on top of the table's data for it."""

    def __init__(self, data: Partition, gap_ms: int, days: int, active_events: int = ACTIVE_EVENTS, reach_ms: int | None = None) -> None:
        """`reach_ms`: how far apart two events of a client can be and still say something of each other; by default the gap."""
        self._data = data
        self._gap = gap_ms
        self._reach = gap_ms if reach_ms is None else reach_ms
        self._clock = Clock(data.horizon, days, active_events)
        self.observe = self._clock.observe
        self.is_late = self._clock.is_forgotten
        self._open: dict[str, Client] = {}
        """Decoded clients, the least recently used first."""
        self._sizes: dict[str, int] = {}
        self._open_members = 0
        self._due: dict[int, set[str]] = {}
        """Clients by the horizon at which their oldest session may be over."""
        for name, pages in data.clients():
            self._due.setdefault(self._over_at(first_time(pages)), set()).add(name.decode())
        self._expiring: list[str] = []

    @property
    def horizon(self) -> int | None:
        return self._clock.horizon

    def client(self, client: str) -> Client:
        """A client's sessions, empty for a new one. Ask once per batch."""
        found = self._open.pop(client, None)
        if found is None:
            found = Client(self._gap, self._data.pages(client.encode()), self._reach)
        self._open[client] = found
        return found

    def end_batch(self, clients: Iterable[str]) -> Writes:
        """After these clients' batches are settled: look at the clock, forget what is over. Returns what to write."""
        for client in clients:
            self._note(client)
        if self._clock.look() and self.horizon is not None:
            for day in [day for day in self._due if day <= self.horizon]:
                self._expiring += self._due.pop(day)
        pages: Writes = {}
        for client in self._take_expiring():
            self._expire(client, pages)
        self._close()
        clock = self._clock.to_store()
        return pages if clock is None else {HORIZON: clock, **pages}

    def _expire(self, name: str, pages: Writes) -> None:
        client, encoded = self.client(name), name.encode()
        written, gone = client.expire((self.horizon or 0) - self._reach)
        for page, value in written.items():
            pages[page_key(encoded, page)] = value
        for session in gone:
            self._clock.forget(session.start - self._reach, session.end + self._reach)
        self._note(name)

    def _take_expiring(self) -> Iterator[str]:
        for _ in range(min(EXPIRED_PER_BATCH, len(self._expiring))):
            yield self._expiring.pop()

    def _note(self, client: str) -> None:
        """Look at a client again when its oldest session can be over."""
        found = self._open[client]
        size = CLIENT_MEMBERS + found.held
        self._open_members += size - self._sizes.get(client, 0)
        self._sizes[client] = size
        if found.first_end is not None:
            self._due.setdefault(self._over_at(found.first_end), set()).add(client)

    def _over_at(self, end: int) -> int:
        """The first horizon (a whole day) at which nothing can join a session that ended then."""
        return ((end + self._reach) // DAY_MS + 1) * DAY_MS

    def _close(self) -> None:
        """Keep the memory of decoded clients bounded."""
        while self._open_members > OPEN_MEMBERS and len(self._open) > 1:
            client = next(iter(self._open))
            del self._open[client]
            self._open_members -= self._sizes.pop(client, 0)
