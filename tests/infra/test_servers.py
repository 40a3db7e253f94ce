"""Which servers are used, and what happens to what was started when a start fails."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import docker, download, elasticsearch, java, kafka, ports, servers
from infra.processes import Process, alive, spawn
from infra.state import State
from tailrace.errors import ConfigError, TailraceError
from tailrace.settings import Elasticsearch, Kafka, Settings

KAFKA, URL = "TAILRACE_KAFKA_BOOTSTRAP_SERVERS", "TAILRACE_ELASTICSEARCH_URL"

DOCKER = """#!/bin/sh
echo "$@" >> {calls}
env | grep -E '^(KAFKA|ELASTICSEARCH)_' | sort >> {calls}
{behaviour}
"""


class FakeDocker:
    def __init__(self, folder: Path) -> None:
        self.program = folder / "docker"
        self.calls = folder / "calls"
        self.behave("")

    def behave(self, behaviour: str) -> None:
        self.program.write_text(DOCKER.format(calls=self.calls, behaviour=behaviour))
        self.program.chmod(0o755)

    def said(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return FakeDocker(folder)


def test_without_names_servers_are_started() -> None:
    assert servers.named(Settings(), {}) is None


@pytest.mark.parametrize("environ", [{}, {KAFKA: "named by it", URL: "as well"}])
def test_named_servers_are_used_and_never_stopped(environ: dict[str, str]) -> None:
    settings = Settings(kafka=Kafka(bootstrap_servers="k:1"), elasticsearch=Elasticsearch(url="http://e:2"))
    found = servers.named(settings, environ)
    assert found
    assert (found.bootstrap_servers, found.url, found.how) == ("k:1", "http://e:2", "named")
    found.stop()


def test_the_defaults_named_by_the_environment_are_named() -> None:
    found = servers.named(Settings(), {KAFKA: "127.0.0.1:9092", URL: "http://127.0.0.1:9200"})
    assert found
    assert found.bootstrap_servers == "127.0.0.1:9092"


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        (Settings(kafka=Kafka(bootstrap_servers="k:1")), {}),
        (Settings(elasticsearch=Elasticsearch(url="http://e:2")), {}),
        (Settings(), {KAFKA: "127.0.0.1:9092"}),
    ],
)
def test_one_named_server_without_the_other_is_an_error(settings: Settings, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="name both servers, or neither"):
        servers.named(settings, environ)


def test_docker_is_used_where_an_engine_and_compose_answer(fake_docker: FakeDocker) -> None:
    assert servers.choose() == "docker"
    assert [line.split()[0] for line in fake_docker.said()] == ["version", "compose"]


@pytest.mark.parametrize("behaviour", ["exit 1", '[ "$1" = version ] || exit 1', "exec sleep 30"])
def test_java_is_used_where_no_engine_or_no_compose_answers_in_time(
    fake_docker: FakeDocker, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "ENGINE_LIMIT_S", 0.3)
    fake_docker.behave(behaviour)
    assert servers.choose() == "java"


def test_java_is_used_where_docker_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert servers.choose() == "java"
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(TailraceError, match=r"on darwin .* Docker"):
        servers.choose()


def test_containers_get_their_ports_and_go_with_their_data(
    fake_docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "answers", lambda address: True)
    monkeypatch.setattr(elasticsearch, "answers", lambda url: True)
    kafka_port, elasticsearch_port = ports.free(2)
    options = servers.Options(kafka_port, elasticsearch_port, kafka_heap="300m", elasticsearch_heap="700m")
    with servers.start(tmp_path / "servers", print, options) as found:
        assert found.how == "docker"
        assert found.bootstrap_servers == f"127.0.0.1:{kafka_port}"
    name = docker.project(tmp_path / "servers")
    said = fake_docker.said()
    start = next(line for line in said if "up --detach" in line)
    assert f"--project-name {name} --file {docker.COMPOSE}" in start
    assert said[said.index(start) + 1 :][:4] == [
        "ELASTICSEARCH_HEAP=700m",
        f"ELASTICSEARCH_PORT={elasticsearch_port}",
        "KAFKA_HEAP=300m",
        f"KAFKA_PORT={kafka_port}",
    ]
    assert said[-1].endswith("down --volumes")


def test_containers_that_do_not_start_are_removed_and_compose_is_quoted(fake_docker: FakeDocker, tmp_path: Path) -> None:
    fake_docker.behave('case "$*" in *"up --detach"*) echo "no space left"; exit 17;; esac')
    with pytest.raises(TailraceError, match=r"exit code 17(?s:.*)no space left"):
        servers.start(tmp_path / "servers", print)
    assert fake_docker.said()[-1].endswith("down")


def test_the_compose_file_says_what_the_code_says() -> None:
    text = docker.COMPOSE.read_text()
    for key, value in kafka.SETTINGS.items():
        variable = "KAFKA_" + key.upper().replace(".", "_")
        assert f"      {variable}: {value}\n" in text or f'      {variable}: "{value}"\n' in text, key
    assert f"image: apache/kafka:{download.KAFKA}\n" in text
    assert f"elasticsearch:{download.ELASTICSEARCH}\n" in text
    heaps = servers.Options()
    assert f"${{KAFKA_HEAP:-{heaps.kafka_heap}}}" in text
    assert f"-Xmx${{ELASTICSEARCH_HEAP:-{heaps.elasticsearch_heap}}}" in text


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
    """No real servers: two that sleep, and a list of them."""
    started: list[Process] = []

    def sleeper(*_: object, **__: object) -> Process:
        started.append(spawn("Kafka" if started else "Elasticsearch", ["sleep", "60"], tmp_path / f"{len(started)}.log", None, tied=True))
        return started[-1]

    monkeypatch.setattr(java, "find", lambda account: None)
    monkeypatch.setattr(download, "fetch", lambda cache, account, say: download.Programs(tmp_path, tmp_path))
    monkeypatch.setattr(elasticsearch, "start", sleeper)
    monkeypatch.setattr(kafka, "start", sleeper)
    yield started
    assert not any(alive(process) for process in started)


JAVA = servers.Options(way="java")


def test_a_server_that_does_not_answer_in_time_takes_the_other_with_it(
    programs: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "READY_S", 0.3)
    monkeypatch.setattr(elasticsearch, "answers", lambda url: True)
    monkeypatch.setattr(kafka, "answers", lambda address: False)
    with pytest.raises(TailraceError, match="Kafka did not answer within"):
        servers.start(tmp_path / "servers", print, JAVA)
    assert len(programs) == 2


def test_a_server_that_ends_takes_the_other_with_it_and_its_log_is_shown(
    programs: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["sh", "-c", "echo cannot bind; exit 3"]
    monkeypatch.setattr(kafka, "start", lambda *_, **__: spawn("Kafka", command, tmp_path / "kafka.log", None, tied=True))
    monkeypatch.setattr(elasticsearch, "answers", lambda url: False)
    monkeypatch.setattr(kafka, "answers", lambda address: False)
    with pytest.raises(TailraceError, match=r"Kafka ended while it started \(exit code 3\)(?s:.*)cannot bind"):
        servers.start(tmp_path / "servers", print, JAVA)
    assert len(programs) == 1


def test_ctrl_c_while_waiting_leaves_nothing(programs: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(kafka, "answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        servers.start(tmp_path / "servers", print, JAVA)
    assert len(programs) == 2


def test_each_process_is_recorded_before_the_next_is_started(
    programs: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elasticsearch, "answers", lambda url: True)
    monkeypatch.setattr(kafka, "answers", lambda address: True)
    recorded: list[list[str]] = []

    def record(state: State) -> None:
        recorded.append([process.name for process in state.processes])

    folder = tmp_path / "servers"
    state = servers.launch(folder, print, JAVA, tied=True, record=record)
    servers.halt(state, folder, delete=True)
    assert recorded == [["Elasticsearch"], ["Elasticsearch", "Kafka"]]


def test_a_taken_port_is_an_error_before_anything_is_started(programs: list[Process], tmp_path: Path) -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TailraceError, match=f"port {port} "):
            servers.start(tmp_path, print, JAVA._replace(elasticsearch_port=port))
    assert programs == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands servers to another account")
def test_roots_data_goes_where_the_servers_account_can_enter(
    programs: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elasticsearch, "answers", lambda url: True)
    monkeypatch.setattr(kafka, "answers", lambda address: True)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    state = servers.launch(closed, print, JAVA, tied=True)
    place = Path(state.place)
    assert place.parent == servers.ROOTS_DATA
    assert place.is_dir()
    servers.halt(state, closed, delete=True)
    assert not place.exists()
