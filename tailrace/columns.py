"""Plain aligned columns for a terminal or a pipe, for commands that must not need more than click."""

from collections.abc import Sequence

import click


def echo_columns(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below a heading."""
    grid = [heading, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*grid, strict=True)]
    for number, row in enumerate(grid):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(line if number else click.style(line, bold=True))


def printable(text: str, keep: str = "") -> str:
    """What a log line says is not trusted: control characters would reach the terminal. Those of `keep` may."""
    return "".join(letter if letter.isprintable() or letter in keep else "\N{REPLACEMENT CHARACTER}" for letter in text)
