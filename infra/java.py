"""A JDK that both servers run on."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from infra.account import Account, barrier
from tailrace.errors import TailraceError

OLDEST = 21
NEEDED = frozenset({"jdk.attach", "jdk.jdi", "jdk.jlink"})
"""Modules that Elasticsearch 9 checks for when it starts; a JRE lacks them."""

FOLDERS = (Path("/usr/lib/jvm"), Path("/opt/java"), Path.home() / ".sdkman/candidates/java")
"""Where packages and installers put JDKs, one folder for each."""


class Jdk(NamedTuple):
    home: Path
    version: int

    @property
    def java(self) -> Path:
        return self.home / "bin" / "java"


def find(account: Account | None = None, environ: Mapping[str, str] = os.environ) -> Jdk:
    """The first JDK that will do and that the account can reach: JAVA_HOME, `java` on the PATH, then the newest installed.

    Raises TailraceError listing what was looked at and why it did not do.
    """
    rejected = []
    for home in _candidates(environ):
        found, why = _judge(home, account)
        if found:
            return found
        rejected.append(f"  {home}: {why}")
    seen = "\n".join(["Looked at:", *rejected]) if rejected else "No Java was found."
    raise TailraceError(
        f"Kafka and Elasticsearch need a JDK {OLDEST} or newer (a whole JDK, with {', '.join(sorted(NEEDED))}). "
        f"Install one, or set JAVA_HOME to it, or start a Docker engine. {seen}"
    )


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    homes = [Path(environ["JAVA_HOME"])] if environ.get("JAVA_HOME") else []
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        homes.append(Path(on_path).resolve().parent.parent)
    for folder in FOLDERS:
        if folder.is_dir():
            homes += sorted(folder.iterdir(), key=lambda home: _numbers(home.name), reverse=True)
    seen = set()
    for home in homes:
        real = home.resolve()
        if real not in seen and (real / "bin" / "java").is_file():
            seen.add(real)
            yield real


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _judge(home: Path, account: Account | None) -> tuple[Jdk | None, str]:
    blocked = barrier(home, account)
    if blocked and account:
        return None, f"{account.name} cannot enter {blocked}"
    try:
        listing = subprocess.run([home / "bin" / "java", "--list-modules"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"does not run: {error}"
    modules = dict(line.partition("@")[::2] for line in listing.stdout.split() if "@" in line)
    version = int((_numbers(modules.get("java.base", "")) or [8])[0])  # Java 8 has no modules to list
    if version < OLDEST:
        return None, f"version {version}"
    missing = NEEDED - modules.keys()
    if missing:
        return None, f"lacks {', '.join(sorted(missing))}"
    return Jdk(home, version), ""
