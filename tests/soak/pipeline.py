"""What is under fire: `tailrace run`, the process that writes the logs, and the servers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.ledger import Ledger, load
from demo.setup import write_config
from demo.writer import LEDGER
from tailrace import settings
from tests.own_servers import OwnElasticsearch, OwnKafka

WORKERS = 2
"""Of each of parse, sessionize and sink, so that partitions move between them."""
PATIENCE = "300s"
"""A role waits so long for a server that is away."""
LAST_S = 300.0
LOG = "tailrace.log"


class Failed(Exception):
    """Something did not survive."""


class Pipeline:
    """In a folder of its own. Not started yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / LOG
        self.config = write_config(folder)
        self.kafka, self.elasticsearch = OwnKafka(folder / "kafka"), OwnElasticsearch(folder / "elasticsearch")
        with self.config.open("a") as file:
            file.write(f'[kafka]\nbootstrap_servers = "{self.kafka.bootstrap_servers}"\n')
            file.write(f'[elasticsearch]\nurl = "{self.elasticsearch.url}"\n')
        self.settings = settings.load(self.config, {})
        self.run: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Servers and `tailrace run`; nothing is left of them at the end."""
        try:
            self.kafka.start()
            self.elasticsearch.start()
            self.start()
            yield
        finally:
            self.end_run(kill=True)
            self.elasticsearch.stop()
            self.kafka.stop()

    def start(self) -> None:
        """`tailrace run`, which outlives the absence of any server."""
        self.run = self._spawn("run", "--workers", str(WORKERS), "--wait", PATIENCE)

    def end_run(self, *, kill: bool) -> None:
        """Raises Failed where it had ended by itself, or does not end well when asked to."""
        run, self.run = self.run, None
        if run is None:
            return
        ended = run.poll()
        run.kill() if kill else run.terminate()
        code = run.wait(60)
        if ended is not None or (code and not kill):
            raise Failed(f"`tailrace run` ended with exit code {code}:\n{self.said()}")

    def check(self) -> None:
        """Raises Failed where `tailrace run` has given up."""
        if self.run is not None and self.run.poll() is not None:
            self.end_run(kill=True)

    def roles(self) -> dict[int, str]:
        """The role of each running child of `tailrace run`, by pid."""
        found = {}
        if self.run is not None:
            for child in children(self.run.pid):
                words = _read(f"/proc/{child}/cmdline").split("\0")
                role = next((word for word in ("ship", "parse", "sessionize", "sink") if word in words), None)
                if role:
                    found[child] = role
        return found

    def drain(self) -> None:
        """Carry all that is left to the index. Raises Failed where that does not end."""
        if code := self._spawn("run", "--once", "--wait", PATIENCE).wait(LAST_S):
            raise Failed(f"`tailrace run --once` ended with exit code {code}:\n{self.said()}")

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._command(*words), env=_environment(), capture_output=True, text=True, timeout=LAST_S, check=False)

    def ledger(self) -> Ledger:
        return load(self.folder / LEDGER)

    def said(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])

    def _spawn(self, *words: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(self._command(*words), stdout=log, stderr=log, env=_environment())

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tailrace.cli", "--config", str(self.config), *words]


def _environment() -> dict[str, str]:
    """Without the caller's own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}


def children(pid: int) -> list[int]:
    """Of a process: their pids, none where it has gone."""
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> str:
    """Empty for a process that has gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
