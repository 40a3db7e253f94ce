"""Which file is which, decided on real files without any reading or Kafka."""

import gzip
from collections import deque
from pathlib import Path

import pytest

from producers.checkpoint import Entry
from producers.content import Replaced, open_file
from producers.discovery import find
from producers.publish import Batch
from producers.reader import ENDING_BYTES, sign
from producers.registry import Registry
from producers.tailed import TailedFile
from schemas.identity import HEAD_BYTES, file_id
from tests.producers.conftest import make_source


def follow(registry: Registry, folder: Path, once: bool = False) -> dict[str, TailedFile]:
    source = make_source(folder / "*.log", start=None)
    registry.update(source, find(source.settings), heads_may_be_torn=once)
    return {Path(file.found.path).name: file for file in registry.files}


def close(registry: Registry) -> None:
    for file in registry.files:
        file.reader.close()


def test_09_a_file_has_an_id_as_soon_as_its_first_line_is_complete(logs: Path) -> None:
    registry, path = Registry("host", []), logs / "a.log"
    path.write_bytes(b"")
    assert not follow(registry, logs)
    path.write_bytes(b"half")
    assert not follow(registry, logs)
    path.write_bytes(b"half a line\n")
    assert follow(registry, logs)["a.log"].place.file == file_id(b"half a line\n")
    close(registry)


def test_a_backfill_names_a_file_by_what_it_has(logs: Path) -> None:
    registry = Registry("host", [])
    (logs / "a.log").write_bytes(b"half")
    assert follow(registry, logs, once=True)["a.log"].place.file == file_id(b"half")
    close(registry)


def test_an_endless_first_line_does_not_keep_a_file_from_being_read(logs: Path) -> None:
    registry = Registry("host", [])
    (logs / "a.log").write_bytes(b"x" * HEAD_BYTES * 2)
    assert follow(registry, logs)["a.log"].place.file == file_id(b"x" * HEAD_BYTES)
    close(registry)


