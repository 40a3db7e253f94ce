import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.throttle import SMALLEST_BYTES, Throttle


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


@given(st.lists(st.integers(1, 5_000), min_size=50, max_size=400), st.integers(0, 2_000), st.integers(0, 200_000))
def test_each_second_holds_the_rate_and_one_piece(lengths: list[int], records_per_s: int, bytes_per_s: int) -> None:
    """`lengths` of records; what a reader holds back of one is sent with the next piece."""
    clock = Clock()
    throttle = Throttle(records_per_s, bytes_per_s, clock)
    sent: list[tuple[float, int]] = []
    piece = held = 0
    for length in lengths:
        held += length
        piece = throttle.piece(256 * 1024)
        if held >= piece:
            throttle.spend(1, held)
            sent.append((clock.now_s, held))
            held = 0
            clock.now_s += throttle.wait_s()
    longest = max(lengths) + piece
    for begin, _ in sent:
        within = sum(size for at, size in sent if begin <= at < begin + 1)
        assert not bytes_per_s or within <= bytes_per_s + longest


def test_pieces_are_what_a_tenth_of_a_second_permits() -> None:
    most = 256 * 1024
    assert Throttle(0, 0, Clock()).piece(most) == most
    assert Throttle(0, 50_000, Clock()).piece(most) == 5_000
    assert Throttle(0, 10**9, Clock()).piece(most) == most
    assert Throttle(0, 1, Clock()).piece(most) == SMALLEST_BYTES
    by_records = Throttle(1_000, 0, Clock())
    for _ in range(50):
        by_records.spend(10, 10 * 500)
    assert by_records.piece(most) == pytest.approx(1_000 / 10 * 500, rel=0.01)
