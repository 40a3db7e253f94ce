"""The command `tailrace retention`."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

import click
from elasticsearch import Elasticsearch

from sinks import retention as months
from sinks.retention import Month
from tailrace import options, search
from tailrace.settings import Settings
from tailrace.sources import load_sources
from tailrace.words import amount


@click.command(short_help="Delete the indices of months that a source need not keep.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask, for cron; without a terminal nothing is deleted otherwise.")
@click.option("--force-merge", is_flag=True, help="Then merge the months that are over to one segment per shard, which saves space.")
@options.sources
@options.wait
@options.pass_settings
def retention(settings: Settings, dry_run: bool, yes: bool, force_merge: bool, source_names: tuple[str, ...], wait_s: float) -> None:
    """Delete indices whose whole month is further back than the source's `retention`; for ever by default, then nothing is deleted.

    Of each source: its events by month, and its sessions and views. Events without a time (…-undated) stay, and so does everything
    that is not named as Tailrace names its indices. Raw topics are not touched, so a month can be had again by replay as long as
    kafka.raw_retention keeps its lines; an event of a deleted month that is shipped again makes its index anew.
    """
    chosen = set(options.chosen(settings, source_names))
    sources = load_sources(settings, settings.sources)  # all: those that share an index must agree
    now = datetime.now(UTC)
    with closing(search.connect(settings.elasticsearch, wait_s)) as client:
        every = months.months(client, settings.elasticsearch, sources.values())
        found = [month for month in every if chosen & {source.name for source in month.sources}]
        old = months.expired(found, now)
        _announce(found, old)
        if old and not dry_run and _agreed(yes, f"delete {_indices(old)}?"):
            for month in old:
                months.delete(client, month)
                click.echo(f"deleted {month.name}")
        if force_merge:
            rest = months.mergeable([month for month in found if month not in old], now)
            click.echo(f"{_indices(rest)} of months that are over can be merged")
            if not dry_run:
                _merge(client, rest)


def _merge(client: Elasticsearch, rest: Sequence[Month]) -> None:
    began, done, total = time.monotonic(), 0, sum(month.bytes for month in rest)
    for number, month in enumerate(rest, 1):
        left = (time.monotonic() - began) / done * (total - done) if done else None
        click.echo(f"merging {number} of {len(rest)}, {_one(month)}" + (f"; about {left:.0f} s to go" if left is not None else ""))
        months.merge(client, month)
        done += month.bytes


def _announce(found: Sequence[Month], old: Sequence[Month]) -> None:
    for month in old:
        click.echo(f"expired: {_one(month)}")
    if old:
        click.echo(f"{len(old)} of {_indices(found)} expired: {amount(sum(each.documents for each in old), 'document')}, {_size(old)}")
    else:
        click.echo(f"nothing has expired; there are {_indices(found)}, {_size(found)}")


def _agreed(yes: bool, question: str) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("nothing is deleted: there is no terminal to ask on; give --yes, or --dry-run to look")
    return click.confirm(question)


def _one(month: Month) -> str:
    return f"{month.name}, {amount(month.documents, 'document')}, {_size([month])}"


def _indices(found: Sequence[Month]) -> str:
    return amount(len(found), "index", "indices")


def _size(found: Sequence[Month]) -> str:
    return f"{sum(month.bytes for month in found) / 1_000_000:,.1f} MB"
