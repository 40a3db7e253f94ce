"""The command `tailrace ship`."""

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import click

from producers import figures, inventory
from producers.checkpoint import Entry, Store, peek
from producers.files_cli import folder, host, seal_after_s, table
from producers.inventory import FileState
from producers.notice import Notice
from producers.progress import Progress, size
from producers.publish import Publisher
from producers.recover import recover as recovered
from producers.reload import Fresh, Reloaded, Reloader, check
from producers.ship import Shipper
from schemas.source import Source
from tailrace import kafka, kafka_access, options, signals
from tailrace.errors import TailraceError
from tailrace.monitor import Answers, answered
from tailrace.settings import Settings, load
from tailrace.sources import load_sources
from tailrace.words import amount


@click.command()
@click.option("--once", is_flag=True, help="Ship what is there now and end: exit code 0 only if all of it is acknowledged.")
@click.option(
    "--dry-run", is_flag=True, help="Say what would be shipped of each file, and change nothing; Kafka is asked with --recover only."
)
@click.option("--recover", is_flag=True, help="The state folder was lost: begin after what Kafka holds of this host's files.")
@options.sources
@options.wait
@options.pass_settings
def ship(settings: Settings, once: bool, dry_run: bool, recover: bool, source_names: tuple[str, ...], wait_s: float) -> None:
    """Tail the files of the sources and publish their records to Kafka.

    Goes on where it was stopped: the checkpoint in state_dir/ship covers acknowledged bytes only. SIGTERM and Ctrl-C end it cleanly, with
    what was read delivered. SIGHUP reads the configuration again and takes over sources that come and go, their paths and exclude, and all
    of [ship] but monitor; one that is wrong is refused, and the old one stays.

    --recover reads the raw topics and needs a state folder without checkpoints. With --dry-run it says what would be left to ship.
    """
    names = options.chosen(settings, source_names)
    sources = list(load_sources(settings, names).values())
    check(settings.ship)
    if dry_run:
        entries = _recover(settings, names, peek(folder(settings)), wait_s) if recover else peek(folder(settings))
        _show_plan(inventory.take(sources, host(settings), entries, seal_after_s(settings)))
        return
    with closing(Store(folder(settings))) as store:
        kafka_access.require(kafka.connect(settings.kafka, wait_s), settings.kafka, "ship", names)
        if recover and not store.save(_recover(settings, names, store.load(), wait_s)):
            raise TailraceError(f"cannot write the checkpoint in {folder(settings)}")
        run(settings, sources, store, once=once, load=_loader(settings, source_names))


def run(settings: Settings, sources: list[Source], store: Store, *, once: bool, load: Callable[[], Fresh] | None = None) -> None:
    """Ship until stopped by a signal, or with `once` until all is acknowledged. Topics exist. `load` reads the settings again."""
    reloader = Reloader(settings, load) if load else None

    def reload(now: Sequence[Source]) -> Reloaded | None:
        reloaded = reloader(now) if reloader else None
        if reloaded and not once:
            notice.watch(_patterns(reloaded.sources))
        return reloaded

    publisher = Publisher(settings.kafka, lambda: shipper.stopping)
    shipper = Shipper(sources, host(settings), publisher, store, once=once, settings=settings.ship, reloader=reload)
    notice = Notice(shipper.look)
    with ExitStack() as stack:
        stack.callback(publisher.close)
        stack.enter_context(signals.handled(shipper.stop, signal.SIGTERM, signal.SIGINT))
        stack.enter_context(signals.handled(shipper.reload, signal.SIGHUP))
        answers = Answers(lambda: figures.samples(shipper), lambda: figures.health(shipper))
        stack.enter_context(answered("ship.monitor", settings.ship.monitor, answers))
        if not once:
            stack.callback(notice.close)
            notice.watch(_patterns(sources))
        shipper.run(Progress() if once else None)


def _patterns(sources: Sequence[Source]) -> list[str]:
    return [path for source in sources for path in source.settings.paths]


def _loader(settings: Settings, source_names: Sequence[str]) -> Callable[[], Fresh]:
    """Reads the configuration of this command again. What it gives raises ConfigError where it could not be started with."""
    path: Path | None = click.get_current_context().find_root().obj

    def again() -> Fresh:
        new = load(path)
        names = [name for name in source_names or new.sources if name in new.sources]
        made = load_sources(new, names)
        return Fresh(new, names, lambda added: _with_topics(settings, [made[name] for name in added]))

    return again


def _with_topics(settings: Settings, sources: list[Source]) -> list[Source]:
    if sources:
        kafka.ensure_topics(kafka.connect(settings.kafka), settings.kafka, [source.name for source in sources])
    return sources


def _recover(settings: Settings, names: Sequence[str], known: Sequence[Entry], wait_s: float) -> list[Entry]:
    if known:
        raise TailraceError(
            f"{folder(settings)} holds a checkpoint of {amount(len(known), 'file')}: --recover is for one that was lost; start without it, "
            "or move the folder away first"
        )
    kafka.connect(settings.kafka, wait_s)
    return recovered(settings.kafka, names, host(settings))


def _show_plan(states: Sequence[FileState]) -> None:
    heading = ("source", "path", "from byte", "bytes to ship", "state", "")
    rows = [(one.source, one.path, f"{one.acknowledged:,}", f"{one.lag:,}", one.state, one.note) for one in states if one.state != "gone"]
    table(heading, rows, right={2, 3})
    more = [one for one in states if one.lag and one.state in ("not_started", "growing")]
    click.echo(f"{len(more)} of {amount(len(rows), 'file')} with something to ship: {size(sum(one.lag for one in more))}")
