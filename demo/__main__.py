"""`python -m demo`: one command from nothing to answers."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click

from demo import dataone
from demo.ledger import Ledger, load
from demo.setup import forget_caller, running_servers, tailrace, write_config
from demo.truth import differences
from demo.writer import LEDGER
from reports.audit import audit_source
from tailrace import kafka, search
from tailrace.display import Display, Rates, Row, rows
from tailrace.errors import TailraceError
from tailrace.progress import Monitor, Progress, Watch
from tailrace.run import Backfill
from tailrace.settings import Settings
from tailrace.supervisor import Supervisor

SECONDS = 30.0
DAY_S = 21 * dataone.HOUR_S
"""The stretch of time that is replayed."""
PLAIN_EVERY_S = 5.0
PATIENCE_S = 60.0
"""The demo fails when nothing has moved for so long."""
LOG = "tailrace.log"
LOG_LINES = 40
REPORTS = (
    ("report", "ezcast", "browsers", "help", "videos", "logins", "--top", "8"),
    ("report", "dataone", "--top", "8"),
)


@click.command()
@click.option("--seconds", type=click.FloatRange(min=5, max=3600), help=f"How long the traffic of a day takes; {SECONDS:g} by default.")
@click.option("--speed", type=click.FloatRange(min=1), metavar="X", help="The same, said otherwise: X times faster than life.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed makes another day.")
@click.option("--keep", is_flag=True, help="Leave servers and data for browsing, and say where they are.")
def main(seconds: float | None, speed: float | None, seed: int, keep: bool) -> None:
    """Write a day of EZCast traces and DataONE events while Tailrace carries them from the files to the index.

    Starts a Kafka and an Elasticsearch (or uses those that TAILRACE_KAFKA_BOOTSTRAP_SERVERS and TAILRACE_ELASTICSEARCH_URL name),
    shows how far each stage is, asks what an administrator would ask, and proves that every line arrived once. Exit code 0 says
    that it did. Ctrl-C stops everything.
    """
    if seconds and speed:
        raise click.UsageError("--seconds and --speed say the same thing: give one of them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    forget_caller()
    folder = Path(tempfile.mkdtemp(prefix="tailrace-demo-"))
    try:
        clean = demonstrate(folder, seconds or (DAY_S / speed if speed else SECONDS), seed, keep)
    except TailraceError:
        _show_log(folder / LOG)
        raise
    except KeyboardInterrupt:
        raise click.Abort from None
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if clean else 1)


def demonstrate(folder: Path, seconds: float, seed: int, keep: bool) -> bool:
    """The demo, in its folder. Returns whether everything arrived once."""
    began = time.monotonic()
    config = write_config(folder)
    with running_servers(config, keep=keep) as (settings, how_to_stop):
        _heading(f"{config}")
        click.echo(config.read_text())
        _heading(f"A day in {seconds:.0f} s: files are written, and followed to the index")
        final = _carry(settings, config, seconds, seed)
        _show_dead_letters(final)
        for words in REPORTS:
            _run(config, *words)
        clean = _audit(settings, config, folder)
        click.echo(f"all in {time.monotonic() - began:.0f} s")
        _show_next_steps(config, settings, how_to_stop if keep else None)
    return clean


def _carry(settings: Settings, config: Path, seconds: float, seed: int) -> Progress:
    """Write, ship, stream and sink until all that was written has arrived. Raises TailraceError when it does not."""
    folder = config.parent
    kafka.ensure_topics(kafka.connect(settings.kafka, 15), settings.kafka, settings.sources)
    search.connect(settings.elasticsearch, 15).close()
    commands = {
        "tailrace": tailrace(config, "run"),
        "writer": [sys.executable, "-m", "demo.writer", str(folder), "--seed", str(seed), "--seconds", str(seconds)],
    }
    with (
        (folder / LOG).open("w") as log,
        Display("the demo", PLAIN_EVERY_S) as display,
        Monitor(settings, settings.sources) as monitor,
    ):
        supervisor = Supervisor(commands, {**os.environ, "PYTHONUNBUFFERED": "1"}, _sayer(log.write, display), once=commands)
        with Watch(monitor) as watch, supervisor:
            finished = supervisor.run(_watching(supervisor, watch, display, folder))
        if not finished:
            raise KeyboardInterrupt
        monitor.refresh()
        final = monitor.look()
        display.show(_rows(load(folder / LEDGER), final, Rates(), time.monotonic()), at_once=True)
    return final


def _sayer(write: Callable[[str], object], display: Display) -> Callable[[str], None]:
    """All that the processes say goes to the log, and what matters to the screen."""

    def say(line: str) -> None:
        write(f"{line}\n")
        if " died (" in line or "ERROR" in line or "error:" in line:
            display.say(line)

    return say


def _watching(supervisor: Supervisor, watch: Watch, display: Display, folder: Path) -> Callable[[], bool]:
    """What the supervisor asks twice a second: show the figures, and say whether all that was written has arrived."""
    rates, backfill = Rates(), Backfill(PATIENCE_S)

    def look() -> bool:
        now = time.monotonic()
        ledger, progress = load(folder / LEDGER), watch.latest
        display.show(_rows(ledger, progress, rates, now), watch.failure or "")
        if supervisor.ended("tailrace") is not None or supervisor.ended("writer") == 1:
            raise TailraceError("a process of the demo ended, see above")
        shipped = ledger.finished and progress is not None and progress.stages[0].total >= ledger.total().records
        return backfill.over(shipped, progress, now)

    return look


def _rows(ledger: Ledger, progress: Progress | None, rates: Rates, now: float) -> list[Row]:
    """From the files to the index: each stage's total is what there is for it now."""
    written = ledger.total()
    first = Row(f"written ({len(ledger.files)} files)", written.records, ledger.planned, rates.rate("written", written.records, now))
    if progress is None:
        return [first]
    shipped, *stages, searchable = rows(progress, rates, now)
    return [
        first,
        shipped._replace(stage="in Kafka", total=written.records),
        *stages,
        searchable._replace(total=written.events),
    ]


