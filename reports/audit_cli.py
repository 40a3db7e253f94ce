"""`tailrace audit`: the proof that every record of every file arrived once, as a table or JSON, and an exit code."""

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing

import click
import msgspec
from rich.console import Console

from reports import render
from reports.audit import audit_source
from reports.findings import MEANING, FileAudit, Named, SourceAudit, as_builtins
from reports.table import Column, Table
from schemas.place import is_file
from tailrace import generations, kafka, search
from tailrace.options import Duration, chosen, form, pass_settings, sources, wait
from tailrace.settings import Settings
from tailrace.words import amount

MANY_FILES = 40
"""With more files than this, tables show only those that are not clean; JSON has all."""

COLUMNS = ("bytes", "records", "shipped", "events", "indexed", "dead", "missing", "double")
RETENTION = ("beyond_retention_bytes", "beyond_retention_documents", "beyond_retention_dead_letters")
SELDOM = ("repeated", "torn_bytes", *RETENTION)
"""Shown where there is any."""


@click.command()
@sources
@click.option("--allow-lag", is_flag=True, help="Bytes at the end of files that are not in Kafka yet are no fault: files are growing.")
@click.option(
    "--settle",
    "settle_s",
    type=Duration(),
    default="5s",
    show_default=True,
    metavar="DURATION",
    help="Wait this long for the next event to reach the index before events on their way are called missing.",
)
@form("table", "json")
@wait
@pass_settings
def audit(settings: Settings, source_names: tuple[str, ...], allow_lag: bool, settle_s: float, style: str, wait_s: float) -> None:
    """Compare the files of this host, Kafka and the index, and name what is missing or double.

    Exit code 0: clean, every record of every file is in Kafka, and every event of it in the index once or in a dead letter. 1: not
    clean. The index and the dead letters are those of the current generation. Files that are no longer on this disk are checked from
    Kafka on. What a raw topic's retention has deleted is counted and no fault. Nothing is changed.
    """
    kafka.connect(settings.kafka, wait_s)
    # Users see the current generation under the first one's names, but its dead letters stand on topics of their own.
    settings = msgspec.structs.replace(settings, kafka=generations.resolve(settings, None).kafka)
    with closing(search.connect(settings.elasticsearch, wait_s)) as client, _Progress() as progress:
        audits = [
            audit_source(settings, name, client, allow_lag=allow_lag, settle_s=settle_s, say=progress)
            for name in chosen(settings, source_names)
        ]
    if style == "json":
        click.echo(json.dumps(as_builtins(audits), indent=2, ensure_ascii=False))
    else:
        for found in audits:
            _show(found)
    if not all(found.clean for found in audits):
        click.get_current_context().exit(1)


def _show(found: SourceAudit) -> None:
    tables = [_files(found), *([_problems(found.problems)] if found.problems else [])]
    if sys.stdout.isatty():
        render.draw(tables, sys.stdout)
    else:
        click.echo(render.as_text(tables))
    click.secho(_verdict(found) + "\n", fg="green" if found.clean else "red", bold=True)


def _files(found: SourceAudit) -> Table:
    few = len(found.files) <= MANY_FILES
    shown = found.files if few else [file for file in found.files if not file.clean]
    folder = _folder(shown)
    figures = (*COLUMNS, *(name for name in SELDOM if found.totals[name]))
    rows = [_row(file, folder, figures) for file in shown]
    rows.append(("all files", *(found.totals[name] for name in figures), " "))
    title = f"{found.source}: {amount(len(found.files), 'file')}" + ("" if few else f", of which {len(shown):,} are not clean")
    title += f", below {folder}" if folder else ""
    return Table("files", title, (Column("path", "text"), *map(Column, figures), Column("clean", "text")), rows)


def _folder(files: Sequence[FileAudit]) -> str:
    """The folder that all are below; empty where there is none."""
    try:
        return os.path.commonpath([os.path.dirname(file.path) for file in files])
    except ValueError:  # no files, or one that is known by a relative path
        return ""


def _row(file: FileAudit, folder: str, figures: Sequence[str]) -> tuple[object, ...]:
    path = os.path.relpath(file.path, folder) if folder else file.path
    if not file.on_disk and is_file(file.path):
        path += " (not on this disk)"
    return (path, *(getattr(file, name) for name in figures), "yes" if file.clean else "NO")


def _problems(problems: list[Named]) -> Table:
    columns = tuple(Column(name, "text") for name in ("problem", "where", "meaning"))
    return Table(
        "problems",
        "Problems (the first of each kind)",
        columns,
        [(named.problem, _where(named), MEANING[named.problem]) for named in problems],
    )


def _where(named: Named) -> str:
    place = named.path or named.file or ""
    if named.offset is not None:
        place += f" @ {named.offset}" + (f" to {named.end}" if named.end is not None else "")
    parts = [place, f"id {named.id}" if named.id else "", f"in {', '.join(named.indices)}" if named.indices else "", named.message or ""]
    return ", ".join(part for part in parts if part)


def _verdict(found: SourceAudit) -> str:
    sums = found.totals
    if found.clean:
        lag = f"; {sums['not_shipped_bytes']:,} bytes not shipped yet" if sums["not_shipped_bytes"] else ""
        events = f"{amount(sums['events'], 'event')}, {sums['indexed']:,} in the index once"
        return f"clean: {amount(sums['files'], 'file')}, {events}, {amount(sums['dead'], 'dead letter')}{lag}{_beyond_retention(found)}"
    faults = {
        "events missing": sums["missing"],
        "events double": sums["double"],
        "dead letters missing": sums["dead_letters_missing"],
        "records altered": sums["altered"],
        "seals broken": sums["seals_broken"],
        "bytes missing in Kafka": sums["missing_bytes"],
        "bytes not shipped yet": sums["not_shipped_bytes"],
        "events of the core not harvested": found.not_harvested,
        "foreign documents": found.foreign,
        "records without a place": found.no_place,
        "unreadable files or cores": found.unreadable,
    }
    return "NOT clean: " + ", ".join(f"{count:,} {what}" for what, count in faults.items() if count) + _beyond_retention(found)


def _beyond_retention(found: SourceAudit) -> str:
    size, documents, letters = (found.totals[name] for name in RETENTION)
    if not found.deleted_records and not letters:
        return ""
    gone = f"{found.deleted_records:,} records were deleted from Kafka by retention"
    return f"; {gone}: {size:,} bytes of files, {documents:,} documents and {letters:,} dead letters cannot be proven any more"


class _Progress:
    """Shows how far a long audit is: a live line on a terminal, a line now and then in a pipe; nothing for a short one."""

    FIRST_S, NEXT_S = 2.0, 10.0

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._live = self._console.status("")
        self._next = time.monotonic() + self.FIRST_S

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        if self._console.is_terminal:
            self._live.start()
            self._live.update(line)
        else:
            self._console.print(line, soft_wrap=True)
            self._next = now + self.NEXT_S
