import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.framing import find_end, split, torn_begin

STAMP = re.compile(rb"\d\d:\d\d \| ")
STARTS = st.sampled_from([STAMP, re.compile(rb"^\d\d:\d\d"), re.compile(rb"(?i)a|b+"), None])
LINES = st.one_of(st.sampled_from([b"12:30 | x", b"09:15 | ", b"12:30", b"1", b"", b"\r", b"a", b"B\x00"]), st.binary(max_size=12))
FILES = st.lists(LINES).map(b"\n".join)


def records_of(pieces: list[bytes], start: re.Pattern[bytes] | None) -> tuple[list[bytes], bytes]:
    """What a reader makes of a file that comes in pieces: records, and what is left over."""
    records, held = [], b""
    for number, piece in enumerate(pieces, 1):
        held += piece
        ends = split(held, start, final=number == len(pieces))
        for begin, end in zip([0, *ends], ends, strict=False):
            records.append(held[begin:end])
        held = held[ends[-1] :] if ends else held
    return records, held


@given(FILES, STARTS, st.lists(st.integers(0, 80)))
def test_records_do_not_depend_on_how_the_bytes_came(content: bytes, start: re.Pattern[bytes] | None, cuts: list[int]) -> None:
    at = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces = [content[begin:end] for begin, end in pairwise(at)] or [b""]
    assert records_of(pieces, start) == records_of([content], start)


@given(FILES, STARTS)
def test_records_tile_the_file_and_only_an_unterminated_line_is_left(content: bytes, start: re.Pattern[bytes] | None) -> None:
    records, left = records_of([content], start)
    assert b"".join([*records, left]) == content
    assert all(record.endswith(b"\n") for record in records)
    assert b"\n" not in left


@given(FILES, STARTS)
def test_every_line_is_a_start_or_a_continuation_of_one_or_an_orphan_alone(content: bytes, start: re.Pattern[bytes] | None) -> None:
    """The rule once more, line by line, as slowly and plainly as it can be written."""
    expected: list[bytes] = []
    for line in content.split(b"\n")[:-1]:
        continues = start is not None and not start.match(line) and expected and start.match(expected[-1].split(b"\n")[0])
        if continues:
            expected[-1] += line + b"\n"
        else:
            expected.append(line + b"\n")
    assert records_of([content], start)[0] == expected


def test_the_last_record_stays_open_until_a_start_follows_or_the_end_is_final() -> None:
    content = b"12:30 | one\nand more\n"
    assert split(content, STAMP) == []
    assert split(content, STAMP, final=True) == [21]
    assert split(content + b"12:31 | half", STAMP) == []
    assert split(content + b"12:31 | whole\n", STAMP) == [21]


def test_only_lf_ends_a_line() -> None:
    content = "a\rb\u2028c\x85d\x0be\x00f\n".encode()
    assert split(content, None) == [len(content)]


def test_a_start_that_matches_nothing_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="empty string"):
        split(b"x\n", re.compile(rb"\d*"))


@pytest.mark.parametrize(
    ("rest", "start", "expected"),
    [
        (b"tail of a long line\nnext\n", None, 20),
        (b"no end", None, -1),
        (b"\nstill it\nand this\n12:30 | x\n", STAMP, 19),
        (b"\n12:30 | not complete", STAMP, -1),
        (b"\nstill it\n", STAMP, -1),
    ],
)
def test_the_end_of_a_record_whose_beginning_was_let_go(rest: bytes, start: re.Pattern[bytes] | None, expected: int) -> None:
    assert find_end(rest, start) == expected


@pytest.mark.parametrize(
    ("content", "begin"),
    [
        (b"12:30 | one\n12:31 | ha", 12),
        (b"12:30 | one\n12:", 12),
        (b"12:30 | one\nthe rest of o", 0),
        (b"12:30 | one", 0),
        (b"12:30 | one\n", 12),
    ],
)
def test_a_torn_line_belongs_to_the_record_before_unless_it_could_begin_one(content: bytes, begin: int) -> None:
    assert torn_begin(content, STAMP) == begin


def test_a_torn_line_without_starts_stands_alone() -> None:
    assert torn_begin(b"half", None) == 0
