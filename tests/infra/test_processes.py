import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from infra.processes import Process, alive, exit_code, spawn, stop, tail

STUBBORN = "trap '' TERM; echo deaf; sleep 60 & wait; sleep 60"


def until(condition: Callable[[], bool], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def start(tmp_path: Path, *command: str) -> Process:
    return spawn("server", command, tmp_path / "log", None, tied=False)


def test_a_process_is_stopped_by_sigterm(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "60")
    assert alive(process)
    began = time.monotonic()
    stop([process], patience_s=10)
    assert not alive(process)
    assert time.monotonic() - began < 5


def test_one_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    process = start(tmp_path, "sh", "-c", STUBBORN)
    until(lambda: "deaf" in Path(process.log).read_text())
    stop([process], patience_s=0.2)
    assert not alive(process)
    until(lambda: not _group(process.pid))


def test_a_later_process_with_the_same_pid_is_left_alone(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "60")
    try:
        stranger = replace(process, born="another boot:17")
        assert not alive(stranger)
        stop([stranger], patience_s=0.2)
        assert alive(process)
    finally:
        stop([process])


def test_one_that_ended_by_itself_is_known_by_its_exit_code(tmp_path: Path) -> None:
    process = start(tmp_path, "sh", "-c", "echo out; echo err >&2; exit 7")
    until(lambda: not alive(process))
    assert exit_code(process) == 7
    assert Path(process.log).read_text() == "out\nerr\n"
    stop([process])


def test_a_tied_process_ends_with_its_parent_even_by_sigkill(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib, msgspec\n"
        "from infra.processes import spawn\n"
        "process = spawn('server', ['sleep', '60'], pathlib.Path(sys.argv[1]), None, tied=True)\n"
        "print(msgspec.json.encode(process).decode(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "log"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        process = msgspec.json.decode(parent.stdout.readline(), type=Process)
        assert alive(process)
        parent.send_signal(signal.SIGKILL)
    until(lambda: not alive(process))


def test_the_end_of_a_log_says_where_it_is(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"first\n" + b"\xff middle\n" * 20 + b"last\n")
    assert tail(log, lines=2) == f"The end of {log}:\n  \ufffd middle\n  last"
    assert "is empty" in tail(tmp_path / "absent.log")


def _group(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    states = [Path(f"/proc/{pid}/stat") for pid in os.listdir("/proc") if pid.isdigit()]
    return any(_runs_in(stat, leader) for stat in states)


def _runs_in(stat: Path, group: int) -> bool:
    try:
        state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(its_group) == group and state not in "ZX"
