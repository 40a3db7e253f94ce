"""A client with very many events: what is done and written for an event does not grow with what there is."""

import pytest

from benchmarks.active import DAYS, ID, T0, Partition, arrival, record, times
from streams import members, state
from streams.members import PAGE_MEMBERS

BATCH = 1_000
PAGE_BYTES = PAGE_MEMBERS * (len(ID.format(0)) + 10)


def written(events: int, days: int, order: str) -> list[int]:
    """What each batch writes to the changelog, in bytes."""
    moments, partition = list(times(events, days)), Partition()
    records = list(arrival(moments, order))
    costs = [partition.batch(records[begin : begin + BATCH]) for begin in range(0, events, BATCH)]
    client = partition.open("busy")
    assert list(client.members) == [(moment, ID.format(number)) for number, moment in enumerate(moments)]
    assert len(client.sessions) == max(days, 1)
    return [cost.changelog_bytes for cost in costs]


@pytest.mark.parametrize(
    ("events", "days", "order"),
    [(100_000, 0, "in order"), (60_000, DAYS, "in order"), (20_000, 0, "in reverse"), (60_000, DAYS, "in reverse")],
)
def test_one_after_another_an_event_costs_little_more_than_itself(events: int, days: int, order: str) -> None:
    found = written(events, days, order)
    assert max(found) / BATCH < 100
    assert sum(found[-5:]) < 1.1 * sum(found[5:10]), "no batch costs more because of what came before"


def test_in_any_order_an_event_costs_at_most_its_page() -> None:
    """Each on a page of its own when pages are more than the batch's events."""
    assert max(written(50_000, 0, "shuffled")) / BATCH < PAGE_BYTES


def test_a_large_client_that_others_push_out_again_and_again_costs_an_event_few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """More events than decoded clients may have, each in a batch of its own, with another client in between."""
    monkeypatch.setattr(state, "OPEN_MEMBERS", 5_000)
    partition = Partition()
    for begin in range(0, 20_000, BATCH):
        partition.batch([record("busy", ID.format(number), T0 + number) for number in range(begin, begin + BATCH)])
    decoded = []
    decode = members._decode
    monkeypatch.setattr(members, "_decode", lambda value: decoded.append(value) or decode(value))
    for number in range(100):
        partition.batch([record("busy", f"again {number}", T0 + 200 * number)])
        partition.batch([record(f"other {number}", f"other {number}", T0)])
    assert len(decoded) <= 200
