"""A partition's sessions: the horizon, expiry, what is late, what a restart finds."""

import pytest

from streams import state as module
from streams.state import DAY_MS, State
from streams.store import HORIZON, MemoryPartition, page_key

GAP = 3_600_000
T0 = 17_000 * DAY_MS


class Table:
    """A partition's data that applies what the state writes, and counts it."""

    def __init__(self, delay_events: int = 0) -> None:
        self.data = MemoryPartition()
        self.state = State(self.data, GAP, days=2, delay_events=delay_events)
        self.writes: dict[bytes, bytes | None] = {}

    def see(self, *events: tuple[str, int]) -> None:
        """One batch of (client, time)."""
        clients = dict.fromkeys(name for name, _ in events)
        opened = {name: self.state.client(name) for name in clients}
        self.writes = {}
        for name, time in events:
            opened[name].add(time, f"{name}-{time}")
            self.state.observe(name, time)
        for name, client in opened.items():
            self.writes |= {page_key(name.encode(), page): value for page, value in client.settle().pages.items()}
        self.writes |= self.state.end_batch(clients)
        self.data.change(self.writes)

    def restart(self) -> None:
        self.state = State(self.data, GAP, days=2, delay_events=0)


def test_forged_dates_of_two_clients_age_nobody() -> None:
    table = Table()
    table.see(("a", T0), ("b", T0), ("c", T0), ("forger", T0 + 900 * DAY_MS), ("another", T0 + 900 * DAY_MS))
    assert table.state.horizon == T0 - 2 * DAY_MS
    table.see(("forger", T0 + 901 * DAY_MS))
    assert table.state.horizon == T0 - 2 * DAY_MS
    assert not table.state.is_late(T0)


def test_fewer_than_three_clients_move_nothing() -> None:
    table = Table()
    table.see(("a", T0), ("b", T0 + DAY_MS))
    assert table.state.horizon is None
    assert not table.state.is_late(0)


def test_the_horizon_moves_in_whole_days_and_never_back() -> None:
    table = Table()
    table.see(("a", T0 + 5), ("b", T0 + 5), ("c", T0 + 5))
    assert HORIZON in table.writes
    table.see(("a", T0 + 9), ("b", T0 + 9), ("c", T0 + 9))
    assert HORIZON not in table.writes
    table.restart()
    table.see(("d", T0 - DAY_MS), ("e", T0 - DAY_MS), ("f", T0 - DAY_MS))
    assert table.state.horizon == T0 - 2 * DAY_MS


def test_a_horizon_waits_for_the_files_that_are_still_to_come() -> None:
    table = Table(delay_events=6)
    table.see(("a", T0), ("b", T0), ("c", T0))
    assert table.state.horizon is None
    table.see(("old", T0 - 900 * DAY_MS), ("old", T0 - 900 * DAY_MS + 1))
    assert not table.state.is_late(T0 - 900 * DAY_MS)
    table.see(("a", T0 + DAY_MS), ("b", T0 + DAY_MS), ("c", T0 + DAY_MS))
    assert table.state.horizon is None, "five events have come since it was called for"
    table.see(("a", T0 + DAY_MS))
    assert table.state.horizon == T0 - 2 * DAY_MS, "the next day's waits on its own"
    for _ in range(5):
        table.see(("a", T0 + DAY_MS))
    assert table.state.horizon == T0 - DAY_MS


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
    assert table.state.is_late(T0 + DAY_MS - 1)
    assert not table.state.is_late(T0 + DAY_MS)


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
