"""kill -9 of every role in mid-flow: after the restart nothing is missing and nothing stands twice."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import MakePipeline, ezcast
from tests.system.pipeline import Pipeline

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(300)]

ROLES = {"ship": ["ship"], "parse": ["stream", "parse"], "sessionize": ["stream", "sessionize"], "sink": ["sink"]}
EVENTS = 6_000
LIMIT_S = 90


def lines(first: int, last: int) -> bytes:
    """Events of a day in order, one a second, by 50 clients."""
    return b"".join(
        b"2016-10-03-%02d:%02d:%02d | session%018d | 10.0.0.%d | student%03d | 3 | view_help\n"
        % (8 + n // 3600, n // 60 % 60, n % 60, n % 50, n % 50 + 1, n % 50)
        for n in range(first, last)
    )


def test_kill_9_of_each_role_in_mid_flow(pipeline: MakePipeline, logs: Path) -> None:
    run = pipeline(ezcast=ezcast(logs))
    trace = logs / "2016-10-03.trace"
    trace.write_bytes(lines(0, 1000))
    processes = {name: run.start(*words) for name, words in ROLES.items()}
    try:
        await_count(run, 1000)
        written = 1000
        for name in ROLES:
            with trace.open("ab") as out:
                for part in range(5):
                    step = (EVENTS - 1000) // (5 * len(ROLES))
                    out.write(lines(written, written + step))
                    out.flush()
                    written += step
                    if part == 2:
                        kill(processes[name])
            processes[name] = run.start(*ROLES[name])
        await_count(run, written)
    finally:
        stop(processes)
    audit = run.audit()
    assert audit["clean"]
    documents = run.documents("ezcast")
    assert len(documents) == written
    sessions = {(document["session"], document["sessionId"]) for document in documents.values()}
    assert len(sessions) == 50, "one session a client, whatever was killed"


def await_count(run: Pipeline, wanted: int) -> None:
    await_that(lambda: len(list(run.hits("ezcast"))) >= wanted, f"{wanted} documents")


def await_that(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {LIMIT_S} s"
        time.sleep(0.3)


def kill(process: "subprocess.Popen[bytes]") -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)


def stop(processes: "dict[str, subprocess.Popen[bytes]]") -> None:
    for process in processes.values():
        process.terminate()
    codes = {name: process.wait(40) for name, process in processes.items()}
    assert set(codes.values()) == {0}, f"a clean stop exits 0: {codes}"
