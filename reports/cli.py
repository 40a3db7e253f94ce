"""`tailrace report`: answers from the index, by source format."""

import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

import click

from reports import index, render, statistics
from reports.queries import Period
from reports.statistics import Statistic
from reports.table import Table
from tailrace import search
from tailrace.options import check_days, days, form, pass_settings, wait
from tailrace.settings import Settings
from tailrace.sources import load_source

TOP = 20
"""Rows of a ranking in a table, as in the lists that EZCast's administrators know."""


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every report takes."""
    for option in (
        wait,
        form("table", "json", "csv"),
        click.option("--top", type=click.IntRange(min=1), metavar="N", help=f"The N largest of a ranking; {TOP} in tables, else all."),
        days("in the source's time zone"),
    ):
        command = option(command)
    return command


def source_option(default: str) -> Callable[..., Any]:
    return click.option("--source", "name", metavar="NAME", help=f"The source of the configuration; by default the first {default}.")


class _Reports(click.Group):
    """Says what to ask of a source, whose name is easily taken for that of a report."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            known = ", ".join(self.list_commands(ctx))
            ctx.fail(f"No such report '{args[0]}'; there are {known}. Of a source of your own: tailrace report events --source {args[0]}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Reports)
def report() -> None:
    """Answer questions from the index: tables, JSON or CSV; every count is exact."""


def _format_command(format: str, statistics_of: Mapping[str, Statistic], text: str) -> None:
    @report.command(format, help=text, short_help=text.partition(": all reports")[0] + ".")
    @click.argument("reports", nargs=-1, type=click.Choice(list(statistics_of)), metavar=f"[{'|'.join(statistics_of)}]...")
    @source_option(f"of format {format}")
    @options
    @pass_settings
    def command(settings: Settings, reports: tuple[str, ...], name: str | None, **asked: Any) -> None:
        chosen = _source(settings, name, format)
        answer(settings, chosen, {report: statistics_of[report] for report in reports or statistics_of}, **asked)


_format_command(
    "ezcast",
    statistics.EZCAST,
    """What EZCast's users do: all reports, or those named.

    \b
    browsers  browser and system of every login, with shares
    help      help page views per day
    videos    most watched videos, by summed playing time
    views     sessions that watched a video for a minute
    watched   most viewed videos: views, viewers and playing time, from the sums that the stream keeps
    logins    logins, different people, addresses of anonymous visitors
    """,
)
_format_command(
    "dataone",
    statistics.DATAONE,
    """How DataONE's data sets are used, without robots: all reports, or those named.

    \b
    usage      views (metadata reads) and downloads (data reads) per data set and month
    sessions   number, events and mean length by month
    countries  views and downloads by country
    counter    investigations and requests, total and unique, as COUNTER counts them
    """,
)


@report.command()
@source_option("one")
@options
@pass_settings
def events(settings: Settings, name: str | None, **asked: Any) -> None:
    """Events per day and kind, of any source."""
    chosen = _source(settings, name, None)
    answer(settings, chosen, {"events": statistics.events(kind_field(settings, chosen))}, **asked)


def answer(
    settings: Settings,
    source: str,
    asked: Mapping[str, Statistic],
    *,
    start: datetime | None,
    end: datetime | None,
    top: int | None,
    style: str,
    wait_s: float,
) -> None:
    """Ask, and print. An index without events is said on standard error, and the answer is empty."""
    check_days(start, end)
    period = Period(start and start.date(), end and end.date(), settings.sources[source].timezone)
    if top is None and style == "table":
        top = TOP
    with closing(search.connect(settings.elasticsearch, wait_s)) as client:
        pattern = index.pattern(settings, source)
        search.say_closed(client, pattern)
        if not index.holds_events(client, pattern):
            click.echo(f"no events of {source} in the index ({pattern}) yet", err=True)
        ask = index.asker(client, pattern, index.summaries(settings, source))
        tables = {name: statistic(ask, period, top) for name, statistic in asked.items()}
    _show(tables, style)


def _show(answers: Mapping[str, list[Table]], style: str) -> None:
    tables = [table for answer in answers.values() for table in answer]
    if style == "json":
        click.echo(render.as_json(tables))
    elif style == "csv":  # one table an answer: those after the first are sums of it
        click.echo(render.as_csv([answer[0] for answer in answers.values()]))
    elif sys.stdout.isatty():
        render.draw(tables, sys.stdout)
    else:
        click.echo(render.as_text(tables))


def kind_field(settings: Settings, source: str) -> str | None:
    """The field of the index that says what happened; None where the source has none that can be grouped."""
    block = settings.sources[source]
    if block.format in ("ezcast", "dataone"):
        return {"ezcast": "action", "dataone": "event.key"}[block.format]
    properties = load_source(settings, source).properties
    return block.kind if block.kind and properties.get(block.kind, {}).get("type") != "text" else None


def _source(settings: Settings, name: str | None, format: str | None) -> str:
    """The source to report on. Raises click.UsageError where there is none such."""
    fitting = [source for source, block in settings.sources.items() if format in (None, block.format)]
    if name is None:
        if not fitting:
            raise click.UsageError(f"no source of format {format} is configured; configured: {', '.join(settings.sources) or 'none'}")
        return fitting[0]
    if name not in fitting:
        raise click.BadParameter(f"{name} is not among the sources it can be: {', '.join(fitting) or 'none'}", param_hint="--source")
    return name
