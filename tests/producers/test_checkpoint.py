import os
from pathlib import Path

import pytest

from producers.checkpoint import Entry, Store
from tailrace.errors import TailraceError


def entry(offset: int) -> Entry:
    return Entry(source="trace", file="0123", path="/logs/a", offset=offset, signed=1, signature="ab")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with_two = tmp_path / "ship"
    store = Store(with_two)
    assert store.load() == []
    assert store.save([entry(1)])
    assert store.save([entry(2)])
    store.close()
    return with_two


def loaded(folder: Path) -> list[Entry]:
    store = Store(folder)
    try:
        return store.load()
    finally:
        store.close()


def test_the_newest_is_used(folder: Path) -> None:
    assert loaded(folder) == [entry(2)]


@pytest.mark.parametrize("damage", [b"", b"\0" * 200, b"tailrace-checkpoint 1 ", "half", "flipped"])
def test_28_a_damaged_checkpoint_gives_way_to_the_one_before_with_a_warning(
    folder: Path, damage: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    current = folder / "checkpoint"
    good = current.read_bytes()
    current.write_bytes({"half": good[: len(good) // 2], "flipped": good.replace(b'"offset":2', b'"offset":9')}.get(damage, damage))  # type: ignore[call-overload]
    assert loaded(folder) == [entry(1)]
    assert "damaged" in caplog.text
    assert loaded(folder) == [entry(1)]


def test_two_damaged_checkpoints_are_a_fresh_start(folder: Path) -> None:
    (folder / "checkpoint").write_bytes(b"")
    (folder / "checkpoint.previous").write_bytes(b"")
    assert loaded(folder) == []


def test_a_crash_between_the_two_renames_loses_nothing(folder: Path) -> None:
    (folder / "checkpoint").rename(folder / "checkpoint.previous")
    assert loaded(folder) == [entry(2)]


def test_a_checkpoint_of_a_newer_version_is_left_alone(folder: Path) -> None:
    current = folder / "checkpoint"
    current.write_bytes(current.read_bytes().replace(b"checkpoint 1", b"checkpoint 2", 1))
    with pytest.raises(TailraceError, match="newer version"):
        loaded(folder)


def test_30_a_second_producer_is_refused_and_a_lock_left_behind_is_not_in_the_way(folder: Path) -> None:
    first = Store(folder)
    with pytest.raises(TailraceError, match=f"another producer \\(process {os.getpid()}\\)"):
        Store(folder)
    first.close()
    Store(folder).close()


def test_29_an_unwritable_folder_is_a_clear_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TailraceError, match=r"cannot write the state folder .*state_dir"):
        Store(tmp_path / "file" / "ship")


def test_29_a_disk_that_refuses_is_said_once_and_the_old_checkpoint_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert not store.save([entry(3)])
        assert not store.save([entry(3)])
    assert caplog.text.count("No space left on device") == 1
    assert store.load() == [entry(2)]
    assert store.save([entry(3)])
    assert store.load() == [entry(3)]
    store.close()
