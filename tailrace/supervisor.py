"""Child processes that are kept running: restarted when they die, stopped when we stop, gone when we are killed.

    with Supervisor({"parse": [sys.executable, "-m", "tailrace.cli", "stream", "parse"]}) as children:
        children.run()

Each child leads a session of its own, so a Ctrl-C at the terminal reaches only the supervisor, which passes it on once.
On Linux the kernel kills the children when the supervisor dies (PR_SET_PDEATHSIG), however it dies. That signal follows
the thread that started the child, so one thread, normally the main one, must own a supervisor.
"""

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType

import click

from tailrace.errors import ConfigError, Refused, TailraceError, TooManyDead, Unreachable
from tailrace.signals import ending, handled

FIRST_PAUSE_S = 0.5
"""Before the first restart; doubles with every death."""
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0
"""A child that has lived this long starts again with the first pause."""
DEATHS_ALLOWED = 5
"""This many deaths of one child within a minute are a defect that restarting will not cure."""
KILLED = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP})
"""Return codes of a child that somebody else ended: a person, the system when memory is short. That is no defect of the child."""
GRACE_S = 20.0
"""From SIGTERM to SIGKILL. Faust leaves its consumer group within 10 s."""
TICK_S = 0.5
"""How often `run` asks `until`."""
LONGEST_LINE = 64 * 1024
"""Output without a line feed is passed on after this many bytes."""

_PR_SET_PDEATHSIG = 1
_Preparation = Callable[[], None] | None


def _die_with_parent() -> _Preparation:
    """What a child runs before its program so that the kernel kills it with us; None where the system cannot."""
    try:
        prctl = ctypes.CDLL(None).prctl
    except (AttributeError, OSError, TypeError):
        return None
    parent = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew what to do about it
            os._exit(1)

    return prepare


def _cause(code: int) -> str:
    """`exit code 3` or `SIGKILL`, of a Popen return code."""
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


