"""`tailrace sessions`: sessions in the index, checked and mended."""

import sys
from contextlib import closing
from datetime import UTC, datetime

import click

from sinks.repair import Eta, Found, Repair
from tailrace import options, search
from tailrace.options import pass_settings, wait
from tailrace.settings import Settings
from tailrace.sources import load_sources


@click.group()
def sessions() -> None:
    """Sessions in the index: check them, repair them."""


@sessions.command(short_help="Compute sessions anew from the index; patch what differs.")
@options.days("UTC")
@options.sources
@click.option("--dry-run", is_flag=True, help="Change nothing; exit with 1 where something differs.")
@wait
@pass_settings
def repair(
    settings: Settings, start: datetime | None, end: datetime | None, source_names: tuple[str, ...], dry_run: bool, wait_s: float
) -> None:
    """Compute sessions anew from the index, by a scan in the order of time, and patch the events that say something else.

    The stream needs this only for events that came later than session_days (they are marked late_session); with --dry-run it checks the
    stream's result independently. It may run beside the stream and the sink.
    """
    options.check_days(start, end)
    differing = 0
    chosen = options.chosen(settings, source_names)
    sources = load_sources(settings, settings.sources)
    prefix = settings.elasticsearch.index_prefix
    with closing(search.connect(settings.elasticsearch, wait_s)) as client:
        for name in chosen:
            source = sources[name]
            others = {other.index for other in sources.values() if other.index.startswith(f"{source.index}-")}
            pattern = ",".join([f"{prefix}{source.index}-*", *(f"-{prefix}{other}-*" for other in sorted(others))])
            if not source.sessions:
                continue
            found = Repair(client, pattern, source, (_ms(start), _ms(end))).run(Eta(lambda line: click.echo(line, err=True)), dry_run)
            click.echo(f"{name}: {in_words(found, dry_run)}")
            differing += found.differing
    if dry_run and differing:
        sys.exit(1)


def in_words(found: Found, dry_run: bool) -> str:
    parts = [f"{found.events:,} events in {found.sessions:,} sessions", f"{found.differing:,} differ"]
    if not dry_run:
        parts.append(f"{found.repaired:,} repaired")
    if found.changed_meanwhile:
        parts.append(f"{found.changed_meanwhile:,} changed meanwhile: repair again")
    if found.uncertain:
        parts.append(f"{found.uncertain:,} left alone, since their sessions begin or end more than a day outside: widen --from and --to")
    return ", ".join(parts)


def _ms(day: datetime | None) -> int | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp() * 1000)
