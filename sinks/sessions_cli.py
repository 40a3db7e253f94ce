"""`tailrace sessions`: sessions in the index, checked and mended."""

import sys
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

import click

from schemas.source import Source
from sinks.repair import AROUND_MS, DAY_MS, Found, Repair
from tailrace import options, search
from tailrace.errors import ConfigError
from tailrace.options import pass_settings, wait
from tailrace.settings import Settings
from tailrace.sources import load_sources


@click.group()
def sessions() -> None:
    """Sessions and views in the index: check them, repair them."""


@sessions.command(short_help="Compute sessions and views anew from the index; write what differs.")
@options.days("UTC")
@options.sources
@click.option("--dry-run", is_flag=True, help="Change nothing; exit with 1 where something differs.")
@wait
@pass_settings
def repair(
    settings: Settings, start: datetime | None, end: datetime | None, source_names: tuple[str, ...], dry_run: bool, wait_s: float
) -> None:
    """Compute sessions and views anew from the index, by a scan of its events in the order of time, and mend what says something else:
    events, documents of sessions, documents of views.

    The stream needs this only for events that came later than session_days (they are marked late_session); with --dry-run it checks the
    stream's result independently. It may run beside the stream and the sink.
    """
    options.check_days(start, end)
    differing = 0
    sources = load_sources(settings, settings.sources)
    chosen = [name for name in options.chosen(settings, source_names) if sources[name].sessions]
    for name in chosen:
        check_alone(sources[name], sources.values())
    prefix = settings.elasticsearch.index_prefix
    with closing(search.connect(settings.elasticsearch, wait_s)) as client:
        for name in chosen:
            source = sources[name]
            others = {other.index for other in sources.values() if other.index.startswith(f"{source.index}-")}
            pattern = ",".join([f"{prefix}{source.index}-*", *(f"-{prefix}{other}-*" for other in sorted(others))])
            search.say_closed(client, pattern)
            found = Repair(client, pattern, prefix + source.index, source, (_ms(start), _ms(end))).run(Eta(), dry_run)
            click.echo(f"{name}: {in_words(found, dry_run)}")
            differing += found.differing
    if dry_run and differing:
        sys.exit(1)


def check_alone(source: Source, sources: Iterable[Source]) -> None:
    """Raises ConfigError where another source has the same index: an event does not say whose it is."""
    for other in sources:
        if other.index == source.index and other.name != source.name:
            raise ConfigError(
                f"sources.{source.name} and sources.{other.name} share the index {source.index}, so which events are of whose sessions "
                "cannot be seen there: give one of them another `index`, and replay; or name other sources by --source"
            )


def in_words(found: Found, dry_run: bool) -> str:
    parts = [f"{found.events:,} events in {found.sessions:,} sessions, {found.views:,} views", f"{found.differing:,} differ"]
    if found.differing:
        kinds = {"events": found.differing_events, "documents of sessions": found.differing_sessions, "of views": found.differing_views}
        parts[-1] += f" ({', '.join(f'{amount:,} {kind}' for kind, amount in kinds.items())})"
    if not dry_run:
        parts.append(f"{found.repaired:,} repaired")
    if found.changed_meanwhile:
        parts.append(f"{found.changed_meanwhile:,} changed meanwhile: repair again")
    if found.uncertain:
        days = AROUND_MS // DAY_MS
        parts.append(f"{found.uncertain:,} left alone, since their sessions reach {days} days outside: widen --from and --to")
    return "; ".join(parts)


class Eta:
    """Says how far a scan has come, every few seconds."""

    def __init__(self, every_s: float = 5.0) -> None:
        self._every = every_s
        self._began = self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said >= self._every and done:
            self._said = now
            left = (now - self._began) * (total - done) / done
            click.echo(f"{done:,} of {total:,} events looked at, {left:,.0f} s to go", err=True)


def _ms(day: datetime | None) -> int | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp() * 1000)
