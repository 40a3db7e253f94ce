"""Processes that may outlive whoever started them, known by pid and birth so that no stranger is ever signalled."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from infra.account import Account, credentials

PATIENCE_S = 20.0
"""Between SIGTERM and SIGKILL. Kafka takes 0.5 to 6 s to stop, Elasticsearch less."""

_PR_SET_PDEATHSIG = 1


class Process(msgspec.Struct, frozen=True):
    """One that was started here, perhaps by an earlier command. It leads a process group of its own."""

    name: str
    pid: int
    born: str
    """Boot and clock tick of its start: a later process with the same pid has another."""
    log: str
    """Path of what it prints."""


_children: dict[Process, "subprocess.Popen[bytes]"] = {}
"""Started by this very process, which has to wait for them or they stay as zombies."""


def spawn(
    name: str,
    command: Sequence[str | Path],
    log: Path,
    account: Account | None,
    *,
    tied: bool,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Start `command`, its output appended to `log`. `tied`: it is told to stop when the thread that started it ends, even by SIGKILL."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,  # a Ctrl-C on the terminal is for us alone, and we stop it then
            preexec_fn=end_with_parent() if tied else None,
            **credentials(account),
        )
    process = Process(name, child.pid, _birth(child.pid) or "", str(log))
    _children[process] = child
    return process


def alive(process: Process) -> bool:
    child = _children.get(process)
    if child and child.poll() is not None:
        return False
    return _birth(process.pid) == process.born


def exit_code(process: Process) -> int | None:
    """Of a process that this one started and that has ended; negative for the signal that ended it."""
    child = _children.get(process)
    return child.poll() if child else None


def stop(processes: Iterable[Process], patience_s: float = PATIENCE_S) -> None:
    """SIGTERM to all, then SIGKILL to the process groups of those that are still there after `patience_s`."""
    processes = list(processes)
    left = [process for process in processes if alive(process)]
    for process in left:
        _signal(process, signal.SIGTERM, group=False)
    deadline = time.monotonic() + patience_s
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if alive(process)]
    for process in left:
        _signal(process, signal.SIGKILL, group=True)
    while any(alive(process) for process in left):
        time.sleep(0.05)
    for process in processes:
        if child := _children.pop(process, None):
            child.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, indented, with where it is."""
    try:
        text = log.read_text(errors="replace").splitlines()
    except OSError:
        text = []
    shown = "\n".join(f"  {line[:400]}" for line in text[-lines:])
    return f"The end of {log}:\n{shown}" if shown else f"{log} is empty."


def _signal(process: Process, number: int, *, group: bool) -> None:
    with suppress(ProcessLookupError):  # it ended between the look and the signal
        (os.killpg if group else os.kill)(process.pid, number)


def _birth(pid: int) -> str | None:
    """None where no such process runs; a zombie does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before the parenthesis may hold anything
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{ticks}"


def end_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` after which the child gets SIGTERM when the thread that started it ends, however that ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork, after which little is safe
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM)) and None
