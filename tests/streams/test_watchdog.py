"""When a worker counts as stuck."""

from streams.watchdog import STUCK_S, Progress

AT = ("raw", 0)
OTHER = ("raw", 1)


def test_work_that_does_not_move_is_stuck() -> None:
    progress = Progress()
    assert progress.stuck({AT: 5, OTHER: 9}, {AT: 9, OTHER: 9}, 0.0) == []
    assert progress.stuck({AT: 5, OTHER: 9}, {AT: 99, OTHER: 9}, STUCK_S - 1) == []
    assert progress.stuck({AT: 5, OTHER: 9}, {AT: 99, OTHER: 9}, STUCK_S) == [AT]


def test_one_partition_may_be_stuck_while_another_moves() -> None:
    progress = Progress()
    for second in range(0, int(STUCK_S), 30):
        assert progress.stuck({AT: 5, OTHER: second}, {AT: 9, OTHER: 10_000}, float(second)) == []
    assert progress.stuck({AT: 5, OTHER: 9_999}, {AT: 9, OTHER: 10_000}, STUCK_S) == [AT]


def test_progress_idleness_and_outages_begin_the_count_anew() -> None:
    progress = Progress()
    progress.stuck({AT: 5}, {AT: 9}, 0.0)
    assert progress.stuck({AT: 6}, {AT: 9}, STUCK_S) == []
    assert progress.stuck({AT: 9}, {AT: 9}, STUCK_S * 2) == []
    assert progress.stuck({AT: 9}, {AT: 10}, STUCK_S * 3) == []
    progress.reset()
    assert progress.stuck({AT: 9}, {AT: 10}, STUCK_S * 4) == []
    assert progress.stuck({AT: 9}, {AT: 10}, STUCK_S * 5) == [AT]