def test_10_a_file_that_grew_while_nobody_looked_is_the_same_file(logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(b"first\nsecond\n")
    before = Registry("host", [])
    file = follow(before, logs)["a.log"]
    file.reader.read(0.0)
    file.batches = deque([Batch(13, 0, lambda *_: None)])
    assert file.settle() == 0
    close(before)
    path.write_bytes(b"first\nsecond\n" + b"more\n" * 30_000)
    after = Registry("other-host", before.entries())
    again = follow(after, logs)["a.log"]
    assert (again.place.file, again.acknowledged, again.reader.position) == (file.place.file, 13, 13)
    close(after)


def test_06_other_content_behind_the_same_first_line_after_a_restart_is_another_file(logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(b"#banner\nold\n")
    before = Registry("host", [])
    follow(before, logs)["a.log"].reader.read(0.0)
    close(before)
    path.write_bytes(b"#banner\nnew and longer\n")
    after = Registry("host", before.entries())
    again = follow(after, logs)["a.log"]
    assert (again.place.file, again.acknowledged) == (file_id(b"#banner\n", 1), 0)
    assert {entry.file for entry in after.entries()} == {file_id(b"#banner\n"), file_id(b"#banner\n", 1)}
    close(after)


def test_07_a_copy_found_before_the_cut_is_noticed_carries_on_where_the_file_was_read(logs: Path) -> None:
    path, copy = logs / "a.log", logs / "a.1.log"
    path.write_bytes(b"one\ntwo\n")
    registry = Registry("host", [])
    file = follow(registry, logs)["a.log"]
    file.reader.read(0.0)
    copy.write_bytes(path.read_bytes() + b"three\n")
    path.write_bytes(b"new\n")
    followed = follow(registry, logs)
    assert (followed["a.1.log"].place.file, followed["a.1.log"].reader.position) == (file_id(b"one\n"), 8)
    follow(registry, logs)
    assert {found.place.file for found in registry.files} == {file_id(b"one\n"), file_id(b"new\n")}
    close(registry)


def test_11_a_new_file_on_the_inode_of_a_deleted_one_is_seen_by_its_content(logs: Path) -> None:
    """The inode is not reused while the file is open, so this is what a closed reader meets."""
    path = logs / "a.log"
    path.write_bytes(b"old\n")
    registry = Registry("host", [])
    file = follow(registry, logs)["a.log"]
    file.reader.read(0.0)
    file.reader.close()
    path.write_bytes(b"brand new\n")
    file.reader.open(open_file(path))
    with pytest.raises(Replaced):
        file.reader.read(0.0)
    registry.forget(file, replaced=True)
    follow(registry, logs)
    assert {found.place.file for found in registry.files if not found.replaced} == {file_id(b"brand new\n")}
    close(registry)


def test_batches_move_the_acknowledged_offset_only_without_a_gap(logs: Path) -> None:
    (logs / "a.log").write_bytes(b"a\n")
    registry = Registry("host", [])
    file = follow(registry, logs)["a.log"]
    first, second, third = (Batch(end, 2, lambda *_: None) for end in (10, 20, 30))
    file.batches.extend([first, second, third])
    second.left = 0
    assert (file.settle(), file.acknowledged) == (0, 0)
    first.left = 0
    assert (file.settle(), file.acknowledged) == (4, 20)
    third.left = 0
    assert (file.settle(), file.acknowledged) == (2, 30)
    close(registry)


def test_a_copy_is_announced_once_and_carries_on_when_the_file_it_copies_is_gone(logs: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    registry = Registry("host", [])
    (logs / "a.log").write_bytes(b"one\ntwo\n")
    (logs / "b.log").write_bytes(b"one\ntwo\n")
    file = follow(registry, logs)["a.log"]
    file.reader.read(0.0)
    follow(registry, logs)
    assert caplog.text.count("b.log is a copy of") == 1
    (logs / "a.log").unlink()
    follow(registry, logs)
    follow(registry, logs)
    assert (Path(file.found.path).name, file.gone, file.reader.position) == ("b.log", False, 8)
    close(registry)


def stop_at_the_end(registry: Registry, folder: Path) -> TailedFile:
    """Read and acknowledge all of the one file, and go."""
    file = follow(registry, folder)["a.log"]
    while not file.reader.at_end:
        for part in file.reader.read(0.0):
            file.sent(part, Batch(file.reader.position, 0, lambda *_: None))
    file.settle()
    close(registry)
    return file


@pytest.mark.parametrize("packed", [False, True])
def test_06_a_file_that_differs_only_far_behind_its_beginning_is_another_one_after_a_restart(logs: Path, packed: bool) -> None:
    path = logs / "a.log"
    common, old, new = b"#banner\n" + b"same\n" * 30_000, b"old\n" * 10, b"new\n" * 20
    path.write_bytes(common + old)
    before = Registry("host", [])
    stop_at_the_end(before, logs)
    path.write_bytes(gzip.compress(common + new) if packed else common + new)
    after = Registry("host", before.entries())
    again = follow(after, logs)["a.log"]
    assert (again.place.file, again.acknowledged) == (file_id(b"#banner\n", 1), 0)
    close(after)
    path.write_bytes(common + old + new)
    third = Registry("host", before.entries())
    known = follow(third, logs)["a.log"]
    assert (known.place.file, known.acknowledged) == (file_id(b"#banner\n"), len(common + old)), "what only grew is the same file"
    close(third)


def test_the_last_bytes_that_a_checkpoint_knows_reach_back_over_small_batches_and_restarts(logs: Path) -> None:
    path, content = logs / "a.log", b""
    entries: list[Entry] = []
    for number in range(200):
        content += b"line %d\n" % number
        path.write_bytes(content)
        registry = Registry("host", entries)
        stop_at_the_end(registry, logs)
        entries = list(registry.entries())
    [entry] = entries
    assert (entry.ended, entry.ending) == sign(content[-ENDING_BYTES:])
