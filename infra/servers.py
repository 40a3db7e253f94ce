"""Which servers to use: those that are named, else containers of a Docker engine, else Java processes of this machine.

with obtain(settings, folder, say) as servers:
    ... servers.bootstrap_servers, servers.url ...
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from infra import docker, download, elasticsearch, java, kafka, ports, processes
from infra.account import Account, barrier, unprivileged
from infra.progress import Say
from infra.state import State, Way
from tailrace.errors import ConfigError, TailraceError
from tailrace.settings import Elasticsearch, Kafka, Settings

READY_S = 300.0
"""Most that servers may take to answer: 120 s was seen on a machine with five times more work than cores."""

POLL_S = 0.2

ROOTS_DATA = Path("/var/lib/tailrace")
"""For root, where the account that servers run under cannot reach the folder asked for."""

_VARIABLES = ("TAILRACE_KAFKA_BOOTSTRAP_SERVERS", "TAILRACE_ELASTICSEARCH_URL")


class Servers:
    """A Kafka and an Elasticsearch. Those that were started here have answered a request, and end with the `with` block."""

    def __init__(self, bootstrap_servers: str, url: str, how: str, stop: Callable[[], None] = lambda: None) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.url = url
        self.how = how
        """`named`, `docker` or `java`."""
        self._stop = stop

    def stop(self) -> None:
        """Stop what was started, and delete its data. Does nothing to servers that were named."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def named(settings: Settings, environ: Mapping[str, str] = os.environ) -> Servers | None:
    """The servers that the environment or the configuration names, by other addresses than the defaults; None without.

    Raises ConfigError where only one of the two is named: which one to start beside it nobody can guess.
    """
    given = (
        _VARIABLES[0] in environ or settings.kafka.bootstrap_servers != Kafka().bootstrap_servers,
        _VARIABLES[1] in environ or settings.elasticsearch.url != Elasticsearch().url,
    )
    if given == (False, False):
        return None
    if not all(given):
        raise ConfigError("kafka.bootstrap_servers and elasticsearch.url: name both servers, or neither to have them started here")
    return Servers(settings.kafka.bootstrap_servers, settings.elasticsearch.url, "named")


def obtain(settings: Settings, folder: Path, say: Say, environ: Mapping[str, str] = os.environ) -> Servers:
    """The servers that are named, else ones of our own in `folder` on free ports, which end with the calling thread."""
    return named(settings, environ) or start(folder, say)


class Options(NamedTuple):
    """What to start, where it matters; None leaves the choice open."""

    kafka_port: int | None = None
    elasticsearch_port: int | None = None
    kafka_heap: str = "512m"
    elasticsearch_heap: str = "1g"
    way: Way | None = None


ANY = Options()


def start(folder: Path, say: Say, options: Options = ANY) -> Servers:
    """Start both servers with their data in `folder`, on free ports where none are given, and wait until they answer.

    They end when they are stopped, and as Java processes also when the thread that called this ends, however it ends.
    Raises TailraceError, with nothing left running, where they cannot be started.
    """
    state = launch(folder, say, options, tied=True)
    return Servers(state.bootstrap_servers, state.url, state.way, lambda: halt(state, folder, delete=True))


def launch(folder: Path, say: Say, options: Options, *, tied: bool, record: Callable[[State], None] = lambda state: None) -> State:
    """What `start` does; with `tied` false the servers stay when their parent ends.

    `record` is told of each process as soon as it exists, so that even a kill -9 leaves none unknown.
    """
    way = options.way or choose()
    account = unprivileged()
    kafka_port, elasticsearch_port, *inner_ports = ports.free(4)
    kafka_port, elasticsearch_port = options.kafka_port or kafka_port, options.elasticsearch_port or elasticsearch_port
    ports.check(kafka_port, "Kafka", "--kafka-port")
    ports.check(elasticsearch_port, "Elasticsearch", "--elasticsearch-port")
    state = State(
        way=way,
        bootstrap_servers=f"{ports.HOST}:{kafka_port}",
        url=f"http://{ports.HOST}:{elasticsearch_port}",
        place=docker.project(folder) if way == "docker" else str(_reachable(folder, account)),
        processes=[],
    )
    asked = options._replace(kafka_port=kafka_port, elasticsearch_port=elasticsearch_port, way=way)
    try:
        if way == "docker":
            record(state)
            _start_containers(state, folder, say, asked)
        else:
            _start_processes(state, account, say, asked, inner_ports, tied, record)
        _await(state, folder, say)
    except BaseException as error:  # Ctrl-C included
        failed = isinstance(error, TailraceError)
        halt(state, folder, delete=tied and not failed)  # the logs of a failed start stay to be read
        _leave(Path(state.place))
        raise
    return state


