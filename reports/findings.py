"""What an audit finds: figures of each file, and problems by name."""

from collections import Counter
from typing import Any, Literal

import msgspec

NAMED = 10
"""Of each problem, this many are named; all are counted."""

Problem = Literal[
    "hole",
    "not_shipped",
    "not_harvested",
    "seal_broken",
    "altered",
    "conflicting",
    "missing",
    "double",
    "dead_letter_missing",
    "foreign",
    "no_place",
    "unreadable",
]

MEANING: dict[Problem, str] = {
    "hole": "bytes of the file that are in no record of Kafka, before others that are",
    "not_shipped": "bytes at the end of the file that Kafka does not hold yet",
    "not_harvested": "an event of the Solr core that Kafka does not hold, or not in this version",
    "seal_broken": "a file that was complete and now holds other bytes, or fewer",
    "altered": "a record whose bytes in Kafka are not those of the file",
    "conflicting": "records of the same place whose bytes differ",
    "missing": "an event that is neither in the index nor a dead letter",
    "double": "an event that stands in more than one index",
    "dead_letter_missing": "a record that gives no event, without a dead letter that says so",
    "foreign": "a document that no record in Kafka explains",
    "no_place": "a record in Kafka whose key names no place, without a dead letter that says so",
    "unreadable": "a file or Solr core that cannot be read",
}


class Named(msgspec.Struct, omit_defaults=True):
    """One problem, as exactly as it can be named."""

    problem: Problem
    file: str | None = None
    path: str | None = None
    offset: int | None = None
    end: int | None = None
    """Offset just after the bytes that lack."""
    id: str | None = None
    indices: list[str] = []
    message: str | None = None


class FileAudit(msgspec.Struct, kw_only=True):
    """One file. Counts of the disk are None where the file is not on this disk."""

    path: str
    file: str
    host: str | None
    """Where the records came from; None where Kafka has none."""
    on_disk: bool
    bytes: int | None
    records: int | None
    shipped: int = 0
    """Places in Kafka; `repeated`: further records of the same places."""
    repeated: int = 0
    events: int = 0
    repeated_events: int = 0
    """Records of other places that give an event again (DataONE writes some lines twice)."""
    indexed: int = 0
    dead: int = 0
    """Dead letters of the file's records."""
    missing: int = 0
    double: int = 0
    dead_letters_missing: int = 0
    altered: int = 0
    seals_broken: int = 0
    """1 where the file was sealed as complete and has other bytes now, or fewer."""
    missing_bytes: int = 0
    """In holes."""
    not_shipped_bytes: int = 0
    beyond_retention_bytes: int = 0
    """Acknowledged, and deleted from Kafka since; no fault."""
    beyond_retention_documents: int = 0
    """Documents of records that may have stood there."""
    beyond_retention_dead_letters: int = 0
    """Dead letters, by all that can be known: of records older than `kafka.raw_retention`, which outlived their letters."""
    torn_bytes: int = 0
    """Unterminated end of the file, held back until it is whole."""
    clean: bool = True


class SourceAudit(msgspec.Struct, kw_only=True):
    source: str
    clean: bool
    files: list[FileAudit]
    totals: dict[str, int]
    deleted_records: int
    """Of the raw topic, by its retention: so many stood before the beginnings of its partitions."""
    not_harvested: int
    """Events of the source's Solr core."""
    foreign: int
    no_place: int
    unreadable: int
    problems: list[Named]
    """The first few of each."""


def totals(audits: list[FileAudit]) -> dict[str, int]:
    """Sums over the files; disk figures over those that are on this disk."""
    names = [field.name for field in msgspec.structs.fields(FileAudit) if field.name not in ("path", "file", "host", "on_disk", "clean")]
    sums = {name: sum(getattr(audit, name) or 0 for audit in audits) for name in names}
    return {"files": len(audits), "not_on_this_disk": sum(not audit.on_disk for audit in audits), **sums}


def as_builtins(audits: list[SourceAudit]) -> dict[str, Any]:
    """What `--format json` prints: stable keys."""
    sums: Counter[str] = Counter()
    for audit in audits:
        sums.update(audit.totals)
    return {
        "clean": all(audit.clean for audit in audits),
        "totals": dict(sums),
        "sources": [msgspec.to_builtins(audit) for audit in audits],
    }
