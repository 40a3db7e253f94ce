"""`tailrace replay compare`."""

import json
import sys
from contextlib import closing
from datetime import datetime
from typing import Any

import click

from reports import render
from reports.cli import kind_field
from reports.compare import Comparison
from reports.compare import compare as compared
from reports.queries import Period
from tailrace import generations, kafka, options, search
from tailrace.errors import TailraceError
from tailrace.settings import Settings


@click.command(short_help="Compare two generations: events per day and kind.")
@click.argument("name")
@click.option("--with", "other", metavar="NAME", help="The generation to compare with; by default the one that users see.")
@options.days("in the source's time zone")
@click.option("--all", "all_groups", is_flag=True, help="Days and kinds without a difference, too.")
@options.form("table", "json")
@options.sources
@options.wait
@options.pass_settings
def compare(
    settings: Settings,
    name: str,
    other: str | None,
    start: datetime | None,
    end: datetime | None,
    all_groups: bool,
    style: str,
    source_names: tuple[str, ...],
    wait_s: float,
) -> None:
    """Compare the generation NAME with another: events per day and kind, and where they differ.

    While live data comes in, the last seconds of the two may differ; a day that is over does not.
    """
    options.check_days(start, end)
    kafka.connect(settings.kafka, wait_s)
    known = generations.read(settings.kafka)
    names = known.named(other).name, known.named(name).name
    if names[0] == names[1]:
        raise TailraceError(
            f"that is {name} twice: users see generation {known.current.name}; name another, there are {', '.join(known.by_name)}"
        )
    with closing(search.connect(settings.elasticsearch, wait_s)) as client:
        found = [
            compared(client, settings, known, source, names, _period(settings, source, start, end), kind_field(settings, source))
            for source in options.chosen(settings, source_names)
        ]
    if style == "json":
        click.echo(json.dumps(list(map(as_json, found)), indent=2, ensure_ascii=False))
        return
    tables = [comparison.table(all_groups=all_groups) for comparison in found]
    if sys.stdout.isatty():
        render.draw(tables, sys.stdout)
    else:
        click.echo(render.as_text(tables))
    same = not any(comparison.different for comparison in found)
    click.secho("no difference" if same else "they differ", fg="green" if same else "yellow", bold=True)


def _period(settings: Settings, source: str, start: datetime | None, end: datetime | None) -> Period:
    return Period(start and start.date(), end and end.date(), settings.sources[source].timezone)


def as_json(found: Comparison) -> dict[str, Any]:
    """Stable keys; the groups that differ."""
    old, new = found.totals()
    differences = [
        {"day": group.day, "kind": group.kind, "old": found.counts[group][0], "new": found.counts[group][1]} for group in found.different
    ]
    return {
        "source": found.source,
        "old": {"generation": found.old, "events": old},
        "new": {"generation": found.new, "events": new},
        "same": not found.different,
        "differences": differences,
    }
