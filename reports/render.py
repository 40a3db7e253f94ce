"""Tables as text: drawn by rich on a terminal, plain aligned columns in a pipe, JSON, CSV."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import timedelta
from typing import IO, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from reports.table import Column, Table

TEXT_WIDTH = 16
"""What a text is given at least, if it is so long, before it goes on below."""
WIDEST = 10_000


def as_json(tables: Iterable[Table]) -> str:
    """One object: each table's rows as objects under the table's name."""
    return json.dumps({table.name: records(table) for table in tables}, indent=2, ensure_ascii=False)


def records(table: Table) -> list[dict[str, Any]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def as_csv(tables: Iterable[Table]) -> str:
    """A heading and rows for each table; an empty line between tables. None is an empty field."""
    blocks = []
    for table in tables:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(column.name for column in table.columns)
        writer.writerows(table.rows)
        blocks.append(out.getvalue())
    return "\n".join(blocks).removesuffix("\n")


def as_text(tables: Iterable[Table]) -> str:
    """Columns aligned by spaces: for pipes and files, without colours, lines or cuts."""
    return "\n\n".join("\n".join(_plain(table)) for table in tables)


def draw(tables: Iterable[Table], file: IO[str]) -> None:
    """Tables for a person at a terminal, as wide as it is: long texts go on below, figures stay whole.

    What needs more width than there is even so, stands as in a pipe, and the terminal breaks its lines.
    """
    console = Console(file=file, highlight=False)
    for table in tables:
        drawn = _drawn(table) if table.rows else Text(f"{table.title}: none\n")
        fits = console.measure(drawn, options=console.options.update(max_width=WIDEST)).minimum <= console.width
        if fits:
            console.print(drawn)
        else:
            console.print(Text("\n".join(_plain(table)) + "\n"), soft_wrap=True)


def _drawn(table: Table) -> RichTable:
    grid = [_cells(table, row) for row in table.rows]
    drawn = RichTable(
        title=table.title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption=_more(table),
        caption_justify="left",
    )
    for column, cells in zip(table.columns, zip(*grid, strict=True), strict=True):
        longest = max(map(cell_len, cells))
        if column.unit == "text":
            drawn.add_column(_heading(column), overflow="fold", min_width=min(TEXT_WIDTH, longest))
        else:
            drawn.add_column(_heading(column), justify="right", no_wrap=True)
    for row in grid:
        drawn.add_row(*map(Text, row))
    return drawn


def _plain(table: Table) -> Iterable[str]:
    yield table.title
    if not table.rows:
        yield "  none"
        return
    grid = [[_heading(column) for column in table.columns], *(_cells(table, row) for row in table.rows)]
    widths = [max(map(cell_len, cells)) for cells in zip(*grid, strict=True)]
    for cells in grid:
        yield "  ".join(["", *map(_pad, cells, widths, table.columns)]).rstrip()
    more = _more(table)
    if more:
        yield f"  {more}"


def _pad(text: str, width: int, column: Column) -> str:
    space = " " * (width - cell_len(text))
    return text + space if column.unit == "text" else space + text


def _heading(column: Column) -> str:
    return column.name.replace("_", " ")


def _cells(table: Table, row: tuple[Any, ...]) -> list[str]:
    return [_cell(value, column) for value, column in zip(row, table.columns, strict=True)]


def _cell(value: Any, column: Column) -> str:
    """A value for a person. What a log line says is not trusted: control characters would reach the terminal."""
    if value is None:
        return "(none)"
    if column.unit == "percent":
        return f"{value:.1f} %"
    if column.unit == "seconds":
        return str(timedelta(seconds=round(value))) if value < 86_400 else f"{value / 3600:,.0f} h"
    if column.unit == "count":
        return f"{value:,}"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value)) or '""'


def _more(table: Table) -> str | None:
    return f"{table.left_out:,} more; --top shows them" if table.left_out else None
