"""`tailrace preview`: what a source's block makes of lines, seen before anything is shipped."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import click

from reports import disk
from schemas.common import COMMON_PROPERTIES
from schemas.event import Dead, Event
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import Source
from tailrace.columns import printable
from tailrace.errors import TailraceError
from tailrace.options import chosen, pass_settings
from tailrace.settings import Settings
from tailrace.sources import as_parsed, load_source
from tailrace.words import amount


@click.command()
@click.argument("name", metavar="SOURCE")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False), metavar="[FILE]...")
@click.option("--records", type=click.IntRange(1), default=10_000, show_default=True, metavar="N", help="At most so many of each file.")
@click.option(
    "--show", type=click.IntRange(0), default=1, show_default=True, metavar="N", help="Of each kind and reason, show the first N."
)
@pass_settings
def preview(settings: Settings, name: str, files: tuple[str, ...], records: int, show: int) -> None:
    """Show what SOURCE makes of the records of FILEs: events with their fields, and dead letters with the reason.

    Without FILE, of the source's file that was written last. No server is asked and nothing is shipped; what the stream adds (tags,
    geography, sessions) is not shown. Exit code 0 where every record is an event, else 1.
    """
    (name,) = chosen(settings, (name,), "SOURCE")
    source = as_parsed(load_source(settings, name))
    outcomes = [_preview(source, path, records, show) for path in files or [_newest(source)]]
    if any(outcome.dead for outcome in outcomes):
        click.get_current_context().exit(1)


class Outcome(NamedTuple):
    events: Counter[str]
    """By kind."""
    problems: Counter[str]
    """Fields that were left out, `price:not_a_number`."""
    dead: Counter[str]
    """By reason."""


def _newest(source: Source) -> str:
    """Raises TailraceError where the source has no file."""
    try:
        return max(disk.paths(source.settings), key=os.path.getmtime)
    except ValueError:
        patterns = ", ".join(source.settings.paths) or "none"
        raise TailraceError(f"sources.{source.name}.paths names no file that is there ({patterns}); name a FILE, or mend it") from None


def _preview(source: Source, path: str, most: int, show: int) -> Outcome:
    """Print the first of each kind and reason, and the sums."""
    outcome = Outcome(Counter(), Counter(), Counter())
    read = 0
    for offset, parsed in _parsed(source, path, most):
        read += 1
        for item in parsed:
            if isinstance(item, Event):
                outcome.events[item.kind] += 1
                outcome.problems.update(item.document.get("problems", ()))
                if outcome.events[item.kind] <= show:
                    _show_event(item, offset)
            else:
                outcome.dead[item.reason] += 1
                if outcome.dead[item.reason] <= show:
                    _show_dead(item)
    sums = (amount(read, "record"), amount(outcome.events.total(), "event"), amount(outcome.dead.total(), "dead letter"))
    click.secho(f"{printable(path)}: {', '.join(sums)}", bold=True)
    for what, counts in (("kind", outcome.events), ("left out", outcome.problems), ("dead letter", outcome.dead)):
        for name, count in counts.most_common():
            click.echo(f"  {what} {printable(name) or 'none'}: {count:,}")
    return outcome


def _parsed(source: Source, path: str, most: int) -> Iterator[tuple[int, list[Event | Dead]]]:
    """Offset of each record, and what comes of it. Raises TailraceError for a file that cannot be read."""
    place = Place(file="", host="", path=path, fields=source.settings.fields, encoding=source.settings.encoding)
    clock = LocalClock(source.local_timezone) if source.local_timezone else None
    try:
        for offset, record in islice(disk.records(path, source.record_start), most):
            yield offset, source.parse(record, place, offset, clock)
    except OSError as error:
        raise TailraceError(f"cannot read {path}: {error.strerror}") from None


def _show_event(event: Event, offset: int) -> None:
    time = event.document.get("@timestamp", "without time, so in the index …-undated")
    client = "nobody, so without session" if event.client is None else event.client
    click.secho(f"event at byte {offset:,}: {time}, kind {printable(event.kind)}, client {printable(client)}", fg="green")
    own = {field: value for field, value in event.document.items() if field == "problems" or field not in COMMON_PROPERTIES}
    width = max(map(len, own), default=0)
    for field, value in own.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"  {printable(field).ljust(width)}  {printable(text)}")
    click.echo()


def _show_dead(dead: Dead) -> None:
    text = printable(dead.payload.decode(errors="replace"), keep="\n")
    click.secho(f"dead letter at byte {dead.offset:,}, {dead.reason}: {printable(dead.message)}", fg="red")
    click.echo(f"  {text}\n")
