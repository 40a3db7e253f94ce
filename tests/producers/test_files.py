"""`tailrace files` and what it stands on: states, seals, heartbeats of all hosts; real files, and Kafka where the command uses it."""

import gzip
import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from producers import everywhere, inventory
from producers.checkpoint import Store, peek
from producers.inventory import FileState
from producers.seal import Complete
from schemas.heartbeat import Heartbeat, HostBeat, Seal, encode, heartbeat_key, host_key
from schemas.place import Place
from tailrace.cli import main
from tailrace.settings import Settings
from tests.helpers import eventually, read_topic
from tests.producers.conftest import Ship, event, make_source
from tests.producers.test_cli import configure, ship

DAY_S = 86_400


def aged(path: Path, content: bytes, age_s: float = DAY_S) -> bytes:
    path.write_bytes(content)
    then = time.time() - age_s
    os.utime(path, (then, then))
    return content


def lines(first: int, last: int) -> bytes:
    return b"".join(map(event, range(first, last)))


def test_a_file_is_complete_when_a_newer_one_exists_and_it_rests() -> None:
    complete = Complete([10, 20, 30], 100, 50e-9)
    assert [complete(mtime) for mtime in (10, 20, 30)] == [True, True, False]
    assert not Complete([10, 60], 100, 50e-9)(51)
    assert not Complete([10], 10**12, 0)(10)


def by_name(states: list[FileState]) -> dict[str, FileState]:
    return {Path(state.path).name: state for state in states}


@pytest.mark.servers
def test_states_and_what_may_be_deleted(ship: Ship, logs: Path) -> None:
    source = make_source(logs / "*")
    aged(logs / "read.log", lines(0, 5))
    aged(logs / "sealed.log", lines(10, 15))
    aged(logs / "grown.log", lines(20, 25))
    aged(logs / "packed.log.gz", gzip.compress(lines(60, 5_000)))
    (logs / "newest.log").write_bytes(lines(30, 35))
    (logs / "gone.log").write_bytes(lines(40, 45))
    ship.once(source)
    (logs / "gone.log").unlink()
    aged(logs / "copy.log", lines(0, 5))
    aged(logs / "grown.log", lines(20, 27))
    aged(logs / "new.log", lines(50, 55))
    aged(logs / "old.log", lines(55, 58), 9 * DAY_S)
    (logs / "empty.log").touch()
    aged(logs / "damaged.log.gz", gzip.compress(lines(70, 900))[:-9])
    entries = [replace(entry, sealed=None) if "read.log" in entry.path else entry for entry in peek(ship.state)]
    source = make_source(logs / "*", ignore_older_s=2 * DAY_S)
    found = by_name(inventory.take([source], "test-host", entries, 600))
    alike = {found.pop("read.log"), found.pop("copy.log")}  # which of the two is the copy is nobody's business
    assert {(state.state, state.lag, state.safe_to_delete) for state in alike} == {("read", 0, True), ("copy", 0, True)}
    assert {name: (state.state, state.lag, state.safe_to_delete) for name, state in found.items()} == {
        "sealed.log": ("sealed", 0, True),
        "grown.log": ("growing", 2 * len(event(25)), False),
        "packed.log.gz": ("sealed", 0, True),
        "newest.log": ("growing", 0, False),
        "gone.log": ("gone", 0, False),
        "new.log": ("not_started", len(lines(50, 55)), False),
        "old.log": ("ignored", 0, False),
        "empty.log": ("ignored", 0, False),
        "damaged.log.gz": ("unreadable", found["damaged.log.gz"].lag, False),
    }
    assert found["packed.log.gz"].size == len(lines(60, 5_000))


@pytest.mark.servers
def test_a_complete_file_is_sealed_in_its_heartbeat_and_a_late_line_breaks_the_seal_for_a_while(
    ship: Ship, logs: Path, quick: Callable[[str, float], None]
) -> None:
    quick("HEARTBEAT_S", 0.2)
    quick("SEAL_S", 0.2)
    content = aged(logs / "monday.log", lines(0, 400))
    (logs / "tuesday.log").write_bytes(lines(1000, 1002))

    def seal() -> Seal | None:
        return _beats(ship)["monday.log"].sealed if "monday.log" in _beats(ship) else None

    with ship.running(make_source(logs / "*.log")):
        eventually(lambda: seal() == Seal(400, len(content), hashlib.sha256(content).hexdigest()), "monday is sealed")
        assert _beats(ship)["tuesday.log"].sealed is None
        longer = content + event(400)
        with (logs / "monday.log").open("ab") as file:
            file.write(event(400))
        eventually(lambda: seal() is None, "the seal is broken")
        aged(logs / "monday.log", longer)
        eventually(lambda: seal() == Seal(401, len(longer), hashlib.sha256(longer).hexdigest()), "monday is sealed anew")
    [entry] = [entry for name, entry in ship.checkpoint().items() if name == "monday.log"]
    assert entry.sealed == Seal(401, len(longer), hashlib.sha256(longer).hexdigest())


