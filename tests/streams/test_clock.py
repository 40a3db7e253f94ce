"""A partition's event time: whose clock counts, what holds it back and what does not, what is remembered."""

from hypothesis import given
from hypothesis import strategies as st

from streams import clock as module
from streams.clock import DAY_MS, Clock

T0 = 17_000 * DAY_MS
LIVE, BACKLOG, OTHER = 1, 2, 3


def clock(active_events: int = 10, stored: bytes | None = None) -> Clock:
    return Clock(stored, days=2, active_events=active_events)


def run(clock: Clock, origin: int | None, first: int, last: int, clients: str = "abcd") -> None:
    """An event of each client, day after day."""
    for day in range(first, last + 1):
        for client in clients:
            clock.observe(client, T0 + day * DAY_MS, origin)
    clock._looked_at = -module.LOOK_EVENTS
    clock.look()


def days(horizon: int | None) -> int | None:
    return None if horizon is None else (horizon - T0) // DAY_MS


def test_it_says_nothing_before_it_has_seen_enough() -> None:
    made = clock()
    run(made, LIVE, 0, 1)
    assert made.horizon is None
    run(made, LIVE, 2, 2)
    assert days(made.horizon) == 0, "whole days behind the day that all have reached"


def test_forged_dates_of_two_clients_age_nobody() -> None:
    made = clock()
    run(made, LIVE, 0, 4)
    run(made, LIVE, 900, 900, "xy")
    assert days(made.horizon) == 2
    run(made, OTHER, 900, 900, "xy")
    assert days(made.horizon) == 2, "in a file of their own neither"


def test_a_date_forged_into_the_past_holds_nobody_back() -> None:
    made = clock()
    run(made, LIVE, 0, 4)
    run(made, LIVE, -900, -900, "xyz")
    assert days(made.horizon) == 2
    run(made, OTHER, -900, -900, "x")
    assert days(made.horizon) == -902, "a file of its own might be a backlog"
    run(made, LIVE, 5, 7)
    assert days(made.horizon) == 5, "which has ended"


def test_two_clients_say_nothing_of_the_time() -> None:
    made = clock()
    run(made, LIVE, 0, 20, "ab")
    assert made.horizon is None


def test_the_slowest_active_origin_counts_and_the_horizon_moves_back_for_it() -> None:
    made = clock()
    run(made, LIVE, 0, 4)
    run(made, BACKLOG, -1000, -1000)
    assert days(made.horizon) == -1002
    run(made, LIVE, 5, 5)
    run(made, BACKLOG, -999, -990)
    assert days(made.horizon) == -992
    run(made, LIVE, 5, 8)
    assert days(made.horizon) == 6, "the backlog has ended"


def test_a_writer_whose_clock_stands_still_holds_nobody_back() -> None:
    made = clock()
    run(made, LIVE, 0, 4)
    for day in range(5, 10):
        run(made, OTHER, -500, -500, "vwxyz")
        run(made, LIVE, day, day)
    assert days(made.horizon) == 7


def test_a_client_that_is_gone_does_not_stop_the_clock_of_a_quiet_feed() -> None:
    made = clock()
    run(made, LIVE, 0, 4)
    run(made, OTHER, 4, 4, "x")
    for day in range(5, 20):
        run(made, OTHER, day, day, "y")
        run(made, LIVE, day, day)
    assert days(made.horizon) == 17


def test_a_restart_goes_on_with_the_clocks_and_the_days() -> None:
    made = clock()
    run(made, LIVE, 0, 4)
    run(made, BACKLOG, -1000, -999)
    made.forget(T0 - DAY_MS, T0 + DAY_MS)
    again = clock(stored=made.to_store())
    again.look()
    assert again.horizon == made.horizon
    assert [again.is_forgotten(T0 + day * DAY_MS) for day in range(-2, 3)] == [False, True, True, True, False]


def test_it_is_stored_when_a_day_goes_and_else_now_and_then() -> None:
    made = clock()
    run(made, LIVE, 0, 4)
    assert made.to_store() is None
    made.forget(T0, T0)
    assert made.to_store() is not None
    made.forget(T0, T0)
    assert made.to_store() is None
    run(made, LIVE, 5, 5 + module.KEEP_EVENTS // 4)
    assert made.to_store() is not None


def test_the_number_of_clocks_is_bounded() -> None:
    made = clock(active_events=100_000)
    for number in range(module.MOST_ORIGINS * 2):
        for client in "abc"[: 1 + number % 3]:
            made.observe(client, T0 + number, number)
    run(made, LIVE, 0, 30_000)
    assert len(made._origins) <= module.MOST_ORIGINS
    assert made.horizon is not None


@given(st.lists(st.tuples(st.integers(-3, 40), st.integers(0, 5)), max_size=10))
def test_forgotten_days_come_back_from_the_store(stretches: list[tuple[int, int]]) -> None:
    made = clock()
    for first, more in stretches:
        made.forget(first * DAY_MS, (first + more) * DAY_MS)
    again = clock(stored=made.to_store())
    assert [again.is_forgotten(day * DAY_MS) for day in range(50)] == [made.is_forgotten(day * DAY_MS) for day in range(50)]


def test_a_forged_date_of_the_end_of_time_is_remembered_in_few_bytes() -> None:
    made = clock()
    made.forget((1 << 62) - 1, 1 << 62)
    assert made.is_forgotten(1 << 62)
    assert len(made.to_store() or b"") < 100
