"""Which files are followed."""

import os
import time
from pathlib import Path

import pytest

from producers.discovery import find
from producers.registry import Registry, _max_open
from schemas.identity import file_id
from tests.producers.conftest import make_source
from tests.producers.test_registry import close


def scan(registry: Registry, folder: Path) -> set[str]:
    """Names of the files that are followed."""
    source = make_source(folder / "*.log", start=None, ignore_older_s=3600.0)
    registry.update(source, find(source.settings), heads_may_be_torn=False)
    return {Path(file.found.path).name for file in registry.files}


def age(path: Path, hours: float) -> None:
    at = time.time() - hours * 3600
    os.utime(path, (at, at))


def test_old_files_are_left_alone_until_they_are_written_and_those_that_were_read_go_on(
    logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for name in ("old", "new"):
        (logs / f"{name}.log").write_bytes(f"{name}\n".encode())
    age(logs / "old.log", 2)
    registry = Registry("host", [])
    assert scan(registry, logs) == scan(registry, logs) == {"new.log"}
    assert caplog.text.count("old.log is left alone") == 1
    age(logs / "new.log", 2)
    assert scan(registry, logs) == {"new.log"}
    entries = list(registry.entries())
    close(registry)
    restarted = Registry("host", entries)
    assert scan(restarted, logs) == {"new.log"}, "it was being read before"
    with (logs / "old.log").open("ab") as file:
        file.write(b"more\n")
    assert scan(restarted, logs) == {"new.log", "old.log"}
    assert {file.place.file for file in restarted.files} == {file_id(b"new\n"), file_id(b"old\n")}
    close(restarted)


def test_half_of_the_descriptors_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, expected in ((100, 50), (1024, 256), (-1, 256)):
        monkeypatch.setattr("producers.registry.resource.getrlimit", lambda _, limit=limit: (limit, limit))
        assert _max_open() == expected
