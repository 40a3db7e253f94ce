"""What a producer says of its files as a whole: what it found, how far it is, what is missing in the end."""

import logging
import time
from collections.abc import Collection, Iterable, Iterator
from heapq import nlargest

from producers.progress import Counts, FileCounts, size
from producers.registry import Registry
from producers.tailed import TailedFile
from schemas.source import Source
from tailrace.words import amount

log = logging.getLogger("tailrace.ship")

LONGEST = 3
"""So many files of a backfill are named, those that have most to go."""


def say_what_was_found(source: Source, found: Collection[TailedFile], *, once: bool) -> None:
    paths = ", ".join(source.settings.paths) or "no paths are configured"
    if found:
        left = sum(max(0, file.size - file.acknowledged) for file in found)
        log.info("%s: %s, %s to ship", source.name, amount(len(found), "file"), size(left))
    elif once:
        log.warning("%s: nothing to ship: no file with a line in it matches %s", source.name, paths)
    else:
        log.info("%s: no file matches yet, waiting for one: %s", source.name, paths)


def counted(files: Iterable[TailedFile], records: int) -> Counts:
    """`records`: acknowledged since the start."""
    present = [file for file in files if not file.replaced]
    done = sum(map(_delivered, present))
    total = sum(file.size for file in present)
    left = nlargest(LONGEST, (file for file in present if _left(file)), key=_left)
    longest = tuple(FileCounts(file.found.path, file.resumed, _delivered(file), file.size) for file in left)
    return Counts(done, total, records, len(present), longest)


class Status:
    """A line in the log now and then, while something is shipped."""

    def __init__(self) -> None:
        self._said = (time.monotonic(), 0)

    def say(self, files: Iterable[TailedFile], records: int) -> None:
        since_s, before = self._said
        if records == before:
            return
        now_s, counts = time.monotonic(), counted(files, records)
        log.info(
            "%s, %.0f records/s, %s acknowledged, %s behind",
            amount(counts.files, "file"),
            (records - before) / (now_s - since_s),
            size(counts.acknowledged),
            size(counts.total - counts.acknowledged),
        )
        self._said = now_s, records


def missing(registry: Registry) -> Iterator[str]:
    """What a backfill has not shipped, file by file."""
    yield from (f"{path}: {why}" for path, why in registry.unreadable.items())
    for file in registry.files:
        if file.failed:
            yield f"{file.found.path}: {file.failed}"
        elif not file.finished or file.batches:
            yield f"{file.found.path}: {size(file.size - file.acknowledged)} from byte {file.acknowledged} on"


def _left(tailed: TailedFile) -> int:
    return tailed.size - _delivered(tailed)


def _delivered(tailed: TailedFile) -> int:
    """Bytes of a file that are done with, a shipped torn end included."""
    return tailed.reader.position if tailed.finished and not tailed.batches else tailed.acknowledged
