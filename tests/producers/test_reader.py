import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checks
from hypothesis import strategies as st

from producers import reader as module
from producers.content import Replaced, open_file
from producers.reader import Part, Reader, Records, TooLarge, Torn
from tests.producers.conftest import START, event, make_source


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.trace"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a few bytes, so that what megabytes do can be seen on lines."""
    monkeypatch.setattr(module, "CHUNK_BYTES", 7)
    monkeypatch.setattr(module, "MAX_RECORD_BYTES", 60)
    monkeypatch.setattr(module, "DEAD_BYTES", 40)


def opened(path: Path, offset: int = 0, start: re.Pattern[bytes] | None = START) -> Reader:
    reader = Reader(make_source(start=start), offset)
    reader.open(open_file(path))
    return reader


def read_all(reader: Reader, now_s: float = 0.0) -> list[Part]:
    parts = reader.read(now_s)
    while not reader.at_end:
        parts += reader.read(now_s)
    return parts


def flat(parts: list[Part]) -> Iterator[tuple[int, bytes]]:
    """Offsets and bytes of the records among the parts."""
    for part in parts:
        assert isinstance(part, Records)
        begin = 0
        for end in part.ends:
            yield part.begin + begin, part.buffer[begin:end]
            begin = end


def test_the_last_record_waits_for_the_time_out_without_growth(path: Path) -> None:
    path.write_bytes(event(1) + b"more\n" + event(2))
    reader = opened(path)
    assert list(flat(read_all(reader, 100.0))) == [(0, event(1) + b"more\n")]
    assert reader.read(100.2) == []
    with path.open("ab") as file:
        file.write(b"late\n")
    assert read_all(reader, 100.25) == []
    assert reader.read(100.5) == []
    assert list(flat(reader.read(100.6))) == [(len(event(1)) + 5, event(2) + b"late\n")]
    reader.close()


def test_15_half_a_line_is_never_split_however_long_it_waits(path: Path) -> None:
    path.write_bytes(event(1)[:10])
    reader = opened(path)
    assert read_all(reader, 0.0) == []
    assert reader.read(10.0) == []
    with path.open("ab") as file:
        file.write(event(1)[10:])
    assert read_all(reader, 10.0) == []
    assert list(flat(reader.read(20.0))) == [(0, event(1))]
    reader.close()


@pytest.mark.parametrize("content", [b"", b"other", event(1)[:-1] + b"!" + event(2)])
def test_13_a_file_cut_or_overwritten_is_noticed(path: Path, content: bytes) -> None:
    path.write_bytes(event(1) + event(2))
    reader = opened(path)
    read_all(reader)
    path.write_bytes(content)
    with pytest.raises(Replaced):
        reader.read(0.0)
    assert list(flat(reader.finish())) == [(len(event(1)), event(2))]
    reader.close()


def test_38_offsets_beyond_4_gib_do_not_wrap(path: Path) -> None:
    begin = 5 * 2**30
    with path.open("wb") as file:
        file.seek(begin - 1)
        file.write(b"\n" + event(1) + event(2))
    reader = opened(path, begin)
    assert list(flat(read_all(reader))) == [(begin, event(1))]
    reader.close()


@pytest.mark.usefixtures("small")
@checks(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(st.integers(0, 150), st.sampled_from([20, 36, 37, 38])).map(lambda n: b"c" * n + b"\n") | st.integers(0, 9).map(event),
        max_size=12,
    ),
    st.booleans(),
)
def test_20_no_record_is_lost_whatever_its_length(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], starts: bool) -> None:
    """Against records cut from the whole file at once; those above the limit come as their beginnings."""
    content = b"".join(lines)
    path = tmp_path_factory.mktemp("reader") / "file"
    path.write_bytes(content)
    source = make_source(start=START if starts else None)
    reader = opened(path, start=source.record_start)
    parts = read_all(reader) + reader.finish()
    reader.close()
    ends = module.framing.split(content, source.record_start, final=True)
    expected = list(zip([0, *ends], ends, strict=False))
    found = []
    for part in parts:
        assert not isinstance(part, Torn)
        if isinstance(part, TooLarge):
            assert part.end - part.begin > 60
            assert content[part.begin : part.end].startswith(part.head)
            assert len(part.head) == 40
            found.append((part.begin, part.end))
        else:
            found += [(offset, offset + len(value)) for offset, value in flat([part])]
            assert all(content[offset : offset + len(value)] == value and len(value) <= 61 for offset, value in flat([part]))
    assert found == expected


@pytest.mark.usefixtures("small")
def test_an_endless_line_takes_no_memory(path: Path) -> None:
    path.write_bytes(event(1) + b"c" * 5000)
    reader = opened(path)
    assert read_all(reader) == []
    assert len(reader._held) <= 60 + 7
    assert reader.finish() == [TooLarge(0, 0, (event(1) + b"c" * 40)[:40])]
    reader.close()


def test_a_closed_reader_goes_on_where_it_was(path: Path) -> None:
    path.write_bytes(event(1) + event(2)[:5])
    reader = opened(path)
    parts = read_all(reader)
    reader.close()
    with path.open("ab") as file:
        file.write(event(2)[5:] + event(3))
    reader.open(open_file(path))
    assert list(flat(parts + read_all(reader))) == [(0, event(1)), (len(event(1)), event(2))]
    reader.close()


def test_the_signature_covers_what_was_read_however_it_was_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"".join(map(event, range(10))))
    whole = opened(path)
    read_all(whole)
    monkeypatch.setattr(module, "CHUNK_BYTES", 5)
    slow = opened(path)
    read_all(slow)
    resumed = opened(path, slow.position)
    assert whole.signature == slow.signature == resumed.signature == module.sign(path.read_bytes())
    for reader in (whole, slow, resumed):
        reader.close()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("length", range(8))
def test_18_line_ends_and_characters_of_several_bytes_are_whole_wherever_a_chunk_ends(path: Path, length: int) -> None:
    lines = ["x" * length + "\r\n", "é€\U0001f600\r\n", "\r\n", "ü" * 5 + "\n"]
    path.write_bytes("".join(lines).encode())
    reader = opened(path, start=None)
    assert [value.decode() for _, value in flat(read_all(reader))] == lines
    reader.close()
