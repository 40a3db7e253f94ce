"""The demo's traffic: the same for the same seed, complete, and what it says of each line is what the parsers make of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from demo import dataone, ezcast
from demo.lines import Line
from schemas.event import Dead, Event
from schemas.ezcast.catalogue import built_in
from schemas.framing import split
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import Source, SourceSettings
from schemas.sources import build
from streams.enrich import Enricher

SEEDS = (1, 2)
ALL: tuple[Callable[[int], list[Line]], ...] = (ezcast.day, ezcast.older, dataone.day)


@pytest.fixture(scope="module")
def traces() -> Source:
    return build("ezcast", SourceSettings(format="ezcast", timezone="Europe/Brussels"))


@pytest.fixture(scope="module")
def eventlog() -> Source:
    return build("dataone", SourceSettings(format="dataone", index="eventlog"))


def files(lines: Iterable[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        found[line.file].append(line)
    return found


def parsed(source: Source, lines: list[Line]) -> list[Event | Dead]:
    """What a producer and a parser make of the lines of one file."""
    data = b"".join(line.data for line in lines)
    place = Place(file="f", host="h", path=lines[0].file)
    clock = LocalClock(source.local_timezone) if source.local_timezone else None
    found: list[Event | Dead] = []
    begin = 0
    for end in split(data, source.record_start, final=True):
        found += source.parse(data[begin : end - 1], place, begin, clock)
        begin = end
    return found


@pytest.mark.parametrize("generate", ALL)
def test_a_seed_gives_the_same_lines_and_another_seed_others(generate: Callable[[int], list[Line]]) -> None:
    assert generate(1) == generate(1)
    assert generate(1) != generate(2)


@pytest.mark.parametrize("generate", ALL)
@pytest.mark.parametrize("seed", SEEDS)
def test_lines_are_whole_and_in_order(generate: Callable[[int], list[Line]], seed: int) -> None:
    lines = generate(seed)
    assert all(line.data.endswith(b"\n") for line in lines)
    assert [line.at for line in lines] == sorted(line.at for line in lines)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_line_of_a_trace_becomes_what_it_says(traces: Source, seed: int) -> None:
    for name, lines in files([*ezcast.day(seed), *ezcast.older(seed)]).items():
        data = b"".join(line.data for line in lines)
        assert len(split(data, traces.record_start, final=True)) == sum(line.records for line in lines), name
        kinds = Counter(type(found) for found in parsed(traces, lines))
        assert kinds[Event] == sum(line.events for line in lines), name
        assert kinds[Dead] == sum(line.dead for line in lines), name


@pytest.mark.parametrize("seed", SEEDS)
def test_every_line_of_the_event_log_becomes_what_it_says(eventlog: Source, seed: int) -> None:
    lines = dataone.day(seed)
    seen: set[str] = set()
    for line in lines:
        found = parsed(eventlog, [line])
        new = {event.id for event in found if isinstance(event, Event)} - seen
        told = sum(isinstance(each, Event) for each in found)
        assert (len(new), told, len(found) - told) == (line.events, line.events + line.repeats, line.dead), line.data
        seen |= new


@pytest.mark.parametrize("seed", SEEDS)
def test_every_action_appears_today_but_for_those_that_are_gone(traces: Source, seed: int) -> None:
    catalogue = set(built_in().forms)
    assert len(catalogue) == 97
    today = {found.kind for lines in files(ezcast.day(seed)).values() for found in parsed(traces, lines) if isinstance(found, Event)}
    assert catalogue - today == ezcast.GONE
    before = {found.kind for lines in files(ezcast.older(seed)).values() for found in parsed(traces, lines) if isinstance(found, Event)}
    assert catalogue <= before


def test_a_day_holds_the_oddities(traces: Source) -> None:
    found = [each for lines in files([*ezcast.day(1), *ezcast.older(1)]).values() for each in parsed(traces, lines)]
    assert {each.reason for each in found if isinstance(each, Dead)} == {
        "garbage_like_continuation",
        "invalid_time",
        "too_few_columns",
        "torn_and_glued",
    }
    documents = [each.document for each in found if isinstance(each, Event)]
    assert {tag for document in documents for tag in document["tags"]} == {"_unknown_action", "_field_count"}
    assert {document.get("fold") for document in documents} == {None, 0, 1}
    assert {problem for document in documents for problem in document.get("problems", ())} == {"ip:noip"}
    assert any("\r\n" in document.get("bookmark_description", "") for document in documents)
    assert any("\ufffd" in document.get("bookmark_title", "") for document in documents)
    assert any(":" in document.get("ip", "") for document in documents)


def test_a_day_goes_on_after_midnight_in_the_next_file() -> None:
    assert set(files(ezcast.day(1))) == {"2018-04-23.trace", "2018-04-24.trace"}


def test_autumn_has_its_hour_twice() -> None:
    night = files(ezcast.older(1))["2016-10-30.trace"]
    stamps = [line.data[:19] for line in night]
    back = [(before, after) for before, after in pairwise(stamps) if after < before]
    assert len(back) == 1
    assert (back[0][0][11:13], back[0][1][11:13]) == (b"02", b"02")


def test_stamps_are_local() -> None:
    noon = ezcast.local(date(2018, 4, 23), 12)
    assert ezcast.stamp(noon) == "2018-04-23-12:00:00"
    assert ezcast.daily_file(ezcast.local(date(2018, 4, 23), 24)) == "2018-04-24.trace"


def test_events_arrive_hours_and_months_late_and_twice(eventlog: Source) -> None:
    lines = dataone.day(1)
    events = [(line, event) for line in lines for event in parsed(eventlog, [line]) if isinstance(event, Event)]
    late_h = sorted((line.at - event.time / 1000) / 3600 for line, event in events if event.time is not None)
    assert late_h[0] > 1
    assert late_h[-1] > 60 * 24
    assert any(line.repeats for line, _ in events)
    assert {event.document["nodeId"] for _, event in events} == {f"urn:node:{each.node}" for each in dataone.REPOSITORIES}
    assert {"not_an_address"} == {
        problem.partition(":")[2]
        for _, event in events
        for problem in event.document.get("problems", ())
        if problem.startswith("ipAddress:")
    }


def test_the_lists_find_robots_programs_and_own_hosts(tmp_path: Path) -> None:
    for name, text in dataone.lists().items():
        (tmp_path / name).write_text(text)
    block = SourceSettings(
        format="dataone",
        own_networks=str(tmp_path / "dataone_ips.txt"),
        robot_networks=str(tmp_path / "robot_ips.txt"),
        machine_user_agents=str(tmp_path / "machine_user_agents.txt"),
        robot_user_agents=str(tmp_path / "robot_user_agents.txt"),
        admin_subjects=str(tmp_path / "admin_subjects.txt"),
    )
    source = build("dataone", block)
    enricher = Enricher(source)
    events = [event for event in parsed(source, dataone.day(1)) if isinstance(event, Event)]
    tags = Counter(tag for event in events for tag in enricher.enrich(event).document["tags"])
    assert {"dataone_ip", "robot_ip", "ignore_ip", "robot_ua", "machine_ua", "d1_admin_subject"} <= set(tags)
    assert tags.total() < 2 * len(events), "most readers are people"
