"""Documents in the order of time, all of them as they were at one moment, a page at a time."""

from collections.abc import Callable, Iterator
from typing import Any, Self

from elasticsearch import Elasticsearch

PAGE = 5_000
"""Documents of an answer."""
KEEP_ALIVE = "1h"
"""How long the server keeps the moment between two pages: those of few views are as far apart as those of millions of events."""

Hit = dict[str, Any]
"""Of a search, with `_seq_no` and `_primary_term`; `sort` begins with its time in milliseconds since 1970."""
Progress = Callable[[int, int], None]
"""progress(done, total): documents."""


def _quietly(done: int, total: int) -> None:
    """Nobody wants to know."""


class SortedScan:
    """The moment is that of its making. What elasticsearch raises goes through."""

    def __init__(self, client: Elasticsearch, index: str, start: int | None, end: int | None, fields: list[str] | None = None) -> None:
        """`index`: names and patterns. `start` (included) and `end` (not included) in milliseconds since 1970; None where there is no
        bound. `fields`: those of the documents that are wanted; None: all."""
        self._client = client
        bounds = {name: bound for name, bound in (("gte", start), ("lt", end)) if bound is not None}
        self._body: dict[str, Any] = {
            "size": PAGE,
            "query": {"range": {"@timestamp": {**bounds, "format": "epoch_millis"}}} if bounds else {"exists": {"field": "@timestamp"}},
            "source": fields if fields is not None else True,
            "sort": ["@timestamp", "_shard_doc"],
            "seq_no_primary_term": True,
            "track_total_hits": True,
        }
        self._pit = client.open_point_in_time(index=index, keep_alive=KEEP_ALIVE, ignore_unavailable=True)["id"]

    def pages(self, progress: Progress = _quietly) -> Iterator[list[Hit]]:
        body = dict(self._body)
        done = total = 0
        while True:
            answer = self._client.search(**body, pit={"id": self._pit, "keep_alive": KEEP_ALIVE}, allow_partial_search_results=False)
            self._pit, hits = answer["pit_id"], answer["hits"]["hits"]
            if body["track_total_hits"]:
                total, body["track_total_hits"] = answer["hits"]["total"]["value"], False
            done += len(hits)
            progress(done, total)
            yield hits
            if len(hits) < body["size"]:
                return
            body["search_after"] = hits[-1]["sort"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close_point_in_time(id=self._pit)
