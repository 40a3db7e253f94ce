"""That the watermark is never ahead of the truth, and gets there in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.heartbeat import Heartbeat, HostBeat, Seal, decode_any, encode, heartbeat_key, host_key
from schemas.place import Place
from schemas.watermark import STALE_MS, Held, Mark, advance, shipped_by_host, watermark

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 50)),
        st.tuples(st.just("acknowledge"), st.integers(0, 60)),
        st.tuples(st.just("look"), st.integers(1, 30)),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_byte_that_was_written_before_the_mark_is_unacknowledged(steps: list[tuple[str, int]]) -> None:
    now, size, acknowledged, mark = 1_000, 0, 0, Mark()
    written: list[tuple[int, int]] = []  # time, end
    for what, amount in steps:
        now += 1
        if what == "write":
            size += amount
            written.append((now, size))
        elif what == "acknowledge":
            acknowledged = min(size, acknowledged + amount)
        else:
            before = mark.shipped_ms
            mark = advance(mark, now, size, acknowledged, caught_up=False)
            assert mark.shipped_ms >= before
            assert all(end <= acknowledged for time, end in written if time < mark.shipped_ms)
    assert advance(mark, now + 1, size, size, caught_up=False).shipped_ms == now + 1


def test_a_file_that_always_grows_is_followed_at_a_distance() -> None:
    mark, size = Mark(), 0
    for second in range(1, 20):
        size += 100
        mark = advance(mark, second * 1000, size, size - 150, caught_up=False)
    assert mark.shipped_ms == 17_000


def test_a_line_that_is_not_complete_does_not_hold_it_back() -> None:
    assert advance(Mark(), 5_000, 100, 90, caught_up=True).shipped_ms == 5_000


@pytest.mark.parametrize(
    ("shipped", "unreadable", "before", "expected"),
    [
        ([], 0, 0, 9_000),  # no files: nothing was written
        ([7_000, 8_000], 0, 6_000, 7_000),
        ([7_000, 8_000], 1, 6_000, 6_000),  # nobody knows what the unreadable one holds
        ([8_000, 0], 0, 6_000, 6_000),  # a new file with a backlog: what was true stays true
    ],
)
def test_of_a_host(shipped: list[int], unreadable: int, before: int, expected: int) -> None:
    assert shipped_by_host(9_000, [Mark(at) for at in shipped], unreadable=unreadable, before_ms=before) == expected


NOW = 1_700_000_000_000


def beat(host: str, shipped: int = NOW - 3_000, age: int = 2_000, unreadable: int = 0, stopped: bool = False) -> HostBeat:
    return HostBeat(host=host, files=3, unreadable=unreadable, shipped_ms=shipped, stopped=stopped, time_ms=NOW - age)


def test_fresh_heartbeats_of_all_hosts_let_it_advance_to_the_slowest() -> None:
    assert watermark([beat("a"), beat("b", NOW - 9_000)], NOW) == (NOW - 9_000, ())


def test_a_silent_host_holds_it_back_at_its_last_word_until_it_is_out_of_service() -> None:
    silent = beat("b", NOW - STALE_MS - 10_000, STALE_MS + 1_000)
    assert watermark([beat("a"), silent], NOW) == (NOW - STALE_MS - 10_000, (Held("b", "no heartbeat for 61 s"),))
    assert watermark([beat("a"), silent], NOW, without=frozenset({"b"})) == (NOW - 3_000, ())


def test_a_stopped_producer_and_unreadable_files_are_named() -> None:
    found = watermark([beat("b", stopped=True), beat("a", unreadable=2)], NOW)
    assert found.held_by == (Held("a", "it cannot read 2 files"), Held("b", "its producer was stopped"))


def test_nothing_is_known_without_hosts_or_before_a_host_has_caught_up() -> None:
    assert watermark([], NOW).time_ms is None
    assert watermark([beat("a"), beat("b", 0)], NOW).time_ms is None


def test_a_clock_that_is_ahead_is_not_believed() -> None:
    assert watermark([beat("a", NOW + 60_000, -60_000)], NOW).time_ms == NOW


@given(st.lists(st.tuples(st.integers(1, NOW + 5), st.integers(0, 200_000), st.booleans()), min_size=1), st.integers(0, NOW))
def test_it_is_at_no_hosts_future_and_a_further_host_never_moves_it_on(found: list[tuple[int, int, bool]], further: int) -> None:
    beats = [beat(f"h{number}", shipped, age, stopped=stopped) for number, (shipped, age, stopped) in enumerate(found)]
    before = watermark(beats, NOW).time_ms
    assert before is not None
    assert all(before <= one.shipped_ms for one in beats)
    assert (watermark([*beats, beat("new", further)], NOW).time_ms or 0) <= before


def test_heartbeats_of_files_and_hosts_are_told_apart_by_their_keys() -> None:
    place = Place("0123", "a", "/logs/a.log", {"env": "test"})
    seal = Seal(3, 120, "ab")
    file = Heartbeat(
        file="0123", host="a", path="/logs/a.log", path_now=None, size=1, mtime_ms=2, read=1, acknowledged=1, read_to_end=True,
        sealed=seal, time_ms=3,
    )  # fmt: skip
    assert decode_any(heartbeat_key(place), encode(file)) == file
    assert decode_any(host_key("a"), encode(beat("a"))) == beat("a")
    with pytest.raises(ValueError, match="malformed"):
        decode_any(b"nonsense", b"{}")
