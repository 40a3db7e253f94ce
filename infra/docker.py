"""The same two servers as containers, by the compose file beside this module, where a Docker engine answers."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from infra.processes import tail
from tailrace.errors import TailraceError

COMPOSE = Path(__file__).with_name("compose.yaml")
ENGINE_LIMIT_S = 3.0
"""An engine that takes longer to say its version is not used."""
PULL_LIMIT_S = 1800.0


def answers() -> bool:
    """Whether there is a Docker engine, and a client that knows compose files."""
    if shutil.which("docker") is None:
        return False
    try:
        for command in (["docker", "version", "--format", "{{.Server.Version}}"], ["docker", "compose", "version"]):
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=ENGINE_LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def project(folder: Path) -> str:
    """The name under which containers and volumes of `folder` are known: the same each time."""
    return f"tailrace-{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:10]}"


def up(name: str, folder: Path, variables: Mapping[str, str]) -> None:
    """Create and start the containers; they do not answer yet. Raises TailraceError with the end of what compose printed."""
    folder.mkdir(parents=True, exist_ok=True)
    _compose(name, folder, ["up", "--detach", "--quiet-pull"], variables)


def logs(name: str, folder: Path) -> str:
    """The end of what the containers printed."""
    _compose(name, folder, ["logs", "--no-color", "--tail", "15"])
    return tail(folder / "docker.log", lines=30)


def down(name: str, folder: Path, *, delete: bool) -> None:
    """Stop and remove the containers, and with `delete` their data."""
    _compose(name, folder, ["down", *(["--volumes"] if delete else [])])


def _compose(name: str, folder: Path, arguments: list[str], variables: Mapping[str, str] | None = None) -> None:
    log = folder / "docker.log"
    command = ["docker", "compose", "--project-name", name, "--file", str(COMPOSE), "--progress", "plain", *arguments]
    with log.open("wb") as out:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(variables or {})},
            timeout=PULL_LIMIT_S,
        )
    if done.returncode != 0:
        raise TailraceError(f"`{' '.join(command)}` failed (exit code {done.returncode}). {tail(log)}")
