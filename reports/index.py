"""Asking the index: names of a source's indices, and groups of a composite aggregation, page after page."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from elasticsearch import ApiError, AuthorizationException, Elasticsearch, TransportError

from reports import queries
from schemas.place import Place
from schemas.source import Source
from tailrace.errors import Refused, TailraceError, Unreachable
from tailrace.settings import Settings
from tailrace.sources import load_source, load_sources

Bucket = dict[str, Any]


class TooManyGroups(TailraceError):
    """The server will not find so many groups in one search."""


class Ask(Protocol):
    def __call__(self, body: queries.Body, family: str | None = None, *, nested: bool = False) -> Iterable[Bucket]:
        """Every bucket of a body that `queries.grouped` made: of the events, or of a family of documents that sum them up.

        `nested`: as `queries.nested` as long as there are few enough groups.
        """


def pattern(settings: Settings, source: str) -> str:
    """The indices of a source as its users see them, `ezcast-*`, without those of other sources whose names begin alike."""
    prefix = settings.elasticsearch.index_prefix
    indices = {name: found.index for name, found in load_sources(settings, settings.sources).items()}
    own, others = indices[source], set(indices.values())
    return ",".join([f"{prefix}{own}-*", *(f"-{prefix}{other}-*" for other in sorted(others) if other.startswith(f"{own}-"))])


def sharing(settings: Settings, source: Source) -> list[Source]:
    """Other sources that write to the same indices."""
    return [
        other for name, other in load_sources(settings, settings.sources).items() if name != source.name and other.index == source.index
    ]


@contextmanager
def in_words(index: str) -> Iterator[None]:
    """Elasticsearch's errors as ours: Refused, Unreachable, or TailraceError for a question that it cannot answer."""
    try:
        yield
    except AuthorizationException as error:
        raise Refused(
            f"Elasticsearch does not let this user read {index}: grant the privilege read on these indices ({error.message})"
        ) from None
    except ApiError as error:
        kind = TooManyGroups if "too_many_buckets" in str(error.body) else TailraceError
        raise kind(f"Elasticsearch cannot answer a question about {index}: {error.status_code} {_reason(error)}") from None
    except TransportError as error:
        raise Unreachable(f"Elasticsearch stopped answering ({type(error).__name__}) while asked about {index}") from None


def search(client: Elasticsearch, index: str, body: queries.Body, only: Collection[str] = ()) -> dict[str, Any]:
    """The response, or `only` these parts of it (paths). No index at all is an empty answer.

    Raises as `in_words`, and where shards are missing.
    """
    with in_words(index):
        parts = ["_shards.failed", *only] if only else None
        found = client.search(index=index, ignore_unavailable=True, allow_no_indices=True, filter_path=parts, **body)
    if found["_shards"]["failed"]:
        raise TailraceError(f"{found['_shards']['failed']} shards of {index} did not answer, so the figures would be too low; try again")
    return dict(found)


def summaries(settings: Settings, source: str) -> str:
    """What the names of the documents that sum up a source's events begin with; the family follows."""
    return f"{settings.elasticsearch.index_prefix}{load_source(settings, source).index}-"


def asker(client: Elasticsearch, index: str, summaries: str = "") -> Ask:
    def ask(body: queries.Body, family: str | None = None, *, nested: bool = False) -> Iterable[Bucket]:
        asked = index if family is None else f"{summaries}{family}"
        found = _nested(client, asked, body) if nested else None
        return _paged(client, asked, body) if found is None else found

    return ask


def _paged(client: Elasticsearch, index: str, body: queries.Body) -> Iterator[Bucket]:
    """Only what is needed of an answer: with tens of thousands of groups the rest takes as long to carry as the groups to find."""
    parts = [f"aggregations.{queries.GROUPS}.{part}" for part in ("after_key", "buckets.key", "buckets.doc_count", "buckets.*.value")]
    while True:
        page = search(client, index, body, parts).get("aggregations", {}).get(queries.GROUPS, {})
        yield from page.get("buckets", [])
        if len(page.get("buckets", [])) < queries.PAGE:
            return
        body = queries.after(body, page["after_key"])


