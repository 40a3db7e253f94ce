import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.errors import ConfigError
from tailrace.watched import Watched, listed


def words(path: Path) -> list[str]:
    return [line for _, line in listed(path)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "list.txt"
    made.write_text("a\nb\n")
    return made


def rewrite(file: Path) -> None:
    file.write_text("c\n")


def replace_by_rename(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_text("c\n")
    new.rename(file)


def rewrite_with_equal_size_and_time(file: Path) -> None:
    times = file.stat()
    file.write_text("c\n#\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", [rewrite, replace_by_rename, rewrite_with_equal_size_and_time])
def test_a_changed_file_is_read_again(file: Path, change: Callable[[Path], None]) -> None:
    watched = Watched(file, words, "key")
    assert watched.value == ["a", "b"]
    change(file)
    assert watched.refresh()
    assert watched.value == ["c"]


def test_an_unchanged_file_is_not_read_again(file: Path) -> None:
    reads = []
    watched = Watched(file, lambda path: reads.append(path), "key")
    assert not watched.refresh()
    assert not watched.refresh()
    assert reads == [file]


@pytest.mark.parametrize("content", [b"", b"\r\n", b"# all gone\n", b"\xff\xfe"])
def test_bad_content_leaves_the_old_and_is_said_once(file: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(file, words, "sources.x.key")
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert not watched.refresh()
        assert not watched.refresh()
    assert watched.value == ["a", "b"]
    [record] = caplog.records
    assert f'sources.x.key = "{file}" has changed and cannot be used' in record.getMessage()
    file.write_text("c\n")
    assert watched.refresh()
    assert watched.value == ["c"]


def test_a_file_that_vanishes_leaves_its_content_until_it_is_back(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(file, words, "key")
    file.unlink()
    with caplog.at_level(logging.WARNING):
        assert not watched.refresh()
        assert not watched.refresh()
    assert len(caplog.records) == 1
    assert watched.value == ["a", "b"]
    file.write_text("c\n")
    assert watched.refresh()
    assert watched.value == ["c"]


def test_a_missing_file_is_an_error_that_names_key_and_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'sources\.x\.key = ".*none\.txt": cannot read it: No such file'):
        Watched(tmp_path / "none.txt", words, "sources.x.key")


def test_bad_content_at_the_start_is_an_error(file: Path) -> None:
    file.write_text("\n")
    with pytest.raises(ConfigError, match=r'sources\.x\.key = ".*list\.txt": the file lists nothing'):
        Watched(file, words, "sources.x.key")


def test_an_optional_file_may_come_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "later.txt"
    with caplog.at_level(logging.WARNING):
        watched = Watched(file, words, "key", optional=True)
        assert not watched.refresh()
    assert watched.value is None
    assert len(caplog.records) == 1
    file.write_text("c\n")
    assert watched.refresh()
    assert watched.value == ["c"]


def test_entries_carry_their_line_numbers(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf# head\r\n\r\n a b \r\n  # more\r\nc")
    assert listed(file) == [(3, " a b "), (5, "c")]
