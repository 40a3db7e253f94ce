"""A disk and permissions that refuse, the kernel's own. Numbers are those of the table in producers/README.md."""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from producers.checkpoint import peek
from producers.ship import Shipper
from tailrace.settings import Settings
from tests.helpers import eventually
from tests.producers.conftest import Ship, append, event, lines, make_source, shipped
from tests.producers.test_cli import configure, payloads

pytestmark = pytest.mark.servers

NOBODY = 65534


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("no small file system: mounting one takes root; RLIMIT_FSIZE refuses in the test beside this one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where nobody, the user, may go."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-rights-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_nobody(ship: Ship, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shippers have the file rights of an ordinary user, and a state folder that they may write."""
    ship.state = open_folder / "ship"
    ship.state.mkdir()
    ship.state.chmod(0o777)
    if os.geteuid() == 0:
        monkeypatch.setattr(Shipper, "run", _run_as_nobody(Shipper.run))


def _run_as_nobody(run: Callable[..., None]) -> Callable[..., None]:
    setfsuid = ctypes.CDLL(None).setfsuid  # holds for the thread that calls it

    def run_as_nobody(*given: object) -> None:
        setfsuid(NOBODY)
        run(*given)

    return run_as_nobody


def test_29_a_full_disk_is_said_once_the_old_checkpoint_stands_and_a_new_one_follows_when_there_is_room(
    ship: Ship, logs: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ship.state, filler = small_disk / "ship", small_disk / "filler"
    _disturb_checkpoints(ship, logs / "a.log", lambda: _fill(filler), filler.unlink)
    assert caplog.text.count("No space left on device; going on and trying again, the old one stands") == 1
    assert "can be written again" in caplog.text


@pytest.mark.usefixtures("as_nobody")
def test_29_a_state_folder_that_becomes_read_only_is_said_once_the_old_checkpoint_stands_and_a_new_one_follows(
    ship: Ship, open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _disturb_checkpoints(ship, open_folder / "a.log", lambda: _read_only(ship.state), lambda: ship.state.chmod(0o777))
    assert caplog.text.count("Permission denied; going on and trying again, the old one stands") == 1
    assert "can be written again" in caplog.text


def _disturb_checkpoints(ship: Ship, path: Path, refuse: Callable[[], object], allow: Callable[[], object]) -> None:
    path.write_bytes(lines(0, 3))
    with ship.running(make_source(path)) as shipper:
        eventually(lambda: _saved(ship) == len(lines(0, 3)), "the first checkpoint")
        refuse()
        append(path, lines(3, 6))
        eventually(lambda: not shipper.saved, "a checkpoint is refused")
        append(path, lines(6, 9))
        shipped(ship, lines(0, 9))
        assert _saved(ship) == len(lines(0, 3))
        allow()
        eventually(lambda: _saved(ship) == len(lines(0, 9)), "a new checkpoint")
    shipped(ship, lines(0, 9))


def _fill(filler: Path) -> None:
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def _read_only(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


def _saved(ship: Ship) -> int:
    return next((entry.offset for entry in peek(ship.state)), 0)


def test_29_a_checkpoint_that_may_not_grow_leaves_the_old_one_and_a_backfill_incomplete(tmp_path: Path, settings: Settings) -> None:
    """RLIMIT_FSIZE: what a quota does, and every user may set it."""
    config, path = configure(tmp_path, settings), tmp_path / "logs" / "a.trace"
    path.write_bytes(event(1))
    command = [sys.executable, "-m", "tailrace.cli", "--config", str(config), "ship", "--once"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    append(path, event(2))
    limit = (tmp_path / "state" / "ship" / "checkpoint").stat().st_size // 2
    refused = subprocess.run(
        command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)), capture_output=True, timeout=60, check=False
    )
    assert refused.returncode == 1
    assert b"the checkpoint, which could not be written" in refused.stderr
    assert [entry.offset for entry in peek(tmp_path / "state" / "ship")] == [len(event(1))]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    assert sorted(payloads(settings)) == sorted([event(1)[:-1], event(2)[:-1], event(2)[:-1]]), "what the checkpoint did not cover, again"


@pytest.mark.usefixtures("as_nobody")
def test_34_a_file_without_permission_is_said_once_its_neighbour_goes_on_and_it_is_read_when_it_may_be(
    ship: Ship, open_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = open_folder / "b.log"
    closed.write_bytes(lines(10, 13))
    closed.chmod(0)
    (open_folder / "a.log").write_bytes(lines(0, 3))
    with ship.running(make_source(open_folder / "*.log")) as shipper:
        shipped(ship, lines(0, 3))
        append(open_folder / "a.log", event(3))
        shipped(ship, lines(0, 4))
        assert shipper.unreadable() == 1
        closed.chmod(0o644)
        shipped(ship, lines(0, 4), lines(10, 13))
        assert shipper.unreadable() == 0
    assert caplog.text.count("b.log: Permission denied") == 1
