"""A file on disk against what Kafka holds of it: which one it is, what lacks, what differs. Pure."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice

from reports.disk import DiskFile
from reports.ledger import Account
from schemas.identity import file_id


def identify(found: DiskFile, namesakes: int, accounts: dict[str, Account]) -> str:
    """The id under which Kafka has the file, or will have it.

    Files that begin with the same line (`namesakes` of them on this disk) have ids with ordinals; which one is whose is
    seen by the records that agree.
    """
    candidates = [file_id(found.head)]
    while candidates[-1] in accounts or len(candidates) < namesakes:
        candidates.append(file_id(found.head, len(candidates)))
    return max(candidates, key=lambda id: _agreement(found, accounts.get(id)))


def _agreement(found: DiskFile, account: Account | None) -> int:
    """Records after the first, which is the same for all candidates, that are in Kafka as on disk, less those that differ."""
    if account is None:
        return 0
    score = 0
    for start, end, checksum in islice(found.records(), 1, None):
        shipped = account.record(start)
        if shipped:
            score += 1 if shipped == (end, checksum) else -1
    return score


def altered(found: DiskFile, account: Account | None) -> Iterator[int]:
    """Offsets of records that Kafka holds with the same length and other bytes."""
    if account is None:
        return
    for start, end, checksum in found.records():
        shipped = account.record(start)
        if shipped and shipped.end == end and shipped.checksum != checksum:
            yield start


def covers(spans: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether one of the ordered spans holds all bytes from `start` to `end`."""
    at = bisect_right(spans, (start, 1 << 63)) - 1
    return start == end or (at >= 0 and spans[at][1] >= end)


def lacking(found: DiskFile, spans: list[tuple[int, int]], dead: set[int]) -> list[tuple[int, int]]:
    """Stretches of terminated records that are neither in Kafka whole nor dead letters."""
    gaps: list[tuple[int, int]] = []
    for start, end, _ in found.records():
        if covers(spans, start, end) or start in dead:
            continue
        if gaps and gaps[-1][1] == start:
            gaps[-1] = (gaps[-1][0], end)
        else:
            gaps.append((start, end))
    return gaps


def between(spans: list[tuple[int, int]], dead: set[int]) -> list[tuple[int, int]]:
    """Stretches before and between the spans: all that can be said where the file is not at hand.

    How far a dead letter's record went is not known, so one at the beginning accounts for the whole stretch.
    """
    edges = zip([0, *(end for _, end in spans)], [start for start, _ in spans], strict=False)
    return [(before, after) for before, after in edges if before < after and before not in dead]


def torn_bytes(found: DiskFile, spans: list[tuple[int, int]], dead: set[int]) -> int:
    """Length of the file's unterminated end where it is held back, in neither Kafka nor a dead letter."""
    accounted = found.terminated in dead or covers(spans, found.terminated, found.size)
    return 0 if accounted else found.size - found.terminated