def _beats(ship: Ship) -> dict[str, Heartbeat]:
    found = {record.key: record.value for record in read_topic(ship.settings, "trace", "files")}
    beats = (everywhere._decoded(key or b"", value or b"") for key, value in found.items())
    return {Path(beat.path).name: beat for beat in beats if isinstance(beat, Heartbeat)}


def files(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), "files", *words])


@pytest.mark.servers
def test_the_command_needs_no_lock_and_no_kafka(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    aged(tmp_path / "logs" / "monday.trace", lines(0, 5))
    (tmp_path / "logs" / "tuesday.trace").write_bytes(lines(10, 12) + b"half a li")
    assert ship_once(config).exit_code == 0
    config.write_text(config.read_text().replace(settings.kafka.bootstrap_servers, "127.0.0.1:1"))
    with closing(Store(tmp_path / "state" / "ship")):
        table, safe = files(config), files(config, "--safe", "--format", "paths")
        found = json.loads(files(config, "--format", "json").stdout)
    assert table.exit_code == safe.exit_code == 0
    assert "2 files, 38 B not acknowledged; 1 may be deleted, 140 B" in table.stdout
    assert safe.stdout == f"{tmp_path}/logs/monday.trace\n"
    assert [(one["state"], one["lag"], one["safe_to_delete"]) for one in found] == [("sealed", 0, True), ("growing", 38, False)]
    assert files(config, "--all", "--safe").exit_code == 2


def ship_once(config: Path) -> Result:
    return ship(config, "--once")


@pytest.mark.servers
def test_every_hosts_files_and_the_watermark(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    (tmp_path / "logs" / "a.trace").write_bytes(lines(0, 5))
    assert ship_once(config).exit_code == 0
    config.write_text(config.read_text().replace('"test-host"', '"second"'))
    (tmp_path / "state").rename(tmp_path / "first")
    assert ship_once(config).exit_code == 0
    shown = files(config, "--all")
    assert shown.exit_code == 0, shown.output
    assert "ezcast: 2 hosts, everything written before 20" in shown.stdout
    assert "held back by second: its producer was stopped; test-host: its producer was stopped" in shown.stdout
    [found] = json.loads(files(config, "--all", "--format", "json", "--without", "second").stdout)
    assert [(file["host"], file["state"], file["lag"]) for file in found["files"]] == [("second", "read", 0), ("test-host", "read", 0)]
    assert [held["host"] for held in found["held_by"]] == ["test-host"]
    [host] = [host for host in found["hosts"] if host["host"] == "test-host"]
    assert found["watermark"] == host["shipped_before"]


def test_what_was_lost_with_a_file_is_told_from_what_was_read() -> None:
    def beat(name: str, path_now: str | None, acknowledged: int) -> tuple[bytes, bytes]:
        value = Heartbeat(
            file=name, host="h", path=f"/{name}", path_now=path_now, size=9, mtime_ms=1, read=9, acknowledged=acknowledged,
            read_to_end=acknowledged == 9, time_ms=1_000,
        )  # fmt: skip
        return heartbeat_key(Place(name, "h", f"/{name}")), encode(value)

    host = HostBeat(host="h", files=1, unreadable=0, shipped_ms=500, stopped=False, time_ms=1_000)
    newest: dict[bytes, bytes | None] = dict([beat("gone", None, 9), beat("lost", None, 4), beat("grows", "/g", 4), beat("read", "/r", 9)])
    newest |= {host_key("h"): encode(host), b"none of ours": b"{}", heartbeat_key(Place("x", "h", "/x")): None}
    found = everywhere.gather("trace", newest, 3_000, frozenset())
    assert {file.path: file.state for file in found.files} == {"/gone": "gone", "/lost": "lost", "/g": "growing", "/r": "read"}
    assert (found.watermark, {file.age_s for file in found.files}) == ("1970-01-01T00:00:00.500Z", {2.0})
