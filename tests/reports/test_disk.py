"""Files on this disk, cut as producers cut them."""

import gzip
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO
from unittest.mock import patch
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import disk
from schemas.ezcast.parse import RECORD_START
from schemas.framing import split
from schemas.source import SourceSettings

START = b"2016-10-03-08:00:00 | "
LINES = st.lists(
    st.sampled_from([START + b"a\n", START + b"\xff\x00\n", b"continued\n", b"\n", b"\r\n", START + b"x" * 40 + b"\n"]), max_size=12
)


@pytest.mark.parametrize("record_start", [None, RECORD_START])
@given(lines=LINES, torn=st.sampled_from([b"", b"2016-1", START + b"torn"]), block=st.integers(1, 64))
def test_records_are_the_same_however_the_file_is_read(
    tmp_path_factory: pytest.TempPathFactory, record_start: "disk.re.Pattern[bytes] | None", lines: list[bytes], torn: bytes, block: int
) -> None:
    content = b"".join(lines) + torn
    path = tmp_path_factory.getbasetemp() / "any.trace"
    path.write_bytes(content)
    with patch.object(disk, "BLOCK_BYTES", block), TemporaryFile() as spool:
        found = disk.read(str(path), record_start, spool)
        records = list(found.records())
    ends = split(content, record_start, final=True)
    assert records == [(start, end, crc32(content[start : end - 1])) for start, end in pairwise([0, *ends])]
    assert (found.size, found.size - found.terminated) == (len(content), len(torn))


def test_globs_cross_folders_leave_out_what_is_excluded_and_see_a_file_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.trace", "deep/b.trace", "deep/skip.trace", "deep/draft.trace", "c.log"):
        (tmp_path / name).write_text("x\n")
    os.link(tmp_path / "a.trace", tmp_path / "z.trace")
    settings = SourceSettings(paths=[f"{tmp_path}/**/*.trace", f"{tmp_path}/*.trace"], exclude=["skip.*", f"{tmp_path}/deep/draft*"])
    assert disk.paths(settings) == [str(tmp_path / "a.trace"), str(tmp_path / "deep/b.trace")]


@pytest.fixture
def spool() -> Iterator[BinaryIO]:
    with TemporaryFile() as file:
        yield file


def test_a_folder_is_no_file_and_a_file_that_is_gone_raises(tmp_path: Path, spool: BinaryIO) -> None:
    (tmp_path / "folder.trace").mkdir()
    assert disk.paths(SourceSettings(paths=[f"{tmp_path}/*.trace"])) == []
    with pytest.raises(FileNotFoundError):
        disk.read(str(tmp_path / "gone.trace"), None, spool)


def test_a_compressed_file_is_read_as_what_it_holds(tmp_path: Path, spool: BinaryIO) -> None:
    content = START + b"a\n" + START + b"b\n"
    (tmp_path / "a.trace").write_bytes(content)
    packed = gzip.compress(content[:30]) + gzip.compress(content[30:])
    (tmp_path / "b.trace.gz").write_bytes(packed)
    plain, unpacked = (disk.read(str(tmp_path / name), RECORD_START, spool) for name in ("a.trace", "b.trace.gz"))
    assert unpacked._replace(path=plain.path, at=plain.at) == plain
    assert list(unpacked.records()) == list(plain.records())
    (tmp_path / "b.trace.gz").write_bytes(packed[:-5])
    with pytest.raises(OSError, match="incomplete or damaged"):
        disk.read(str(tmp_path / "b.trace.gz"), RECORD_START, spool)


def test_a_file_is_old_by_when_it_was_written_last(tmp_path: Path) -> None:
    path = tmp_path / "a.trace"
    path.touch()
    os.utime(path, (0, 0))
    assert [disk.is_old(str(path), limit) for limit in (3600.0, None)] == [True, False]
    path.unlink()
    assert not disk.is_old(str(path), 3600.0)


def test_a_hole_at_the_beginning_is_no_content(tmp_path: Path, spool: BinaryIO) -> None:
    path = tmp_path / "a.trace"
    path.write_bytes(bytes(3_000_000) + b"a\nb\n")
    found = disk.read(str(path), None, spool)
    assert (found.head, found.size, [start for start, _, _ in found.records()]) == (b"a\n", 3_000_004, [3_000_000, 3_000_002])
