"""A client with very many events: what is written for an event does not grow with what there is."""

import random
from collections.abc import Sequence

import pytest

from streams.members import PAGE_MEMBERS, Member
from streams.sessions import Client
from streams.state import DAY_MS, State
from streams.store import HORIZON, MemoryPartition, page_key

GAP = 3_600_000
T0 = 17_000 * DAY_MS
BATCH = 1_000
ID = "ac0f31de-77aa-4c3b-93d5-{:012}"


def events(count: int, within_ms: int) -> list[Member]:
    return [(T0 + number * within_ms // count, ID.format(number)) for number in range(count)]


def changelog_bytes(arrival: Sequence[Member]) -> list[int]:
    """What each batch writes, in bytes."""
    data = MemoryPartition()
    state = State(data, GAP, days=90, active_events=0)
    written = []
    for at in range(0, len(arrival), BATCH):
        client = state.client("busy")
        for time, event in arrival[at : at + BATCH]:
            client.add(time, event)
        changes = {page_key(b"busy", name): value for name, value in client.settle().pages.items()}
        changes |= state.end_batch(["busy"])
        data.change(changes)
        written.append(sum(len(key) + len(value or b"") for key, value in changes.items() if key != HORIZON))
    assert set(Client(GAP, data.pages(b"busy")).members) == set(arrival)
    return written


@pytest.mark.parametrize(("count", "within_ms"), [(100_000, 50 * 60_000), (60_000, 30 * DAY_MS)], ids=["one session", "a month"])
def test_in_order_an_event_costs_little_more_than_itself(count: int, within_ms: int) -> None:
    written = changelog_bytes(events(count, within_ms))
    assert max(written) / BATCH < 100
    assert sum(written[-10:]) < 1.1 * sum(written[10:20]), "no batch costs more because of what came before"


def test_in_any_order_an_event_costs_at_most_its_page() -> None:
    """Of a hundred thousand events in one session, each on a page of its own when pages are many more than the batch's events."""
    members = events(100_000, 50 * 60_000)
    written = changelog_bytes(random.Random(1).sample(members, len(members)))
    assert max(written) / BATCH < PAGE_MEMBERS * (len(ID.format(0)) + 10)
