"""The cap on dead letters: a broken release stops, a file of garbage does not."""

import pytest

from tailrace.dead_share import AT_LEAST, RECORDS, Dead, DeadShare
from tailrace.errors import TooManyDead


def garbage(amount: int, file: str = "one", reason: str = "not_a_trace") -> list[Dead]:
    return [Dead(file.encode(), reason)] * amount


def spread(amount: int, files: int) -> list[Dead]:
    return [Dead(b"%d" % (number % files), "not_a_trace") for number in range(amount)]


def test_a_file_of_garbage_stops_nothing_however_long() -> None:
    share = DeadShare("parse", "ezcast", 0.5)
    for _ in range(50):
        share.count(1_000, garbage(1_000))


def test_letters_from_several_files_stop() -> None:
    share = DeadShare("parse", "ezcast", 0.5)
    share.count(1_000, spread(400, 9))
    with pytest.raises(TooManyDead, match=r"parse: 1,400 of the last 2,000 records of ezcast .*not_a_trace 1,400.*9 files"):
        share.count(1_000, spread(1_000, 9))


def test_a_defect_of_the_parser_stops_even_on_a_single_file() -> None:
    with pytest.raises(TooManyDead, match="exception 1,000"):
        DeadShare("parse", "ezcast", 0.5).count(1_500, garbage(1_000, reason="exception"))


def test_few_records_are_not_judged() -> None:
    share = DeadShare("parse", "ezcast", 0.5)
    share.count(AT_LEAST - 1, spread(AT_LEAST - 1, 9))
    with pytest.raises(TooManyDead):
        share.count(1, spread(1, 9))


def test_only_the_last_records_count() -> None:
    share = DeadShare("parse", "ezcast", 0.5)
    share.count(900, spread(900, 9))
    for _ in range(RECORDS // 1_000):
        share.count(1_000, [])
    share.count(1_000, spread(1_000, 9))
    share.count(100_000, [])
    share.count(5_000, spread(2_000, 9))


def test_a_share_of_one_never_stops() -> None:
    share = DeadShare("parse", "ezcast", 1)
    share.count(50_000, spread(50_000, 9))
    share.count(50_000, garbage(50_000, reason="exception"))


def test_the_sink_judges_whatever_the_files() -> None:
    with pytest.raises(TooManyDead, match="dead list --stage sink"):
        DeadShare("sink", "ezcast, dataone", 0.5, files=1).count(1_000, garbage(600))
