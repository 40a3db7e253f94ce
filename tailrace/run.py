"""`tailrace run`: the three roles on one machine under one supervisor, or a backfill that ends."""

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import click

from tailrace import generations, kafka, options, search
from tailrace.display import Display, Rates, rows
from tailrace.errors import Incomplete
from tailrace.progress import Monitor, Progress, Watch
from tailrace.settings import Settings
from tailrace.supervisor import Supervisor
from tailrace.words import amount

PLAIN_EVERY_S = {True: 5.0, False: 60.0}
"""In a pipe, by --once: a person waits for a backfill, but a journal keeps what a service says."""

WORKERS = {"parse": ["stream", "parse"], "sessionize": ["stream", "sessionize"], "sink": ["sink"]}
"""What each role's command is, in the order of the data."""

PRODUCERS = {"ship", "harvest"}
"""Processes that end by themselves in a backfill."""


@click.command()
@click.option("--once", is_flag=True, help="End with exit code 0 when everything that the files hold is searchable or a dead letter.")
@options.sources
@options.wait
@click.option(
    "--timeout",
    "timeout_s",
    type=options.Duration(),
    default="120s",
    show_default=True,
    metavar="DURATION",
    help="With --once: give up, and say what is missing, when nothing has moved for so long.",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N", help="Processes of each of parse, sessionize, sink."
)
@generations.option
@options.pass_settings
def run(
    settings: Settings, once: bool, source_names: tuple[str, ...], wait_s: float, timeout_s: float, workers: int, generation: str | None
) -> None:
    """Ship, stream and sink on this machine under one supervisor, which restarts what dies; and harvest, where a source has a Solr core.

    Runs until SIGTERM or Ctrl-C, and then stops everything. SIGHUP makes the producer read the configuration again (see `tailrace ship
    --help`); the other roles take new sources after a restart. With --once it is a backfill: it ships what the files hold now, follows
    it to the index, and ends.
    """
    names = options.chosen(settings, source_names)
    admin = kafka.connect(settings.kafka, wait_s)
    search.connect(settings.elasticsearch, wait_s).close()
    generation = generations.read(settings.kafka).named(generation).name  # one for all processes, though it be switched meanwhile
    settings = generations.resolve(settings, generation)
    kafka.ensure_topics(admin, settings.kafka, names)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    started = time.monotonic()
    with Display("tailrace run", PLAIN_EVERY_S[once]) as display, Monitor(settings, names) as monitor:
        cores = [name for name in names if settings.sources[name].solr_url]
        processes = commands(names, wait_s, workers, once, generation, cores=cores, all_sources=not source_names)
        ending = PRODUCERS & processes.keys() if once else ()
        supervisor = Supervisor(processes, environment, display.say, once=ending, reload={"ship"})
        backfill = Backfill(timeout_s) if once else None
        with Watch(monitor) as watch, supervisor:
            finished = supervisor.run(_looking(supervisor, watch, display, backfill, PRODUCERS & processes.keys()))
        if backfill is None:
            return
        if not finished:
            raise Incomplete(f"stopped before everything was searchable; {_where(watch.latest)}. Run it again to go on")
        monitor.refresh()
        final = monitor.look()
        display.show(rows(final, Rates(), time.monotonic()), at_once=True)
    if any(supervisor.ended(name) != 0 for name in PRODUCERS & processes.keys()):
        raise Incomplete("not everything could be shipped (see above); all that was shipped is searchable or a dead letter")
    dead = final.dead.total()
    click.echo(
        f"done in {time.monotonic() - started:.0f} s: {amount(final.stages[0].total, 'record')} shipped, "
        f"{amount(final.documents, 'document')} searchable, {amount(dead, 'dead letter')}",
        err=True,
    )


def commands(
    names: Sequence[str],
    wait_s: float,
    workers: int,
    once: bool,
    generation: str,
    *,
    cores: Sequence[str] = (),
    all_sources: bool = False,
) -> dict[str, list[str]]:
    """The processes of a run, by name.

    `cores`: those of the sources to harvest. `all_sources`: the producer ships those that the configuration will name, too.
    """
    ends = ["--once"] if once else []
    found = {"ship": [*_tailrace(), "ship", *ends, *_chosen([] if all_sources else names), "--wait", f"{wait_s}s"]}
    if cores:
        found["harvest"] = [*_tailrace(), "harvest", *ends, *_chosen(cores), "--wait", f"{wait_s}s"]
    return found | worker_commands(WORKERS, names, wait_s, workers, generation)


def worker_commands(roles: Iterable[str], names: Sequence[str], wait_s: float, workers: int, generation: str) -> dict[str, list[str]]:
    """So many processes of each role for a generation, by name."""
    own = [*_chosen(names), "--wait", f"{wait_s}s", "--generation", generation]
    return {
        role if number == 1 else f"{role}-{number}": [*_tailrace(), *WORKERS[role], *own]
        for role in roles
        for number in range(1, workers + 1)
    }


def _tailrace() -> list[str]:
    """This command, with its own --config and --log-level."""
    root = click.get_current_context().find_root()
    config = ["--config", str(root.obj)] if root.obj else []
    return [sys.executable, "-m", "tailrace.cli", *config, "--log-level", root.params.get("log_level", "info")]


def _chosen(names: Sequence[str]) -> list[str]:
    return [word for name in names for word in ("--source", name)]


class Backfill:
    """Decides when a backfill is over, from what is looked at again and again."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._shipped_at: float | None = None
        self._figures: object = None
        self._moved_at: float | None = None

    def over(self, shipped: bool, progress: Progress | None, now: float) -> bool:
        """Whether everything shipped has arrived. Times are monotonic seconds.

        Raises Incomplete when nothing has moved for the time-out.
        """
        if shipped and self._shipped_at is None:
            self._shipped_at = now
        figures = (shipped, progress and progress.figures())
        if self._moved_at is None or figures != self._figures:
            self._figures, self._moved_at = figures, now
        # Figures that were asked for before the producer ended may miss its last records.
        if self._shipped_at is not None and progress is not None and progress.began >= self._shipped_at and progress.drained():
            return True
        if now - self._moved_at > self._timeout_s:
            waiting = _where(progress) if shipped else f"the producer has not finished; {_where(progress)}"
            raise Incomplete(
                f"nothing has moved for {self._timeout_s:.0f} s: {waiting}. Give --timeout more time, or see the messages above"
            )
        return False


def _where(progress: Progress | None) -> str:
    if progress is None:
        return "no figures could be had"
    return progress.missing() or "all that was shipped so far is through"


def _looking(
    supervisor: Supervisor, watch: Watch, display: Display, backfill: Backfill | None, producers: Collection[str]
) -> Callable[[], bool]:
    """What the supervisor asks twice a second: show the figures, and say whether to end."""
    rates = Rates()

    def look() -> bool:
        now = time.monotonic()
        if watch.latest is not None or watch.failure:
            display.show(rows(watch.latest, rates, now) if watch.latest else [], watch.failure or "")
        shipped = backfill is not None and all(supervisor.ended(name) is not None for name in producers)
        return backfill is not None and backfill.over(shipped, watch.latest, now)

    return look
