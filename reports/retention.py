"""What Kafka held once and has deleted by now, by a raw topic's retention: it cannot be proven any more, and is no fault.

Heartbeats stay (their topic is compacted), so what a producer had acknowledged of a file is still known.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reports.coverage import covers
from schemas.heartbeat import Heartbeat
from schemas.place import Place, is_file
from schemas.source import Source

Spans = list[tuple[int, int]]
"""Stretches of a file, ordered, that do not touch."""

NO_LIMIT = 1 << 63


class Retention(NamedTuple):
    """Of a source's raw topic."""

    deleted: int
    """Records that stood before the beginnings of its partitions; 0: nothing was deleted, so nothing is beyond retention."""
    ordered: bool
    """Whether a file's records are in one partition, so that only its beginning can be deleted."""
    acknowledged: Mapping[str, int]
    """By file id, the offset up to which everything was on the topic or in a dead letter."""

    def limit(self, file: str, spans: Spans, path: str) -> int:
        """Offset below which what Kafka lacks of a file is beyond retention. Of a Solr core, which has no heartbeat, nothing is known."""
        if not self.deleted:
            return 0
        limit = self.acknowledged.get(file, 0) if is_file(path) else NO_LIMIT
        return min(limit, spans[0][0]) if self.ordered and spans else limit

    def covers(self, place: Place, offset: int, spans: Spans) -> bool:
        """Whether a record may have stood there that was deleted."""
        return offset < self.limit(place.file, spans, place.path) and not covers(spans, offset, offset + 1)


def retention(source: Source, deleted: int, heartbeats: Iterable[Heartbeat]) -> Retention:
    acknowledged: dict[str, int] = {}
    for beat in heartbeats:
        acknowledged[beat.file] = max(beat.acknowledged, acknowledged.get(beat.file, 0))
    return Retention(deleted, source.ordered_by_file, acknowledged)


def cut(gaps: Spans, limit: int) -> tuple[Spans, int]:
    """What is left of the gaps from `limit` on, and how many bytes are below it."""
    left = [(max(start, limit), end) for start, end in gaps if end > limit]
    return left, sum(min(end, limit) - start for start, end in gaps if start < limit)
