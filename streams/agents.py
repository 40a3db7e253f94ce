"""Lists of user agents: one regular expression a line, searched for anywhere in the agent."""

import re
from pathlib import Path

from tailrace.watched import listed

STOCK_BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
"""What most people's browser says; a list that matches it would tag everybody."""

LONGEST = 2_048
"""Characters of an agent that are looked at: real ones have a few hundred, and the price of a search grows with the length."""


class Agents:
    """Compiled patterns, tried one after the other.

    One alternation of all patterns is no faster (201 robot patterns on a Chrome agent: 42 us against 37 us one by one, on Googlebot's
    13 us against 1 us), and would let groups, references and flags of one pattern leak into the others.
    """

    def __init__(self, patterns: list[re.Pattern[str]]) -> None:
        self._patterns = patterns
        self._searches = [pattern.search for pattern in patterns]

    @property
    def patterns(self) -> list[tuple[str, int]]:
        """The regular expressions with their flags."""
        return [(pattern.pattern, pattern.flags) for pattern in self._patterns]

    def __contains__(self, agent: str) -> bool:
        agent = agent[:LONGEST]
        return any(search(agent) for search in self._searches)


def read_agents(path: Path, *, ignore_case: bool) -> Agents:
    """The patterns of a file, one a line; blank lines and lines that begin with # are skipped.

    Raises OSError, and ValueError with line and pattern for one that is no regular expression, or that would match everybody: one
    that a stock browser matches, or the empty agent. The latter is allowed where the pattern says so by anchoring both ends, as
    `^.?$` of the COUNTER list does, which means an agent that is missing or a single character.
    """
    return Agents([_compile(number, pattern, ignore_case) for number, pattern in listed(path)])


def _compile(number: int, pattern: str, ignore_case: bool) -> re.Pattern[str]:
    where = f"line {number}: the pattern {pattern!r}"
    try:
        compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{where} is no regular expression: {error}") from None
    if compiled.search("") and not (pattern.startswith("^") and pattern.endswith("$")):
        raise ValueError(f"{where} matches the empty text, so that it would match every agent; look for an alternative that is empty")
    if compiled.search(STOCK_BROWSER):
        raise ValueError(f"{where} matches a stock browser, so that people would be tagged; remove it or make it narrower")
    return compiled
