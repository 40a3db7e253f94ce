"""`tailrace up`, `status` and `down` as a person types them, with real servers on ports and in a folder of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra import ports, state
from infra.processes import alive
from infra.servers import choose
from tailrace.cli import main
from tailrace.errors import Unreachable


class Command:
    """The command `tailrace` on a folder and two ports."""

    def __init__(self, folder: Path) -> None:
        self.kafka_port, self.elasticsearch_port = ports.free(2)
        self.state_dir = folder / "state"
        self.config = folder / "tailrace.toml"
        self.config.write_text(
            f'state_dir = "{self.state_dir}"\n'
            f'[kafka]\nbootstrap_servers = "127.0.0.1:{self.kafka_port}"\n'
            f'[elasticsearch]\nurl = "http://127.0.0.1:{self.elasticsearch_port}"\n'
        )

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tailrace.cli", "--config", str(self.config), *arguments]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *arguments: str) -> tuple[int, str]:
        with self.begin(*arguments) as process:
            output, _ = process.communicate(timeout=500)
        return process.returncode, output

    def started(self) -> state.State | None:
        return state.read(self.state_dir / "servers")

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        url = f"http://127.0.0.1:{self.elasticsearch_port}{path}"
        request = urllib.request.Request(url, body, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())


@pytest.fixture
def tailrace(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    command.run("down", "--delete")


def until(condition: Callable[[], object], limit_s: float = 300) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


@pytest.mark.servers
@pytest.mark.timeout(900)
def test_servers_stay_answer_keep_their_data_and_go(tailrace: Command) -> None:
    code, output = tailrace.run("up")
    assert code == 0, output
    first = tailrace.started()
    assert first
    assert tailrace.run("status")[0] == 0
    tailrace.request("PUT", "/kept/_doc/1?refresh=true", b'{"number": 42}')

    code, output = tailrace.run("up")
    assert code == 0
    assert "already running" in output
    assert tailrace.started() == first, "a second `up` starts nothing"

    code, output = tailrace.run("down")
    assert code == 0
    assert "stays in" in output
    assert not any(alive(process) for process in first.processes)
    code, output = tailrace.run("status")
    assert code == Unreachable.exit_code
    assert output.count("does not answer") == 2

    code, output = tailrace.run("up")
    assert code == 0, output
    assert b'"number": 42' in tailrace.request("GET", "/kept/_source/1")
    second = tailrace.started()
    assert second
    code, output = tailrace.run("down", "--delete")
    assert code == 0, output
    assert not any(alive(process) for process in second.processes)
    assert [path.name for path in (tailrace.state_dir / "servers").iterdir() if path.is_dir()] == []
    assert "nothing to stop" in tailrace.run("down")[1]


@pytest.mark.servers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_start_that_is_broken_off_leaves_nothing_running(tailrace: Command, number: signal.Signals) -> None:
    if choose() != "java":
        pytest.skip("containers are not processes of this machine")
    with tailrace.begin("up") as up:
        until(lambda: up.poll() is not None or ((now := tailrace.started()) and len(now.processes) == 2))
        begun = tailrace.started()
        assert begun, up.stdout and up.stdout.read()
        up.send_signal(number)
        up.communicate(timeout=60)
    if number == signal.SIGKILL:  # nobody could clean up: `down` knows what to stop
        assert all(alive(process) for process in begun.processes)
        assert tailrace.run("down")[0] == 0
    else:
        after = tailrace.started()
        assert after
        assert after.stopped, "the data is known, for `down --delete`"
    assert up.returncode != 0
    assert not any(alive(process) for process in begun.processes)


def test_a_taken_port_is_named_and_nothing_is_written(tailrace: Command) -> None:
    with socket.create_server((ports.HOST, tailrace.kafka_port)):
        code, output = tailrace.run("up", "--with", "java")
    assert code == 1
    assert f"port {tailrace.kafka_port} of 127.0.0.1 is already in use" in output
    assert "--kafka-port" in output
    assert tailrace.started() is None


def test_servers_elsewhere_are_not_ours_to_start(tmp_path: Path) -> None:
    assert "kafka.example:9092" in _invoke(tmp_path, '[kafka]\nbootstrap_servers = "kafka.example:9092"\n').output
    assert "elasticsearch.url = https" in _invoke(tmp_path, '[elasticsearch]\nurl = "https://127.0.0.1:9200"\n').output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = _invoke(tmp_path / "", f'state_dir = "{tmp_path}/state"\n')
    assert "set state_dir" in result.output


def _invoke(folder: Path, config: str) -> Result:
    """`tailrace up`, refused."""
    file = folder.with_suffix(".toml")
    file.write_text(config)
    result = CliRunner().invoke(main, ["--config", str(file), "up"])
    assert result.exit_code == 1, result.output
    return result
