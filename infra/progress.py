"""Telling a person what takes its time.

Whatever starts servers takes `say`, a function of one line. A line that ends in `…` is still going on, and the next line
replaces it: `Printer` shows it as a live line on a terminal, and seldom in a pipe.
"""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.status import Status

Say = Callable[[str], None]

SELDOM_S = 15.0
"""In a pipe, how often something that is going on is mentioned."""


def seldom(say: Say, every_s: float = SELDOM_S) -> Say:
    """A `say` that mentions what is going on at most every so often, for where lines cannot be replaced."""
    mentioned = float("-inf")

    def thinned(line: str) -> None:
        nonlocal mentioned
        if line.endswith("…"):
            if time.monotonic() - mentioned < every_s:
                return
            mentioned = time.monotonic()
        say(line)

    return thinned


class Printer:
    """A `say` for a terminal or a pipe."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._live: Status | None = None
        self._print = seldom(lambda line: self._console.print(line, markup=False))

    def __call__(self, line: str) -> None:
        if not self._console.is_terminal or not line.endswith("…"):
            self.close()
            self._print(line)
        elif self._live:
            self._live.update(line)
        else:
            self._live = self._console.status(line)
            self._live.start()

    def close(self) -> None:
        """Take the live line off the terminal."""
        if self._live:
            self._live.stop()
            self._live = None
