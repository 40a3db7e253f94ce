"""`tailrace up`, `tailrace down`, `tailrace status`: servers in the background, for as long as they are wanted."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import click
from msgspec.structs import replace

from infra import elasticsearch, kafka, processes
from infra import state as states
from infra.lock import locked
from infra.progress import Printer, Say
from infra.servers import ANY, Options, halt, launch
from infra.state import State, Way
from tailrace.errors import TailraceError, Unreachable
from tailrace.options import pass_settings
from tailrace.settings import Settings

LOOPBACK = {"127.0.0.1", "localhost"}


@click.command()
@click.option("--kafka-port", type=click.IntRange(1, 65535), help="By default that of kafka.bootstrap_servers.")
@click.option("--elasticsearch-port", type=click.IntRange(1, 65535), help="By default that of elasticsearch.url.")
@click.option("--kafka-heap", default=ANY.kafka_heap, show_default=True, metavar="SIZE", help="Kafka's heap.")
@click.option("--elasticsearch-heap", default=ANY.elasticsearch_heap, show_default=True, metavar="SIZE", help="Elasticsearch's heap.")
@click.option("--with", "way", type=click.Choice(["docker", "java"]), help="By default Docker where an engine answers, else Java.")
@pass_settings
def up(
    settings: Settings,
    kafka_port: int | None,
    elasticsearch_port: int | None,
    kafka_heap: str,
    elasticsearch_heap: str,
    way: Way | None,
) -> None:
    """Start a Kafka and an Elasticsearch for this machine.

    They stay in the background until `tailrace down`, with their data in the folder `servers` of state_dir. They are for trying,
    testing and developing: one node each, no security, reachable from this machine only. With Java their programs are fetched once, into
    ~/.cache/tailrace or the folder that TAILRACE_CACHE names.
    """
    folder = _folder(settings)
    say = Printer()
    options = Options(
        kafka_port or _local_port("kafka.bootstrap_servers", f"kafka://{settings.kafka.bootstrap_servers}", "--kafka-port"),
        elasticsearch_port or _local_port("elasticsearch.url", settings.elasticsearch.url, "--elasticsearch-port"),
        kafka_heap,
        elasticsearch_heap,
        way,
    )
    with _alone(folder, say), _stoppable():
        before = states.read(folder)
        if before and not before.stopped:
            if _runs(before):
                say(f"already running: Kafka at {before.bootstrap_servers}, Elasticsearch at {before.url}; `tailrace down` stops them")
                return
            say("starting anew, with the data that is there: not both of the servers that were started before still run")
            halt(before, folder, delete=False)
        state = _launch(folder, say, options)
        say(f"`tailrace down` stops them; data and logs are in {state.place}")
        _say_how_to_reach(settings, state, say)


@click.command()
@click.option("--delete", is_flag=True, help="Delete their data too.")
@pass_settings
def down(settings: Settings, delete: bool) -> None:
    """Stop the servers that `up` started. Their data stays for the next `up`, unless --delete is given."""
    folder = _folder(settings)
    say = Printer()
    with _alone(folder, say):
        state = states.read(folder)
        if state is None or (state.stopped and not delete):
            say(f"nothing to stop: no servers of {folder} run")
            return
        began = time.monotonic()
        halt(state, folder, delete=delete)
        if delete:
            states.forget(folder)
            say("stopped, and their data deleted")
        else:
            states.write(folder, replace(state, stopped=True))
            say(f"stopped Kafka and Elasticsearch in {time.monotonic() - began:.1f} s; their data stays in {state.place}")


@click.command()
@pass_settings
@click.pass_context
def status(ctx: click.Context, settings: Settings) -> None:
    """Show the servers and whether they answer a request: those of `up`, else those of the configuration.

    Exits with 0 when both answer, else with 69.
    """
    state = states.read(_folder(settings))
    if state is None or state.stopped:
        state = State(way="java", bootstrap_servers=settings.kafka.bootstrap_servers, url=settings.elasticsearch.url, place="")
    pids = {process.name: process.pid for process in state.processes if processes.alive(process)}
    rows = (
        ("Kafka", state.bootstrap_servers, kafka.answers(state.bootstrap_servers)),
        ("Elasticsearch", state.url, elasticsearch.answers(state.url)),
    )
    width = max(len(address) for _, address, _ in rows)
    for name, address, answers in rows:
        pid = f"pid {pids[name]}" if name in pids else "ended" if state.processes else state.place or "not ours"
        click.echo(f"{name:<13}  {address:<{width}}  {pid:<12}  {'answers' if answers else 'does not answer'}")
    if not all(answers for _, _, answers in rows):
        ctx.exit(Unreachable.exit_code)


def _folder(settings: Settings) -> Path:
    return Path(settings.state_dir).absolute() / "servers"


def _local_port(key: str, address: str, option: str) -> int:
    """The port of a configured address of this machine."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host not in LOOPBACK or port is None or parts.scheme == "https":
        shown = address.removeprefix("kafka://")
        raise TailraceError(
            f"{key} = {shown}: that is no plain address of this machine, so `tailrace up` cannot provide it; "
            f"`tailrace status` says whether it answers, and {option} starts one here all the same"
        )
    return port


def _launch(folder: Path, say: Say, options: Options) -> State:
    """Start them so that they stay, in the state file from their first moment; `down --delete` finds the data of a failed start too."""
    try:
        return launch(folder, say, options, tied=False, record=lambda state: states.write(folder, state))
    except BaseException:  # launch has stopped what it started
        if known := states.read(folder):
            states.write(folder, replace(known, stopped=True))
        raise


def _runs(state: State) -> bool:
    if state.way == "docker":
        return kafka.answers(state.bootstrap_servers) and elasticsearch.answers(state.url)
    return len(state.processes) == 2 and all(processes.alive(process) for process in state.processes)


def _say_how_to_reach(settings: Settings, state: State, say: Say) -> None:
    if urlsplit(state.url).port != urlsplit(settings.elasticsearch.url).port:
        say(f"to use this Elasticsearch: export TAILRACE_ELASTICSEARCH_URL={state.url}")
    if state.bootstrap_servers.rpartition(":")[2] != settings.kafka.bootstrap_servers.rpartition(":")[2]:
        say(f"to use this Kafka: export TAILRACE_KAFKA_BOOTSTRAP_SERVERS={state.bootstrap_servers}")


@contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """One `up` or `down` at a time in a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TailraceError(f"cannot make {folder}: {error.strerror}; set state_dir to a folder that you can write to") from None
    with locked(folder / "lock", say, "another `tailrace up` or `tailrace down` is at work here; waiting for it"):
        yield


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does, so that what is half started is stopped."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
