import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


SENDS = st.lists(st.tuples(st.integers(1, 2_000), st.integers(1, 300_000), st.floats(0, 3)), min_size=1, max_size=40)


@given(SENDS, st.integers(1, 10_000), st.integers(1, 1_000_000))
def test_no_more_than_the_rates_and_one_burst_passes_and_all_of_it_does_in_the_end(
    sends: list[tuple[int, int, float]], records_per_s: int, bytes_per_s: int
) -> None:
    clock = Clock()
    throttle = Throttle(records_per_s, bytes_per_s, clock)
    records = size = 0
    for count, length, pause_s in sends:
        clock.now_s += pause_s
        clock.now_s += throttle.wait_s()  # nothing is discarded: it waits
        assert throttle.wait_s() == pytest.approx(0, abs=1e-6)
        elapsed_s = clock.now_s - 100
        assert records <= elapsed_s * records_per_s + 1e-3
        assert size <= elapsed_s * bytes_per_s + 1e-3
        throttle.spend(count, length)
        records, size = records + count, size + length


def test_without_rates_nothing_waits() -> None:
    throttle = Throttle(0, 0, Clock())
    throttle.spend(10**9, 10**12)
    assert throttle.wait_s() == 0


def test_a_new_rate_applies_to_the_debt_that_stands() -> None:
    clock = Clock()
    throttle = Throttle(1, 0, clock)
    throttle.spend(1_000, 0)
    clock.now_s += 100
    assert throttle.wait_s() == 900
    throttle.change(100, 0)
    assert throttle.wait_s() == 9
    throttle.change(0, 1_000)
    assert throttle.wait_s() == 0
    throttle.spend(5, 2_000)
    assert throttle.wait_s() == 2