def _nested(client: Elasticsearch, index: str, body: queries.Body) -> list[Bucket] | None:
    """None: these are too many groups for one answer."""
    try:
        found = search(client, index, queries.nested(body), [f"aggregations.**.{part}" for part in ("key", "doc_count", "value")])
    except TooManyGroups:
        return None
    buckets = list(_innermost(found.get("aggregations", {}), queries.names(body), {}))
    return buckets if len(buckets) <= queries.MOST else None


def _innermost(level: Bucket, names: list[str], key: Bucket) -> Iterator[Bucket]:
    if not names:
        yield {**level, "key": key}
        return
    name, *within = names
    for bucket in level.get(name, {}).get("buckets", []):
        yield from _innermost(bucket, within, {**key, name: bucket["key"]})


def holds_events(client: Elasticsearch, index: str) -> bool:
    found = search(client, index, {"size": 0, "track_total_hits": 1, "terminate_after": 1})
    return bool(found["hits"]["total"]["value"])


IDS_PAGE = 10_000
"""Ids per answer: the most that the server gives at once (index.max_result_window)."""
KEEP_ALIVE = "2m"
"""How long the server keeps a point in time between two pages."""


def refresh(client: Elasticsearch, index: str) -> None:
    """Make what has been written searchable, where the user may; else it takes the index's refresh interval."""
    with in_words(index), suppress(AuthorizationException):
        client.indices.refresh(index=index, ignore_unavailable=True, allow_no_indices=True)


def ids(client: Elasticsearch, index: str) -> Iterator[tuple[str, str]]:
    """Id and index of every document, as of now. Raises as `in_words`."""
    with in_words(index):
        pit = client.open_point_in_time(index=index, keep_alive=KEEP_ALIVE, ignore_unavailable=True)["id"]
    body: queries.Body = {"size": IDS_PAGE, "track_total_hits": False, "source": False, "sort": ["_shard_doc"]}
    try:
        while True:
            with in_words(index):
                page = client.search(**body, pit={"id": pit, "keep_alive": KEEP_ALIVE}, allow_partial_search_results=False)
            pit, hits = page["pit_id"], page["hits"]["hits"]
            for hit in hits:
                yield hit["_id"], hit["_index"]
            if len(hits) < IDS_PAGE:
                return
            body["search_after"] = hits[-1]["sort"]
    finally:
        with suppress(ApiError, TransportError):  # it ends by itself
            client.close_point_in_time(id=pit)


def where(client: Elasticsearch, index: str, wanted: list[str]) -> Iterator[tuple[str, str]]:
    """Id and index of those documents, of at most `IDS_PAGE` ids, that are there."""
    body: queries.Body = {"size": IDS_PAGE, "track_total_hits": False, "source": False, "query": {"ids": {"values": wanted}}}
    for hit in search(client, index, body)["hits"]["hits"]:
        yield hit["_id"], hit["_index"]


def places(client: Elasticsearch, index: str, wanted: list[str]) -> Iterator[tuple[str, Place, int]]:
    """Id, place and offset of those documents, of at most `IDS_PAGE` ids, that say where they came from."""
    fields = ["file", "host", "source", "offset"]
    body: queries.Body = {"size": IDS_PAGE, "track_total_hits": False, "source": fields, "query": {"ids": {"values": wanted}}}
    for hit in search(client, index, body)["hits"]["hits"]:
        file, host, path, offset = (hit["_source"].get(field) for field in fields)
        if isinstance(offset, int):
            yield hit["_id"], Place(str(file), str(host), str(path)), offset


def _reason(error: ApiError) -> str:
    cause = error.body.get("error", {}) if isinstance(error.body, dict) else {}
    roots = cause.get("root_cause") if isinstance(cause, dict) else None
    return str(roots[0].get("reason")) if roots else error.message
