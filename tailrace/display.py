"""Long work as a person sees it: a live table on a terminal, a plain line every few seconds in a pipe."""

import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import click

from tailrace.progress import Progress
from tailrace.words import amount

RATE_OVER_S = 10.0
"""Rates are averages of this many seconds, long enough to bridge the pauses between two commits."""
REFRESH_S = 0.5


class Row(NamedTuple):
    """One stage. None is shown as an empty cell."""

    stage: str
    done: int
    total: int | None = None
    rate: float | None = None
    """Records a second."""
    dead: int | None = None

    @property
    def lag(self) -> int | None:
        return None if self.total is None else max(0, self.total - self.done)

    @property
    def seconds_left(self) -> float | None:
        return self.lag / self.rate if self.lag and self.rate else None


class Rates:
    """Rates from counts that are told from time to time."""

    def __init__(self) -> None:
        self._past: dict[str, deque[tuple[float, int]]] = {}

    def rate(self, name: str, count: int, now: float) -> float:
        """Increase a second of the named count over the last seconds; 0 until two counts are known."""
        past = self._past.setdefault(name, deque())
        past.append((now, count))
        while len(past) > 2 and past[1][0] <= now - RATE_OVER_S:
            past.popleft()
        then, before = past[0]
        return max(0.0, (count - before) / (now - then)) if now > then else 0.0


def rows(progress: Progress, rates: Rates, now: float) -> list[Row]:
    """The rows of a progress: what is shipped, each stage, what is searchable."""
    dead: dict[str, int] = {}
    for (_, stage, _), count in progress.dead.items():
        dead[stage] = dead.get(stage, 0) + count
    shipped = progress.stages[0].total
    return [
        Row("ship", shipped, rate=rates.rate("ship", shipped, now), dead=dead.get("ship", 0)),
        *(
            Row(stage.name, stage.done, stage.total, rates.rate(stage.name, stage.done, now), dead.get(stage.name, 0))
            for stage in progress.stages
        ),
        Row("searchable", progress.documents, rate=rates.rate("searchable", progress.documents, now)),
    ]


def plain(shown: Sequence[Row]) -> str:
    """One line: `ship 120 · parse 100/120 (50/s, 0:01 left) · … · 3 dead letters`."""
    parts = []
    for row in shown:
        text = f"{row.stage} {row.done:,}" + (f"/{row.total:,}" if row.total is not None else "")
        if row.lag and row.rate:
            text += f" ({row.rate:,.0f}/s, {_clock(row.seconds_left)} left)"
        parts.append(text)
    dead = sum(row.dead or 0 for row in shown)
    return " · ".join([*parts, amount(dead, "dead letter")])


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = int(seconds + 0.5)
    return f"{whole // 60}:{whole % 60:02}" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


class Display:
    """Shows rows and says lines, on standard error. Where rich is missing or nobody watches, rows become plain lines."""

    def __init__(self, title: str, plain_every_s: float) -> None:
        self._title = title
        self._plain_every_s = plain_every_s
        self._plain_said = float("-inf")
        self._live: Any = None
        if sys.stderr.isatty():
            try:
                from rich.console import Console
                from rich.live import Live
            except ModuleNotFoundError:
                return
            self._live = Live(console=Console(stderr=True), refresh_per_second=1 / REFRESH_S, transient=False)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str) -> None:
        """A line that stays, above the table."""
        if self._live:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=True)

    def show(self, shown: Sequence[Row], note: str = "", at_once: bool = False) -> None:
        """Update the table; `note` goes under it. In a pipe a line every few seconds, or `at_once`."""
        if self._live:
            self._live.update(self._table(shown, note))
            return
        now = time.monotonic()
        if at_once or now - self._plain_said >= self._plain_every_s:
            self._plain_said = now
            click.echo(f"{time.strftime('%H:%M:%S')} {note or plain(shown)}", err=True)

    def _table(self, shown: Sequence[Row], note: str) -> Any:
        from rich.table import Table

        table = Table(title=self._title, title_justify="left", caption=note or None, caption_justify="left")
        table.add_column("stage")
        for name in ("done", "of", "lag", "per second", "dead letters", "time left"):
            table.add_column(name, justify="right")
        for row in shown:
            table.add_row(
                row.stage,
                f"{row.done:,}",
                "" if row.total is None else f"{row.total:,}",
                "" if row.lag is None else f"{row.lag:,}",
                "" if row.rate is None else f"{row.rate:,.0f}",
                "" if row.dead is None else f"{row.dead:,}",
                _clock(row.seconds_left),
            )
        return table
