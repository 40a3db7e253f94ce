from hypothesis import given
from hypothesis import strategies as st

from schemas.identity import HEAD_BYTES, file_id, head


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_what_follows_the_first_line_does_not_matter(first: bytes, rest: bytes) -> None:
    line = first.replace(b"\n", b"") + b"\n"
    assert head(line + rest) == head(line) == line


def test_an_incomplete_first_line_names_nothing_yet() -> None:
    assert head(b"") is None
    assert head(b"x" * (HEAD_BYTES - 1)) is None


def test_an_endless_first_line_names_a_file_by_its_first_bytes() -> None:
    cut = head(b"x" * HEAD_BYTES)
    assert cut == b"x" * HEAD_BYTES
    assert head(b"x" * HEAD_BYTES + b"more\n") == cut


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 5), st.integers(0, 5))
def test_ids_differ_where_heads_or_ordinals_do(one: bytes, other: bytes, first: int, second: int) -> None:
    assert (file_id(one, first) == file_id(other, second)) == ((one, first) == (other, second))


def test_an_id_is_what_it_always_was() -> None:
    """Ids are in topics, indices and checkpoints of others: they must never change."""
    assert file_id(b"2016-09-27-00:00:01 | a\n") == "6f15909d186e0d9441e5"
    assert file_id(b"2016-09-27-00:00:01 | a\n", 1) == "16ad427f1cedbe8689ea"
