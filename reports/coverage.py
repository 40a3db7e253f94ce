"""A file on disk against what Kafka holds of it: which one it is, what lacks, what differs. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from reports.disk import DiskFile
from reports.ledger import Account
from schemas.identity import file_id


def identify(found: DiskFile, files: Iterable[DiskFile], accounts: dict[str, Account]) -> str:
    """The id under which Kafka has the file.

    Files that begin with the same line have ids with ordinals; which one is whose is seen by the records that agree.
    """
    namesakes = sum(other.head == found.head for other in files)
    ordinal, candidates = 0, []
    while (id := file_id(found.head, ordinal)) in accounts or ordinal < namesakes:
        candidates.append(id)
        ordinal += 1
    return max(candidates, key=lambda id: _agreement(found, accounts.get(id)))


def _agreement(found: DiskFile, account: Account | None) -> int:
    """Records that are the same on disk and in Kafka, less those that differ."""
    if account is None:
        return 0
    differing = sum(1 for _ in altered(found, account))
    return sum(offset in account.records for offset in found.starts) - 2 * differing


def altered(found: DiskFile, account: Account | None) -> Iterator[int]:
    """Offsets of records that Kafka holds with the same length and other bytes."""
    for start, end, checksum in zip(found.starts, found.ends, found.checksums, strict=True):
        shipped = account.shipped(start) if account else None
        if shipped and shipped.end == end and shipped.checksum != checksum:
            yield start


def covers(spans: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether one of the ordered spans holds all bytes from `start` to `end`."""
    at = bisect_right(spans, (start, 1 << 63)) - 1
    return start == end or (at >= 0 and spans[at][1] >= end)


def lacking(found: DiskFile, spans: list[tuple[int, int]], dead: set[int]) -> list[tuple[int, int]]:
    """Stretches of terminated records that are neither in Kafka whole nor dead letters."""
    gaps: list[tuple[int, int]] = []
    for start, end in zip(found.starts, found.ends, strict=True):
        if covers(spans, start, end) or start in dead:
            continue
        if gaps and gaps[-1][1] == start:
            gaps[-1] = (gaps[-1][0], end)
        else:
            gaps.append((start, end))
    return gaps
