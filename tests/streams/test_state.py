"""A partition's sessions: expiry, what is late, what a restart finds."""

import pytest

from streams import state as module
from streams.clock import DAY_MS
from streams.state import State
from streams.store import HORIZON, MemoryPartition, page_key

GAP = 3_600_000
T0 = 17_000 * DAY_MS


class Table:
    """A partition's data that applies what the state writes, and counts it."""

    def __init__(self) -> None:
        self.data = MemoryPartition()
        self.restart()
        self.writes: dict[bytes, bytes | None] = {}

    def see(self, *events: tuple[str, int]) -> None:
        """One batch of (client, time)."""
        clients = dict.fromkeys(name for name, _ in events)
        opened = {name: self.state.client(name) for name in clients}
        self.writes = {}
        for name, time in events:
            opened[name].add(time, f"{name}-{time}")
            self.state.observe(name, time, 1)
        for name, client in opened.items():
            self.writes |= {page_key(name.encode(), page): value for page, value in client.settle().pages.items()}
        self.writes |= self.state.end_batch(clients)
        self.data.change(self.writes)

    def restart(self) -> None:
        self.state = State(self.data, GAP, days=2, active_events=1)


@pytest.mark.parametrize("restarted", [False, True])
def test_sessions_are_forgotten_when_nothing_can_join_them(restarted: bool) -> None:
    table = Table()
    table.see(("old", T0 - 1), ("old", T0 + DAY_MS), ("edge", T0 + DAY_MS - GAP), ("gone", T0))
    if restarted:
        table.restart()
    for day in (1, 2, 3):
        table.see(*[(name, T0 + day * DAY_MS) for name in "abc"])
    assert table.state.horizon == T0 + DAY_MS
    assert not table.data.pages(b"gone")
    assert [session.start for session in table.state.client("old").sessions] == [T0 + DAY_MS]
    assert table.state.client("edge").sessions, "an event at the horizon can still join it"
    assert table.state.is_late(T0), "what was there is forgotten"
    assert not table.state.is_late(T0 + DAY_MS)
    assert not table.state.is_late(T0 - 30 * DAY_MS), "nothing has been there"


def test_the_days_are_stored_before_their_sessions_go() -> None:
    table = Table()
    table.see(("gone", T0))
    table.see(*[(name, T0 + 9 * DAY_MS) for name in "abc"])
    keys = list(table.writes)
    assert keys.index(HORIZON) < keys.index(page_key(b"gone", b""))
    table.restart()
    assert table.state.is_late(T0)


def test_expiry_takes_a_few_clients_after_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPIRED_PER_BATCH", 10)
    table = Table()
    table.see(*[(f"old {number}", T0) for number in range(35)])
    left = []
    for _ in range(5):
        table.see(*[(name, T0 + 10 * DAY_MS) for name in "abc"])
        left.append(sum(name.startswith(b"old") for name, _ in table.data.clients()))
    assert left == [25, 15, 5, 0, 0]


def test_decoded_clients_are_bounded_and_come_back_from_their_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_MEMBERS", 50)
    table = Table()
    for number in range(100):
        table.see((f"client {number % 20}", T0 + number * 1000))
    assert len(table.state._open) <= 50
    table.see(*[(f"client {number}", T0 + 1_000_000) for number in range(20)])
    assert all(len(table.state.client(f"client {number}")) == 6 for number in range(20))


def test_clients_of_whom_everything_is_forgotten_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_MEMBERS", 500)
    table = Table()
    table.see(*[(f"old {number}", T0) for number in range(200)])
    for _ in range(3):
        table.see(*[(name, T0 + 10 * DAY_MS) for name in "abc"])
    assert {name for name, _ in table.data.clients()} == {b"a", b"b", b"c"}
    assert len(table.state._open) <= 500 // module.CLIENT_MEMBERS
