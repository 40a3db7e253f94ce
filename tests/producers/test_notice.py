"""New files are noticed at once where the kernel tells of them, and by looking elsewhere."""

import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from producers import notice
from producers.notice import Notice, roots
from tests.helpers import eventually
from tests.producers.conftest import Ship, event, make_source, shipped


def test_a_file_that_appears_is_noticed_and_growth_is_not(logs: Path) -> None:
    pytest.importorskip("watchfiles")
    (logs / "a.log").write_bytes(b"old\n")
    appeared = threading.Event()
    with closing(Notice(appeared.set)) as watcher:
        assert watcher.watch([f"{logs}/**/*.log"])
        number = 0
        while not appeared.is_set():  # the watch begins in its own time
            number += 1
            assert number < 200
            (logs / f"{number}.log").touch()
            appeared.wait(0.1)
        time.sleep(3 * notice.STEP_MS / 1000)  # what that reported is over
        appeared.clear()
        (logs / "a.log").open("ab").close()
        with (logs / "a.log").open("ab") as file:
            file.write(b"more\n")
        assert not appeared.wait(0.3)
        (logs / "deep").mkdir()
        assert appeared.wait(5)
    assert "notice" not in {thread.name for thread in threading.enumerate()}


def test_folders_to_watch_are_those_above_the_first_wildcard(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert roots([f"{tmp_path}/a/*.log", f"{tmp_path}/none/*.log"]) == ({f"{tmp_path}/a"}, False)
    assert roots([f"{tmp_path}/*/x.log", f"{tmp_path}/a/**/*.log"]) == ({str(tmp_path), f"{tmp_path}/a"}, True)


def test_without_the_library_or_a_folder_nothing_is_noticed(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Notice(lambda: None)) as watcher:
        assert not watcher.watch([f"{logs}/none/*.log"])
        monkeypatch.setitem(sys.modules, "watchfiles", None)
        assert not watcher.watch([f"{logs}/*.log"])


def test_when_paths_change_the_new_folders_are_watched_and_the_old_ones_are_not(tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    appeared = threading.Event()
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    with closing(Notice(appeared.set)) as watcher:
        for folder in folders:
            assert watcher.watch([f"{folder}/*.log"])
        files = (folders[1] / f"{number}.log" for number in range(200))
        while not appeared.is_set():  # the watch begins in its own time
            next(files).touch()
            appeared.wait(0.1)
        time.sleep(3 * notice.STEP_MS / 1000)  # what that reported is over
        appeared.clear()
        (folders[0] / "a.log").touch()
        assert not appeared.wait(0.3)


@pytest.mark.servers
def test_a_new_file_is_shipped_when_it_is_noticed_and_not_when_it_is_time_to_look(
    ship: Ship, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.ship.SCAN_S", 3600.0)
    (logs / "a.log").write_bytes(event(1))
    with ship.running(make_source(logs / "*.log")) as shipper:
        shipped(ship, event(1))
        (logs / "b.log").write_bytes(event(2))
        shipper.look()
        shipped(ship, event(1), event(2))
        eventually(lambda: shipper._due["scan"] > time.monotonic() + 3000, "the next look is an hour away")
