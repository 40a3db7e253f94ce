"""The commands `tailrace files` and `tailrace rewind`."""

import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import click
import msgspec

from producers import everywhere, inventory
from producers.checkpoint import Store, peek
from producers.inventory import FileState
from producers.progress import clock, size
from producers.rewind import rewind as move_back
from tailrace import kafka, options
from tailrace.errors import TailraceError
from tailrace.settings import Settings, seconds
from tailrace.sources import load_sources
from tailrace.words import amount


@click.command()
@click.option("--all", "everything", is_flag=True, help="Every host's files, by the producers' heartbeats in Kafka.")
@click.option("--without", multiple=True, metavar="HOST", help="With --all: a host that is out of service (repeatable) holds nothing back.")
@click.option("--safe", is_flag=True, help="Only files that may be deleted: with --format paths, one path a line.")
@options.form("table", "json", "paths")
@options.sources
@options.wait
@options.pass_settings
def files(
    settings: Settings, everything: bool, without: tuple[str, ...], safe: bool, style: str, source_names: tuple[str, ...], wait_s: float
) -> None:
    """List files: size, bytes acknowledged, lag, state, and whether they may be deleted.

    Looks at this host's files and checkpoint, without Kafka and without disturbing a producer that runs. A file is safe to delete when
    everything in it is acknowledged, it has not been written for ship.seal_after, and its source has a newer file.

    \b
    not_started  nothing of it is acknowledged
    growing      some of it is not acknowledged, or more is expected
    read         all of it is acknowledged, and nothing more is expected
    sealed       read, and its lines, bytes and hash are on record
    copy         another file, which is the one that is read, holds the same
    gone         no path names it any more
    ignored      it is empty, or older than the source's ignore_older
    unreadable   it cannot be opened, or its content is damaged

    --all shows what the producers of all hosts say: also the offset read, the age of each heartbeat, and for each source the completeness
    watermark, the time before which everything that was written is shipped, with the hosts that hold it back.
    """
    names = options.chosen(settings, source_names)
    if everything:
        if safe or style == "paths":
            raise click.UsageError("--safe and --format paths are about this host's files: leave out --all")
        kafka.connect(settings.kafka, wait_s)
        _show_everywhere([everywhere.read(settings, name, time.time_ns() // 1_000_000, frozenset(without)) for name in names], style)
        return
    states = inventory.take(list(load_sources(settings, names).values()), host(settings), peek(folder(settings)), seal_after_s(settings))
    _show_here([state for state in states if state.safe_to_delete or not safe], style)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--to", "offset", type=click.IntRange(min=0), default=0, show_default=True, metavar="OFFSET", help="Byte to go back to.")
@options.sources
@options.pass_settings
def rewind(settings: Settings, path: Path, offset: int, source_names: tuple[str, ...]) -> None:
    """Send a file again from OFFSET on: move its checkpoint back.

    Stop the producer of this state_dir first. An OFFSET inside a record goes back to the record's start. The next `tailrace ship` sends the
    records from there on again under the same keys, so nothing stands twice in the index. Offsets of a compressed file count its content.
    """
    sources = list(load_sources(settings, options.chosen(settings, source_names)).values())
    try:
        store = Store(folder(settings))
    except TailraceError as error:
        raise TailraceError(f"cannot rewind: {error.message}") from None
    with closing(store):
        done = move_back(store, sources, host(settings), str(path), offset)
    if done.offset != offset:
        click.echo(f"byte {offset} is inside a record: going back to its start")
    click.echo(f"{done.path}: back from byte {done.before} to byte {done.offset}; {size(done.before - done.offset)} will be sent again")


def host(settings: Settings) -> str:
    return settings.host or socket.gethostname()


def folder(settings: Settings) -> Path:
    """Of the checkpoint."""
    return Path(settings.state_dir) / "ship"


def seal_after_s(settings: Settings) -> float:
    return seconds(settings.ship.seal_after, "ship.seal_after")


def _show_here(states: Sequence[FileState], style: str) -> None:
    if style == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(states), indent=2).decode())
    elif style == "paths":
        for state in states:
            click.echo(state.path)
    else:
        heading = ("source", "path", "size", "acknowledged", "lag", "state", "safe to delete", "")
        rows = [
            (
                one.source,
                one.path,
                *_figures(one.size, one.acknowledged, one.lag),
                one.state,
                "yes" if one.safe_to_delete else "no",
                one.note,
            )
            for one in states
        ]
        table(heading, rows, right={2, 3, 4})
        safe = [one for one in states if one.safe_to_delete]
        lag = sum(one.lag for one in states)
        safe_size = size(sum(one.size for one in safe))
        click.echo(f"{amount(len(states), 'file')}, {size(lag)} not acknowledged; {len(safe)} may be deleted, {safe_size}")


def _show_everywhere(found: Sequence[everywhere.Everywhere], style: str) -> None:
    if style == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    heading = ("source", "host", "path", "size", "read", "acknowledged", "lag", "heartbeat", "state")
    rows = [
        (one.source, file.host, file.path, *_figures(file.size, file.read, file.acknowledged, file.lag), age(file.age_s), file.state)
        for one in found
        for file in one.files
    ]
    table(heading, rows, right={3, 4, 5, 6})
    for one in found:
        until = f"everything written before {one.watermark} is shipped" if one.watermark else "not known before when everything is shipped"
        held = "; ".join(f"{held.host}: {held.why}" for held in one.held_by)
        click.echo(f"{one.source}: {amount(len(one.hosts), 'host')}, {until}" + (f"; held back by {held}" if held else ""))


def _figures(*counts: int) -> Iterable[str]:
    return (f"{count:,}" for count in counts)


def age(seconds_ago: float) -> str:
    return f"{clock(seconds_ago)} ago"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], right: set[int]) -> None:
    """Columns aligned by spaces; `right`: those of numbers. What a path says is not trusted with the terminal."""
    grid = [heading, *([_printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    for row in grid:
        cells = (cell.rjust(width) if at in right else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))
        click.echo("  ".join(cells).rstrip())


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
