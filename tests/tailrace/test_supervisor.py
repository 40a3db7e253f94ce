"""The supervisor: restarts, gives up where that is hopeless, and leaves nothing running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace import supervisor
from tailrace.errors import ConfigError, Refused, TailraceError, TooManyDead
from tailrace.signals import ending
from tailrace.supervisor import Supervisor

LIMIT_S = 20.0


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


SLEEP = python("import time; print('up', flush=True); time.sleep(600)")


def until(condition: Callable[[], bool], children: Supervisor | None = None) -> None:
    """Poll the supervisor until the condition holds."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        if children is None:
            time.sleep(0.02)
        else:
            children.poll(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)


def test_output_is_prefixed_line_by_line() -> None:
    said: list[str] = []
    with Supervisor(
        {"a": python("import sys; print('one'); print('two', file=sys.stderr); sys.stdout.write('rest')")}, say=said.append
    ) as group:
        until(lambda: any("died" in line for line in said), group)
    assert said[:3] == ["a | one", "a | two", "a | rest"]


def test_names_are_aligned() -> None:
    said: list[str] = []
    with Supervisor({"a": SLEEP, "long": SLEEP}, say=said.append) as group:
        until(lambda: len(said) == 2, group)
    assert sorted(said) == ["a    | up", "long | up"]


def test_what_dies_is_restarted_and_said_in_one_line(quick: None) -> None:
    said: list[str] = []
    with Supervisor({"a": SLEEP, "b": SLEEP}, say=said.append) as group:
        first, other = group.pid("a"), group.pid("b")
        until(lambda: len(said) == 2, group)
        group.kill("a", signal.SIGKILL)
        until(lambda: group.pid("a") not in (first, None), group)
        assert group.pid("b") == other
    deaths = [line for line in said if "died" in line]
    assert deaths == ["a died (SIGKILL) after 0 s; restarted in 0.01 s"]


def test_the_pause_doubles_with_every_death(quick: None) -> None:
    said: list[str] = []
    with Supervisor({"a": python("raise SystemExit(3)")}, say=said.append) as group, pytest.raises(TailraceError):
        until(lambda: False, group)
    pauses = [line.rpartition(" in ")[2] for line in said if "died (exit code 3)" in line]
    assert pauses == ["0.01 s", "0.02 s", "0.04 s", "0.08 s"]


def test_a_healthy_life_resets_the_pause(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "HEALTHY_S", 0.0)
    said: list[str] = []
    with Supervisor({"a": python("")}, say=said.append) as group:
        until(lambda: len(said) == 3, group)
    assert {line.rpartition(" in ")[2] for line in said} == {"0.01 s"}


def test_gives_up_on_what_dies_five_times_within_a_minute(quick: None) -> None:
    hopeless = pytest.raises(TailraceError, match="a died 5 times within a minute, last with exit code 3; the last it said: no way")
    with Supervisor({"a": python("print('no way'); raise SystemExit(3)")}) as group, hopeless:
        until(lambda: False, group)


def test_what_somebody_kills_is_restarted_as_often_as_it_takes(quick: None) -> None:
    said: list[str] = []
    with Supervisor({"a": SLEEP}, say=said.append) as group:
        for kills in range(1, 8):
            until(lambda: group.pid("a") is not None, group)
            group.kill("a", signal.SIGKILL)
            until(lambda kills=kills: sum("died (SIGKILL)" in line for line in said) == kills, group)  # type: ignore[misc]
    assert {line.rpartition(" in ")[2] for line in said if "died" in line} == {"0.01 s"}, "there is nothing to wait for"


@pytest.mark.parametrize(("code", "error"), [(78, ConfigError), (77, Refused), (65, TooManyDead)])
def test_gives_up_at_once_on_what_restarting_cannot_cure(code: int, error: type[TailraceError]) -> None:
    commands = {"a": python(f"print('error: the key'); raise SystemExit({code})"), "b": SLEEP}
    with Supervisor(commands) as group, pytest.raises(error, match="error: the key"):
        until(lambda: False, group)


def test_an_unreachable_server_is_no_reason_to_give_up(quick: None) -> None:
    said: list[str] = []
    with Supervisor({"a": python("raise SystemExit(69)")}, say=said.append) as group:
        until(lambda: len(said) > supervisor.DEATHS_ALLOWED, group)


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_may_end_is_not_started_again(code: int) -> None:
    said: list[str] = []
    with Supervisor({"a": python(f"raise SystemExit({code})"), "b": SLEEP}, say=said.append, once={"a"}) as group:
        assert group.run(lambda: group.ended("a") is not None)
        assert group.ended("a") == code
        assert group.pid("a") is None
    assert not [line for line in said if "died" in line]


def test_a_command_that_may_end_is_restarted_when_it_crashes(quick: None, tmp_path: Path) -> None:
    flag = tmp_path / "tried"
    code = f"import os, sys; tried = os.path.exists({str(flag)!r}); open({str(flag)!r}, 'w').close(); sys.exit(0 if tried else 3)"
    with Supervisor({"a": python(code)}, once={"a"}) as group:
        assert group.run(lambda: group.ended("a") == 0)


def test_stop_ends_children_by_sigterm() -> None:
    said: list[str] = []
    code = "import signal, sys, time; signal.signal(15, lambda *_: (print('bye'), sys.exit(0))); print('up'); time.sleep(600)"
    with Supervisor({"a": python(code)}, say=said.append) as group:
        until(lambda: "a | up" in said, group)
    assert said[-1] == "a | bye"


def test_stop_kills_what_ignores_sigterm() -> None:
    said: list[str] = []
    group = Supervisor(
        {"a": python("import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)")}, say=said.append
    )
    group.start()
    until(lambda: "a | up" in said, group)
    pid = group.pid("a")
    group.stop(grace_s=0.2)
    assert pid is not None
    assert not alive(pid)
    assert said[-1] == "killing a, which did not stop"


@pytest.mark.parametrize("number", ending())
def test_run_ends_on_a_signal_and_gives_the_handlers_back(number: int) -> None:
    before = [signal.getsignal(each) for each in ending()]
    with Supervisor({"a": SLEEP}) as group:
        os.kill(os.getpid(), number)
        assert not group.run()
    assert [signal.getsignal(each) for each in ending()] == before


def test_a_command_that_does_not_exist_leaves_nothing_running() -> None:
    group = Supervisor({"a": SLEEP, "b": ["/no/such/program"]})
    with pytest.raises(FileNotFoundError), group:
        pass
    assert group.pid("a") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux kills children with their parent")
def test_kill_9_of_the_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    code = f"""
import sys
from tailrace.supervisor import Supervisor
with Supervisor({{"a": {SLEEP!r}, "b": {SLEEP!r}}}) as group:
    print(group.pid("a"), group.pid("b"), flush=True)
    group.run()
"""
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(alive, pids))
        parent.kill()
    until(lambda: not any(map(alive, pids)))


def test_sighup_reaches_those_that_read_their_configuration_again() -> None:
    said: list[str] = []
    listens = python(
        "import signal, time\nsignal.signal(signal.SIGHUP, lambda *_: print('again', flush=True))\nprint('up', flush=True)\n"
        "while True: time.sleep(0.1)"
    )
    before = signal.getsignal(signal.SIGHUP)
    with Supervisor({"a": listens, "b": SLEEP}, say=said.append, reload={"a"}) as group:
        until(lambda: sorted(said) == ["a | up", "b | up"], group)
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda: "a | again" in said, group)
    assert not [line for line in said if "died" in line]
    assert signal.getsignal(signal.SIGHUP) is before
