"""Winding a clock: the same answers as for a worker that has read the file from its start."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas.localtime import LocalClock, UnknownPast
from schemas.source import SourceSettings
from schemas.sources import build
from streams import lookback
from streams.lookback import Clocks, earlier, wind
from tailrace.settings import Settings
from tests.streams.cluster import Cluster, lines

ZONE = "Europe/Brussels"
SOURCE = build("ezcast", SourceSettings(format="ezcast", timezone=ZONE))
STAMPS = [
    *[f"2016-10-30-0{hour}:{minute:02}:00" for hour in (0, 1, 2) for minute in range(0, 60, 15)],
    *[f"2016-10-30-0{hour}:{minute:02}:00" for hour in (2, 3) for minute in range(0, 60, 15)],
]
RECORDS = [f"{stamp} | session | 192.0.2.1 | nologin | 3 | login".encode() for stamp in STAMPS]
PLACED = [(number * 100, record) for number, record in enumerate(RECORDS)]


def seconds(clock: LocalClock, at: int) -> int:
    return clock.resolve(STAMPS[at], at * 100)[0]


def never_stopped() -> list[int]:
    clock = LocalClock(ZONE)
    return [seconds(clock, at) for at in range(len(STAMPS))]


@given(st.integers(1, len(STAMPS) - 1), st.integers(1, 5))
def test_a_wound_clock_goes_on_as_if_it_had_never_stopped(at: int, step: int) -> None:
    steps = (PLACED[max(0, end - step) : end] for end in range(at, 0, -step))
    clock = wind(SOURCE, ZONE, "file", steps)
    assert [seconds(clock, later) for later in range(at, len(STAMPS))] == never_stopped()[at:]


def test_it_goes_no_further_back_than_it_must() -> None:
    def steps() -> Iterator[list[tuple[int, bytes]]]:
        yield []
        yield PLACED[4:9]  # from 01:00 on
        raise AssertionError("the hour before was enough")

    assert seconds(wind(SOURCE, ZONE, "file", steps()), 9) == never_stopped()[9]


def test_without_a_past_the_first_pass_is_assumed() -> None:
    clock = wind(SOURCE, ZONE, "file", iter([PLACED[9:10]]))
    assert [seconds(clock, at) for at in range(10, len(STAMPS))] == never_stopped()[10:]


def test_clocks_are_kept_by_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookback, "CLOCKS", 2)
    clocks = Clocks(ZONE)
    for file in ("a", "b", "a", "c"):  # b is given up
        clocks.of((0, file)).resolve("2016-10-30-01:59:00", 1)
    clocks.of((0, "a")).resolve("2016-10-30-02:00:00", 2)
    with pytest.raises(UnknownPast):
        clocks.of((0, "b")).resolve("2016-10-30-02:00:00", 2)


@pytest.mark.servers
def test_steps_back_in_a_topic_hold_the_files_earlier_records(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookback, "FIRST_STEP", 2)
    cluster = Cluster(settings, tmp_path)
    mine = list(lines("trace", RECORDS[:6]))
    partition = mine[0][2]
    other = [(key, value, partition) for key, value, _ in lines("other", RECORDS[:3])]
    foreign = [(b"no place", b"x", partition)]
    cluster.publish("ezcast", [*mine[:3], *other, *foreign, *mine[3:]])
    at = TopicPartition(cluster.topic("ezcast", "raw"), partition, 9)  # the sixth of the file
    before = int(mine[5][0].rpartition(b"@")[2])
    found = [[value for _, value in step] for step in earlier(settings.kafka, at, "trace", before)]
    cluster.close()
    assert found == [RECORDS[3:5], RECORDS[:3]]
