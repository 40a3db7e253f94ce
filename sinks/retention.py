"""Indices that have come of age: which ones are a source's own, which of them have expired, which can be merged.

An index belongs to the month in its name. It expires when the last moment of that month is further back than the source's
`retention`; `<index>-undated` and whatever a source's pattern does not name are never touched.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from elasticsearch import ApiError, AuthorizationException, Elasticsearch

from schemas.source import Source
from tailrace import settings as config
from tailrace.errors import Refused, TailraceError

FAMILIES = ("sessions", "views")
"""Of documents that sum up events, in indices `<index>-<family>-YYYY.MM`."""

SETTLED_S = 7 * 86_400.0
"""A month that has been over for so long gets few documents any more: its indices can be merged."""


class Month(NamedTuple):
    """One index of a source."""

    name: str
    sources: tuple[Source, ...]
    """Those that write to it."""
    over: datetime
    """The first moment (UTC) after its month."""
    documents: int
    bytes: int
    """On disk, replicas included."""
    segments: int
    """None of a closed one, which is opened before it can be merged."""
    shards: int
    """Primary ones."""

    @property
    def merged(self) -> bool:
        return self.segments <= self.shards


def months(client: Elasticsearch, elasticsearch: config.Elasticsearch, sources: Iterable[Source]) -> list[Month]:
    """The indices by month of these sources, closed ones too, the oldest first. Raises Refused without the privileges."""
    found: list[Month] = []
    by_index: dict[str, list[Source]] = {}
    for source in sources:
        by_index.setdefault(source.index, []).append(source)
    for index, writers in by_index.items():
        pattern = f"{elasticsearch.index_prefix}{index}-*,{elasticsearch.index_prefix}generation-*-{index}-*"
        own = re.compile(
            rf"{re.escape(elasticsearch.index_prefix)}(?:generation-[a-z][a-z0-9]*-)?{re.escape(index)}"
            rf"(?:-(?:{'|'.join(FAMILIES)}))?-(?P<year>\d{{4,}})\.(?P<month>\d\d)"
        )
        for name, stats in _stats(client, pattern).items():
            matched = own.fullmatch(name)
            if matched:
                found.append(_month(name, writers, int(matched["year"]), int(matched["month"]), stats))
    return sorted(found, key=lambda month: (month.over, month.name))


def expired(found: Iterable[Month], now: datetime) -> list[Month]:
    """Those that every source that writes to them lets go of."""
    return [
        month
        for month in found
        if all(source.retention_s is not None and (now - month.over).total_seconds() > source.retention_s for source in month.sources)
    ]


def mergeable(found: Iterable[Month], now: datetime) -> list[Month]:
    """Those that are over for good and still lie in many segments."""
    return [month for month in found if not month.merged and (now - month.over).total_seconds() > SETTLED_S]


def delete(client: Elasticsearch, month: Month) -> None:
    """Delete one index. Somebody else may have been quicker. Raises Refused without the privilege."""
    with _Explained(month.name, "delete_index"):
        client.indices.delete(index=month.name, ignore_unavailable=True)


def merge(client: Elasticsearch, month: Month) -> None:
    """Merge one index to a segment per shard; returns when that is done. Raises Refused without the privilege."""
    with _Explained(month.name, "maintenance"):
        client.options(request_timeout=None).indices.forcemerge(index=month.name, max_num_segments=1)


class _Explained:
    """Elasticsearch's refusals as ours."""

    def __init__(self, index: str, privilege: str) -> None:
        self._index = index
        self._privilege = privilege

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: object, __: object) -> None:
        if isinstance(error, AuthorizationException):
            raise Refused(
                f"Elasticsearch does not let this user do that with {self._index}: grant the privilege {self._privilege} "
                "(`tailrace access elasticsearch` prints the role)"
            ) from None
        if isinstance(error, ApiError):
            raise TailraceError(f"{self._index}: {error}") from None


def _stats(client: Elasticsearch, pattern: str) -> dict[str, dict[str, Any]]:
    with _Explained(pattern, "monitor"):
        found: dict[str, dict[str, Any]] = client.indices.stats(
            index=pattern,
            metric=["docs", "store", "segments"],
            expand_wildcards=["open", "closed", "hidden"],
            forbid_closed_indices=False,
            level="shards",
        )["indices"]
    return found


def _month(name: str, sources: Sequence[Source], year: int, month: int, stats: dict[str, Any]) -> Month:
    over = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    primaries = stats["primaries"]
    return Month(
        name=name,
        sources=tuple(sources),
        over=over,
        documents=primaries["docs"]["count"],
        bytes=stats["total"]["store"]["size_in_bytes"],
        segments=primaries["segments"]["count"],
        shards=len(stats["shards"]),
    )