class _Child:
    """One named command: its process while it runs, and when to start the next."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.command = list(command)
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.start_at: float | None = None
        """When to start it (monotonic seconds); None while it runs and once it has finished."""
        self.ended: int | None = None
        """Exit code of a command that may end and has."""
        self.pause_s = FIRST_PAUSE_S
        self.deaths: deque[float] = deque(maxlen=DEATHS_ALLOWED)
        self.rest = b""
        self.last_line = ""

    def lines(self, data: bytes) -> Iterator[str]:
        """The complete lines that `data` adds; empty `data` gives up the rest."""
        *complete, self.rest = (self.rest + data).split(b"\n")
        if self.rest and (not data or len(self.rest) > LONGEST_LINE):
            complete.append(self.rest)
            self.rest = b""
        for line in complete:
            text = line.decode(errors="replace").rstrip("\r")
            self.last_line = text.strip() or self.last_line
            yield text


class Supervisor:
    """Runs `commands` (name: argv) until told to stop.

    `once` names commands that end by themselves: exit codes 0 and 1 (an error that was reported) are final, and they are
    not started again. `reload` names those that SIGHUP is passed on to; where there are none, it ends all. Everything said, the
    children's output included, goes line by line to `say`, by default to standard error.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        env: Mapping[str, str] | None = None,
        say: Callable[[str], None] | None = None,
        once: Collection[str] = (),
        reload: Collection[str] = (),
    ) -> None:
        self._children = {name: _Child(name, command) for name, command in commands.items()}
        self._env = dict(env) if env is not None else None
        self._say = say or (lambda line: click.echo(line, err=True))
        self._once = frozenset(once)
        self._reload = frozenset(reload)
        self._reload_asked = False
        self._width = max(map(len, commands), default=0)
        self._prepare = _die_with_parent()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._signals = 0
        self._handlers = ExitStack()

    def __enter__(self) -> "Supervisor":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all. From here to the end of `stop`, SIGTERM, SIGHUP and Ctrl-C are ours.

        Raises OSError for what is no program.
        """
        self._handlers.enter_context(handled(self._on_signal, *ending()))
        if self._reload:
            self._handlers.enter_context(handled(self._on_hangup, signal.SIGHUP))
        for child in self._children.values():
            self._launch(child)

    def run(self, until: Callable[[], bool] | None = None) -> bool:
        """Watch over the children until a signal that ends services (False), or until `until()`, asked twice a second, is true (True).

        The children run on; `stop` ends them. Raises what `poll` raises.
        """
        while not self._signals:
            if until is not None and until():
                return True
            self.poll(TICK_S)
        return False

    def poll(self, wait_s: float = 0.0) -> None:
        """Pass on output, notice deaths, restart what is due; returns early when something happens.

        Raises ConfigError, Refused or TooManyDead when a child ended with that exit code, TailraceError when one keeps dying.
        """
        now = time.monotonic()
        due = [child.start_at - now for child in self._children.values() if child.start_at is not None]
        self._pump(max(0.0, min([wait_s, *due])))
        if self._reload_asked:
            self._reload_asked = False
            for name in self._reload:
                self.kill(name, signal.SIGHUP)
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                self._bury(child)
            if child.start_at is not None and time.monotonic() >= child.start_at:
                self._launch(child)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM to all; SIGKILL to what still runs after `grace_s` seconds or at a further Ctrl-C. Returns when all have ended."""
        signals_before = self._signals
        for child in self._children.values():
            child.start_at = None
            self.kill(child.name, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        killed = False
        while running := [child.name for child in self._children.values() if self.pid(child.name)]:
            if not killed and (time.monotonic() >= deadline or self._signals > signals_before):
                self._say(f"killing {', '.join(running)}, which did not stop")
                for name in running:
                    self.kill(name, signal.SIGKILL)
                killed = True
            self._pump(0.1)
        self._release()

    def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to a child and what it started; nothing happens if it does not run."""
        process = self._children[name].process
        if process is not None and process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)

    def pid(self, name: str) -> int | None:
        """Process id of a child; None between its death and its restart."""
        process = self._children[name].process
        return process.pid if process is not None and process.poll() is None else None

    def ended(self, name: str) -> int | None:
        """Exit code of a command of `once` that has ended, 0 or 1; None before."""
        return self._children[name].ended

    def _launch(self, child: _Child) -> None:
        child.start_at, child.started = None, time.monotonic()
        child.process = subprocess.Popen(
            child.command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
            preexec_fn=self._prepare,  # one C call, bound before the fork, so that our threads do not matter
        )
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _pump(self, wait_s: float) -> None:
        """Wait for output, a death (its pipe closes) or a signal, and pass the output on."""
        for key, _ in self._selector.select(wait_s):
            child: _Child | None = key.data
            if child is None:
                os.read(self._wake_read, 1024)
            else:
                self._read(child)

    def _read(self, child: _Child) -> bool:
        """Pass on what the child's pipe holds; False when there is nothing now, or nothing more ever."""
        assert child.process is not None
        assert child.process.stdout is not None
        data = child.process.stdout.read(LONGEST_LINE)
        if data is None:
            return False
        for line in child.lines(data):
            self._say(f"{child.name:<{self._width}} | {line}")
        if not data:
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()
        return bool(data)

    def _close(self, child: _Child) -> None:
        """Read what a dead child left in its pipe, and forget it. A process that it started may hold the pipe open."""
        pipe = child.process.stdout if child.process is not None else None
        while pipe is not None and not pipe.closed and self._read(child):
            pass
        if pipe is not None and not pipe.closed:
            self._selector.unregister(pipe)
            pipe.close()
        child.process = None

    def _release(self) -> None:
        for child in self._children.values():
            self._close(child)
        self._selector.close()
        os.close(self._wake_read)
        self._handlers.close()
        os.close(self._wake_write)

    def _bury(self, child: _Child) -> None:
        assert child.process is not None
        code = child.process.returncode
        self._close(child)
        if child.name in self._once and code in (0, TailraceError.exit_code):
            child.ended = code
            return
        now = time.monotonic()
        self._check_hopeless(child, code, now)
        if now - child.started >= HEALTHY_S or code in KILLED:
            child.pause_s = FIRST_PAUSE_S
        child.start_at = now + child.pause_s
        self._say(f"{child.name} died ({_cause(code)}) after {now - child.started:.0f} s; restarted in {child.pause_s:g} s")
        child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)

    def _check_hopeless(self, child: _Child, code: int, now: float) -> None:
        """Raise where a restart would only repeat the failure. A server that is away (69) is waited for as long as it takes."""
        said = f"; the last it said: {child.last_line}" if child.last_line else ""
        if code == ConfigError.exit_code:
            raise ConfigError(f"{child.name} cannot run with this configuration{said}")
        if code == Refused.exit_code:
            raise Refused(f"{child.name} was refused{said}")
        if code == TooManyDead.exit_code:
            raise TooManyDead(f"{child.name} makes too many dead letters{said}")
        if code == Unreachable.exit_code or code in KILLED:
            return
        child.deaths.append(now)
        if len(child.deaths) == DEATHS_ALLOWED and now - child.deaths[0] <= 60:
            raise TailraceError(f"{child.name} died {DEATHS_ALLOWED} times within a minute, last with {_cause(code)}{said}")

    def _on_signal(self) -> None:
        self._signals += 1
        self._wake()

    def _on_hangup(self) -> None:
        self._reload_asked = True
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b"!")
