"""The command as a process, with signals that only a process can get."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from producers.checkpoint import Store
from schemas.place import split_key
from tailrace.cli import main
from tailrace.settings import Settings
from tests.helpers import eventually, read_topic
from tests.producers.conftest import event


def configure(folder: Path, settings: Settings | None, bootstrap_servers: str = "") -> Path:
    """A configuration with EZCast alone, whose traces are `logs/*.trace`."""
    (folder / "logs").mkdir(exist_ok=True)
    file = folder / "tailrace.toml"
    prefix = settings.kafka.topic_prefix if settings else ""
    servers = settings.kafka.bootstrap_servers if settings else bootstrap_servers
    file.write_text(
        f'state_dir = "{folder}/state"\nhost = "test-host"\n'
        f'[kafka]\nbootstrap_servers = "{servers}"\ntopic_prefix = "{prefix}"\n'
        f'[sources.ezcast]\npaths = ["{folder}/logs/**/*.trace"]\ntimezone = "Europe/Brussels"\n'
    )
    return file


def ship(config: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), "ship", *options])


def process(config: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tailrace.cli", "--config", str(config), "ship", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def payloads(settings: Settings) -> list[bytes]:
    return [record.value or b"" for record in read_topic(settings, "ezcast", "raw")]


def topic_exists(settings: Settings) -> bool:
    try:
        payloads(settings)
    except KeyError:
        return False
    return True


def test_kafka_out_of_reach_is_one_line_and_exit_code_69(tmp_path: Path) -> None:
    result = ship(configure(tmp_path, None, "127.0.0.1:1"), "--wait", "0s")
    assert result.exit_code == 69
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "Kafka does not answer at 127.0.0.1:1" in line


@pytest.mark.servers
def test_an_empty_folder_is_said_and_no_error(tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    result = ship(configure(tmp_path, settings), "--once")
    assert result.exit_code == 0
    assert "nothing to ship" in caplog.text
    assert f"{tmp_path}/logs/**/*.trace" in caplog.text


@pytest.mark.servers
def test_a_backfill_says_how_far_it_is_and_ends_with_0_when_all_is_acknowledged(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    (tmp_path / "logs" / "a.trace").write_bytes(event(1) + event(2))
    result = ship(config, "--once")
    assert result.exit_code == 0
    assert "100% 56 B of 56 B in 1 file, 2 records" in result.stderr
    assert payloads(settings) == [event(1)[:-1], event(2)[:-1]]
    again = ship(config, "--once")
    assert again.exit_code == 0
    assert len(payloads(settings)) == 2


@pytest.mark.servers
def test_a_backfill_that_is_incomplete_ends_with_1_and_names_what_is_missing(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    (tmp_path / "logs" / "a.trace").write_bytes(b"\x1f\x8b\x08 compressed")
    result = ship(config, "--once")
    assert result.exit_code == 1
    assert "a.trace: its compressed data is damaged" in result.stderr


@pytest.mark.servers
def test_22_sigterm_delivers_what_was_read_and_ends_with_0(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    (tmp_path / "logs" / "a.trace").write_bytes(event(1) + event(2))
    running = process(config)
    try:
        eventually(lambda: topic_exists(settings) and len(payloads(settings)) == 1, "the first event is on the topic")
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0, running.stderr and running.stderr.read().decode()
    finally:
        running.kill()
        running.communicate()
    store = Store(tmp_path / "state" / "ship")
    [entry] = store.load()
    store.close()
    assert entry.offset == sum(len(value) + 1 for value in payloads(settings))


@pytest.mark.servers
@pytest.mark.faults
def test_21_killed_in_mid_file_again_and_again_loses_nothing_and_repeats_under_equal_keys(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    path = tmp_path / "logs" / "a.trace"
    enough = threading.Event()

    def write() -> None:
        with path.open("ab") as file:
            for first in range(0, 400_000, 500):
                file.write(b"".join(event(number % 80_000, f"{number} " + "y" * 150) for number in range(first, first + 500)))
                file.flush()
                if enough.wait(0.03):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            running = process(config)
            try:
                eventually(lambda: _checkpointed(tmp_path), "a new checkpoint")
            finally:
                running.kill()
                running.communicate()
    finally:
        enough.set()
        writer.join(30)
    assert ship(config, "--once").exit_code == 0
    found: dict[int, bytes] = {}
    for record in read_topic(settings, "ezcast", "raw"):
        _, offset = split_key(record.key or b"")
        assert found.setdefault(offset, record.value or b"") == record.value
    assert b"".join(found[offset] + b"\n" for offset in sorted(found)) == path.read_bytes()


def _checkpointed(folder: Path) -> bool:
    """Whether a process has written a checkpoint since the last call."""
    checkpoint, seen = folder / "state" / "ship" / "checkpoint", folder / "seen"
    if not checkpoint.exists():
        return False
    content = checkpoint.read_bytes()
    new = b'"offset":0' not in content and (not seen.exists() or seen.read_bytes() != content)
    if new:
        seen.write_bytes(content)
    return new


@pytest.mark.servers
def test_30_two_producers_on_one_state_folder_are_refused(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    store = Store(tmp_path / "state" / "ship")
    result = ship(config, "--once")
    store.close()
    assert result.exit_code == 1
    assert "another producer" in result.stderr