def _show_log(log: Path) -> None:
    """The end of what the processes said, since the folder goes."""
    if log.exists():
        _heading("The last that the processes said")
        click.echo("\n".join(log.read_text().splitlines()[-LOG_LINES:]))


def _show_dead_letters(final: Progress) -> None:
    _heading("Dead letters: what nobody could read is kept, with its reason")
    for (source, stage, reason), count in sorted(final.dead.items()):
        click.echo(f"{count:>6}  {source}.dead  {stage}: {reason}")


def _audit(settings: Settings, config: Path, folder: Path) -> bool:
    """Show the audit, and compare it with what the writer knows."""
    clean = _run(config, "audit") == 0
    with closing(search.connect(settings.elasticsearch)) as client:
        audits = [audit_source(settings, name, client, allow_lag=False, settle_s=0, say=lambda _: None) for name in settings.sources]
    ledger = load(folder / LEDGER)
    wrong = differences(ledger, folder, audits)
    for line in wrong:
        click.secho(line, fg="red")
    if not wrong:
        total = ledger.total()
        click.secho(
            f"The writer agrees, file by file: {total.records:,} records written, {total.events:,} events, {total.dead:,} dead letters.",
            fg="green" if clean else None,
        )
    return clean and not wrong


def _run(config: Path, *words: str) -> int:
    _heading(f"tailrace {' '.join(words)}")
    return subprocess.run(tailrace(config, *words), check=False).returncode


def _show_next_steps(config: Path, settings: Settings, how_to_stop: str | None) -> None:
    _heading("What to look at next")
    if how_to_stop is None:
        click.echo("make demo ARGS=--keep        leaves the servers and the data for browsing")
        click.echo("make up && tailrace run      carries your own files: see README.md and tailrace.toml above")
        return
    command = f"tailrace --config {config}"
    prefix = settings.elasticsearch.index_prefix
    click.echo(f"{command} report ezcast views")
    click.echo(f"{command} report dataone sessions --format json")
    click.echo(f"{command} run                 and append lines to the files in {config.parent}")
    click.echo(f"curl '{settings.elasticsearch.url}/{prefix}eventlog-*/_search?pretty&size=1'")
    click.echo(f"{config.parent / LOG} holds what the processes said")
    click.echo(f"To stop:   {how_to_stop}\nTo delete: rm -r {config.parent}")


def _heading(text: str) -> None:
    click.secho(f"\n== {text}", bold=True)


if __name__ == "__main__":
    main(prog_name="python -m demo")
