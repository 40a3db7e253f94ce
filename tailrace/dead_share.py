"""A cap on the share of dead letters, so that a broken release stops before it buries a topic.

What must stop a worker and what must not look alike at first: after a bad release nearly every record becomes a dead letter, and
so it does while somebody ships a file of something else by mistake. Stopping for the file would hold up everybody's data for the sake
of one person's slip, whose letters can simply be dropped. Two things tell them apart. A file is one file: letters from at least
`FILES` files are needed. And a letter with the reason `exception` is a defect of a parser, whatever the file holds: those count by
themselves, so that a defect is noticed even where a single live file is all there is.

The sink has no use for the distinction: garbage never reaches it, so what the index refuses in such numbers is always a mistake of types
or of settings. (Patches of documents that are gone do not count: retention deletes documents.)
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from tailrace.errors import TooManyDead
from tailrace.words import amount

RECORDS = 10_000
"""The share is that of the last so many records: some batches, so that a bad patch in a good file passes."""
AT_LEAST = 1_000
"""Before so many records nothing is judged; what a restart buries before it stops again."""
FILES = 3


class Dead(NamedTuple):
    """What counts of a letter."""

    file: bytes
    reason: str


class _Batch(NamedTuple):
    records: int
    dead: list[Dead]


class DeadShare:
    """Counts the records of one stage."""

    def __init__(self, stage: str, source: str, most: float, files: int = FILES) -> None:
        """`source`: one or several, for the message. `most`: the share that is still allowed. `files`: how many must have letters."""
        self._stage, self._source, self._most, self._files = stage, source, most, files
        self._batches: deque[_Batch] = deque()
        self._records = self._dead = 0

    def count(self, records: int, dead: Iterable[Dead]) -> None:
        """A batch of so many records, and which letters they became. Raises TooManyDead, before the batch is acknowledged."""
        batch = _Batch(records, list(dead))
        self._batches.append(batch)
        self._records += records
        self._dead += len(batch.dead)
        while self._records - self._batches[0].records >= RECORDS:
            oldest = self._batches.popleft()
            self._records -= oldest.records
            self._dead -= len(oldest.dead)
        if batch.dead and self._records >= AT_LEAST and self._dead > self._most * self._records:
            self._judge()

    def _judge(self) -> None:
        letters = [letter for batch in self._batches for letter in batch.dead]
        files = len({letter.file for letter in letters})
        reasons = Counter(letter.reason for letter in letters)
        if files < self._files and reasons["exception"] <= self._most * self._records:
            return
        named = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(3))
        raise TooManyDead(
            f"{self._stage}: {self._dead:,} of the last {self._records:,} records of {self._source} became dead letters ({named}), from "
            f"{amount(files, 'file')}: rather a defect of this release or its settings than of the data, so it "
            f"stops. See `tailrace dead list --stage {self._stage}`; mend it and start again, then `tailrace dead retry`; or raise "
            f"max_dead_share, which is {self._most:g} (1 never stops)"
        )