def choose() -> Way:
    """Containers where a Docker engine answers, else Java processes. Raises TailraceError where neither is possible."""
    if docker.answers():
        return "docker"
    if sys.platform == "linux":
        return "java"
    raise TailraceError(f"on {sys.platform} the servers are started with Docker, and no Docker engine (with compose) answers; start one")


def halt(state: State, folder: Path, *, delete: bool) -> None:
    """Stop exactly what `state` names, and with `delete` remove its data."""
    if state.way == "docker":
        docker.down(state.place, folder, delete=delete)
        return
    processes.stop(state.processes)
    if delete:
        place = Path(state.place)
        for name in ("kafka", "elasticsearch"):
            shutil.rmtree(place / name, ignore_errors=True)
        _leave(place)


def _start_containers(state: State, folder: Path, say: Say, asked: Options) -> None:
    say("Docker: starting Kafka and Elasticsearch; the first time their images are fetched, about 1 GB …")
    variables = {
        "KAFKA_PORT": str(asked.kafka_port),
        "KAFKA_HEAP": asked.kafka_heap,
        "ELASTICSEARCH_PORT": str(asked.elasticsearch_port),
        "ELASTICSEARCH_HEAP": asked.elasticsearch_heap,
    }
    docker.up(state.place, folder, variables)


def _start_processes(
    state: State, account: Account | None, say: Say, asked: Options, inner_ports: list[int], tied: bool, record: Callable[[State], None]
) -> None:
    jdk = java.find(account)
    programs = download.fetch(download.cache_folder(account), account, say)
    place = Path(state.place)
    say("starting Kafka and Elasticsearch …")

    def started(process: processes.Process) -> None:
        state.processes.append(process)
        record(state)

    # Elasticsearch first, since it takes longer; nothing waits for it here, so the two start side by side.
    node = elasticsearch.Node(port=asked.elasticsearch_port or 0, transport_port=inner_ports[0], heap=asked.elasticsearch_heap)
    started(elasticsearch.start(node, programs.elasticsearch, jdk, place / "elasticsearch", account, tied=tied))
    broker = kafka.Broker(port=asked.kafka_port or 0, controller_port=inner_ports[1], heap=asked.kafka_heap)
    started(kafka.start(broker, programs.kafka, jdk, place / "kafka", account, tied=tied))


def _await(state: State, folder: Path, say: Say) -> None:
    """Return when both have answered a request. Raises TailraceError with the end of a log where one ends, or takes too long."""
    began = said = time.monotonic()
    waiting: dict[str, Callable[[], bool]] = {
        "Kafka": lambda: kafka.answers(state.bootstrap_servers),
        "Elasticsearch": lambda: elasticsearch.answers(state.url),
    }
    while waiting:
        for process in state.processes:
            if not processes.alive(process):
                code = processes.exit_code(process)
                raise TailraceError(f"{process.name} ended while it started (exit code {code}). {processes.tail(Path(process.log))}")
        took = time.monotonic() - began
        if took > READY_S:
            slow = " and ".join(waiting)
            shown = [processes.tail(Path(process.log)) for process in state.processes if process.name in waiting]
            raise TailraceError(f"{slow} did not answer within {READY_S:.0f} s. " + ("\n".join(shown) or docker.logs(state.place, folder)))
        if time.monotonic() - said >= 1:
            said = time.monotonic()
            say(f"waiting for {' and '.join(waiting)}, {took:.0f} s …")
        for name in [name for name, answers in waiting.items() if answers()]:
            del waiting[name]
            say(f"{name} answers at {state.bootstrap_servers if name == 'Kafka' else state.url} after {time.monotonic() - began:.1f} s")
        time.sleep(POLL_S if waiting else 0)


def _reachable(folder: Path, account: Account | None) -> Path:
    """`folder`, or for root a folder of the same use each time that the servers' account can enter."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if barrier(folder, account) is None:
        return folder
    place = ROOTS_DATA / hashlib.sha256(str(folder).encode()).hexdigest()[:10]
    place.mkdir(parents=True, exist_ok=True)
    for each in (place.parent, place):
        each.chmod(0o755)
    return place


def _leave(place: Path) -> None:
    """Undo `_reachable` where the folder holds nothing: no data, and no logs of a start that failed."""
    if place.parent == ROOTS_DATA:
        with suppress(OSError):
            place.rmdir()
