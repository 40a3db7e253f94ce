"""Local stamps to UTC: the hour that occurs twice, the hour that never does, and reading again."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.localtime import LocalClock, UnknownPast

BRUSSELS = ZoneInfo("Europe/Brussels")
DAY = "2016-10-30-"
FIRST_PASS = datetime(2016, 10, 30, 0, tzinfo=UTC)
"""02:00 of the night when clocks are put back from 03:00."""


def stamp(moment: datetime) -> str:
    return f"{moment.astimezone(BRUSSELS):%Y-%m-%d-%H:%M:%S}"


def resolve(*stamps: str) -> list[tuple[str, int | None]]:
    clock = LocalClock("Europe/Brussels")
    found = [clock.resolve(DAY + text, offset) for offset, text in enumerate(stamps)]
    return [(f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}", fold) for seconds, _, fold in found]


def test_the_step_back_begins_the_second_pass() -> None:
    assert resolve("01:59:59", "02:53:30", "02:04:03", "02:59:59", "03:00:00") == [
        ("23:59:59", None),
        ("00:53:30", 0),
        ("01:04:03", 1),
        ("01:59:59", 1),
        ("02:00:00", None),
    ]


def test_seconds_out_of_order_are_no_step() -> None:
    assert [fold for _, fold in resolve("02:30:09", "02:30:01", "02:20:10", "02:20:09")] == [0, 0, 0, 0]
    assert [fold for _, fold in resolve("02:30:09", "02:20:08")] == [0, 1]


def test_a_late_line_after_the_hour_belongs_to_the_second_pass() -> None:
    assert resolve("02:10:00", "03:00:01", "02:59:59") == [("00:10:00", 0), ("02:00:01", None), ("01:59:59", 1)]


def test_a_forged_date_far_ahead_is_no_step() -> None:
    clock = LocalClock("Europe/Brussels")
    clock.resolve("2030-01-01-00:00:00", 0)
    assert clock.resolve(DAY + "02:10:00", 1)[2] == 0


def test_the_hour_that_spring_skips_is_moved_forward() -> None:
    seconds, text, fold = LocalClock("Europe/Brussels").resolve("2017-03-26-02:30:00", 0)
    assert (datetime.fromtimestamp(seconds, BRUSSELS).hour, text, fold) == (3, "2017-03-26T01:30:00.000Z", None)


def test_a_clock_that_begins_in_the_middle_of_the_hour_says_that_it_does_not_know() -> None:
    clock = LocalClock("Europe/Brussels")
    with pytest.raises(UnknownPast):
        clock.resolve(DAY + "02:30:00", 1000)
    clock.resolve(DAY + "01:30:00", 900)
    assert clock.resolve(DAY + "02:30:00", 1000)[2] == 0
    assert LocalClock("Europe/Brussels").resolve(DAY + "02:30:00", 0)[2] == 0


def test_lines_before_the_first_that_a_clock_has_seen_are_unknown_to_it() -> None:
    clock = LocalClock("Europe/Brussels")
    clock.resolve(DAY + "03:10:00", 5000)
    with pytest.raises(UnknownPast):
        clock.resolve(DAY + "02:30:00", 1000)
    assert clock.resolve(DAY + "01:30:00", 900)[2] is None
    assert clock.resolve(DAY + "02:59:59", 5100)[2] == 1


@pytest.mark.parametrize(
    "text",
    [
        "2016-13-05-20:13:23",
        "2017-02-29-20:13:23",
        "2016-04-05-24:00:00",
        "2016-04-05-20:60:00",
        "2016-04-05-20:00:60",
        "2016-04-05-20-13:23",
        "2016-04-05-20:13.23",
        "2016-04-05-20:+1:23",
        "2016-04-05-20:13:2",
        "٢٠١٦-04-05-20:13:23",
        "0000-01-01-00:00:00",
        "0001-01-01-00:00:00",
        "",
    ],
)
def test_a_stamp_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no such"):
        LocalClock("Europe/Brussels").resolve(text, 0)


@given(st.text(st.characters(categories=["Nd"]) | st.sampled_from("-:"), max_size=20))
def test_other_text_is_refused_and_nothing_else_happens(text: str) -> None:
    assume(not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}:[0-9]{2}:[0-9]{2}", text))
    with pytest.raises(ValueError, match="no such"):
        LocalClock("Europe/Brussels").resolve(text, 0)


@st.composite
def nights(draw: st.DrawFn) -> list[datetime]:
    """Moments of that night in order but for seconds, dense enough that no pass of the hour is silent for its last minutes."""
    step = timedelta(seconds=draw(st.integers(30, 540)))
    begin = FIRST_PASS - timedelta(minutes=draw(st.integers(1, 90)))
    regular = [begin + n * step for n in range(int(timedelta(hours=4) / step))]
    return [moment + timedelta(seconds=draw(st.integers(0, 20))) for moment in regular]


@given(nights(), st.data())
def test_a_busy_night_resolves_to_the_moments_it_came_from(moments: list[datetime], data: st.DataObject) -> None:
    clock = LocalClock("Europe/Brussels")
    once = [clock.resolve(stamp(moment), offset) for offset, moment in enumerate(moments)]
    assert [seconds for seconds, _, _ in once] == [int(moment.timestamp()) for moment in moments]
    assert [text for _, text, _ in once] == [f"{moment:%Y-%m-%dT%H:%M:%S.000Z}" for moment in moments]
    # Delivered again, from anywhere and in between: the same answers.
    for offset in data.draw(st.lists(st.integers(0, len(moments) - 1), max_size=20)):
        assert clock.resolve(stamp(moments[offset]), offset) == once[offset]


@given(nights(), st.data())
def test_lines_sent_twice_while_reading_change_nothing(moments: list[datetime], data: st.DataObject) -> None:
    clock = LocalClock("Europe/Brussels")
    for offset in range(len(moments)):
        again = data.draw(st.integers(max(0, offset - 5), offset), label="resent from")
        for resent in range(again, offset + 1):
            assert clock.resolve(stamp(moments[resent]), resent)[0] == int(moments[resent].timestamp())
