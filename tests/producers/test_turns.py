"""Whose turn it is, of files that nobody reads."""

import time

from producers.discovery import Found
from producers.reader import Reader
from producers.tailed import TailedFile
from producers.turns import LIVELY_S, Turns
from schemas.place import Place
from tests.producers.conftest import make_source

DAY_NS = 86_400 * 10**9


def a_file(name: str, days_old: float = 0.0) -> TailedFile:
    source = make_source("/logs/*")
    found = Found(f"/logs/{name}", (1, hash(name)), 10, time.time_ns() - int(days_old * DAY_NS))
    return TailedFile(source, Place(name, "host", found.path), found, Reader(source, 0), 0)


def test_live_files_have_a_turn_each_round_and_of_a_backlog_the_oldest_until_it_rests() -> None:
    turns, live = Turns(once=False), [a_file("a"), a_file("b")]
    old = [a_file(f"old-{days}", days) for days in (2, 30, 3)]
    for tailed in (*old, *live):
        turns.wake(tailed)
    seen = []
    for _ in old:
        assert set(turns.round(0.0)) - set(live) == set(turns.round(0.0)) - set(live), "the same one until it rests"
        [reading] = set(turns.round(0.0)) - set(live)
        assert not turns.is_next_waiting
        seen.append(reading.place.file)
        turns.rest(reading)
    assert seen == ["old-30", "old-3", "old-2"]
    assert turns.round(0.0) == live
    assert not turns.is_next_waiting


def test_in_a_backfill_every_file_is_backlog() -> None:
    turns = Turns(once=True)
    for days in (1, 2):
        turns.wake(a_file(str(days), days / 100))
    assert [tailed.place.file for tailed in turns.round(0.0)] == ["2"]


def test_a_file_whose_turn_did_not_come_is_first_in_the_next_round() -> None:
    turns, files = Turns(once=False), [a_file("a"), a_file("b"), a_file("c", 2)]
    for tailed in files:
        turns.wake(tailed)
    assert turns.round(0.0) == files
    turns.had(files[0])
    assert turns.round(0.0) == [files[1], files[2], files[0]]


def test_a_file_rests_until_it_is_woken_or_its_alarm_comes() -> None:
    turns, quiet, held = Turns(once=False), a_file("quiet"), a_file("held")
    for tailed in (quiet, held):
        turns.wake(tailed)
    turns.rest(quiet)
    turns.rest(held, until_s=5.0)
    assert turns.round(4.9) == []
    assert turns.round(5.0) == [held]
    turns.wake(quiet)
    turns.wake(quiet)
    assert turns.round(5.0) == [held, quiet]


def test_a_file_that_grew_lately_is_live() -> None:
    turns, tailed = Turns(once=False), a_file("a")
    tailed.grown_s = 100.0
    assert turns.is_live(tailed, 100.0 + LIVELY_S / 2)
    assert not turns.is_live(tailed, 100.0 + LIVELY_S)


def test_a_backlog_file_that_goes_away_gives_its_place_to_the_next() -> None:
    turns, first, second = Turns(once=False), a_file("first", 3), a_file("second", 2)
    for tailed in (first, second):
        turns.wake(tailed)
    assert turns.round(0.0) == [first]
    first.gone = True
    turns.rest(first)
    turns.wake(first)
    assert set(turns.round(0.0)) == {first, second}
