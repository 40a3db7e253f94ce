"""When a role counts as stuck."""

from tailrace.stalls import Stalls

STUCK_S = 300.0
AT = ("raw", 0)
OTHER = ("raw", 1)


def test_work_that_does_not_move_is_stuck() -> None:
    stalls = Stalls(STUCK_S)
    assert stalls.stuck({AT: 5, OTHER: 9}, {AT: 9, OTHER: 9}, 0.0) == []
    assert stalls.stuck({AT: 5, OTHER: 9}, {AT: 99, OTHER: 9}, STUCK_S - 1) == []
    assert stalls.stuck({AT: 5, OTHER: 9}, {AT: 99, OTHER: 9}, STUCK_S) == [AT]


def test_one_partition_may_be_stuck_while_another_moves() -> None:
    stalls = Stalls(STUCK_S)
    for second in range(0, int(STUCK_S), 30):
        assert stalls.stuck({AT: 5, OTHER: second}, {AT: 9, OTHER: 10_000}, float(second)) == []
    assert stalls.stuck({AT: 5, OTHER: 9_999}, {AT: 9, OTHER: 10_000}, STUCK_S) == [AT]


def test_progress_idleness_and_outages_begin_the_count_anew() -> None:
    stalls = Stalls(STUCK_S)
    stalls.stuck({AT: 5}, {AT: 9}, 0.0)
    assert stalls.stuck({AT: 6}, {AT: 9}, STUCK_S) == []
    assert stalls.stuck({AT: 9}, {AT: 9}, STUCK_S * 2) == []
    assert stalls.stuck({AT: 9}, {AT: 10}, STUCK_S * 3) == []
    stalls.reset()
    assert stalls.stuck({AT: 9}, {AT: 10}, STUCK_S * 4) == []
    assert stalls.stuck({AT: 9}, {AT: 10}, STUCK_S * 5) == [AT]
