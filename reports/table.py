"""What a statistic gives and a renderer takes: named columns and rows."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Unit = Literal["text", "count", "percent", "seconds"]


class Column(NamedTuple):
    name: str
    """Key in JSON and heading in CSV; headings of tables show its underscores as spaces."""
    unit: Unit = "count"


class Table(NamedTuple):
    name: str
    """Key in JSON; unique among the tables of one command."""
    title: str
    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    """One value for each column; None where the events do not say (an unknown country)."""
    left_out: int = 0
    """Rows (or whatever the title ranks) beyond --top."""


def percent(part: float, whole: float) -> float:
    """A share in percent, to two decimals; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def largest(values: Mapping[Any, tuple[Any, ...]], top: int | None) -> tuple[list[tuple[Any, ...]], int]:
    """Rows of key and values, largest first value first, equal ones by key; and how many were left out."""
    ranked = sorted(values.items(), key=lambda item: (-item[1][0], tuple(part or "" for part in item[0])))
    rows = [(*key, *value) for key, value in ranked]
    return (rows, 0) if top is None else (rows[:top], max(0, len(rows) - top))
