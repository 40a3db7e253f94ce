"""Asking the index: names of a source's indices, and groups of a composite aggregation, page after page."""

from collections.abc import Callable, Iterator
from typing import Any

from elasticsearch import ApiError, AuthorizationException, Elasticsearch, TransportError

from reports import queries
from schemas.sources import build
from tailrace.errors import Refused, TailraceError, Unreachable
from tailrace.settings import Settings

Bucket = dict[str, Any]
Ask = Callable[[queries.Body], Iterator[Bucket]]
"""Every bucket of a body that `queries.grouped` made."""


def pattern(settings: Settings, source: str) -> str:
    """The indices of a source as its users see them, `ezcast-*`, without those of other sources whose names begin alike."""
    prefix = settings.elasticsearch.index_prefix
    indices = {name: prefix + build(name, block).index for name, block in settings.sources.items()}
    own = indices.pop(source)
    return ",".join([f"{own}-*", *(f"-{other}-*" for other in sorted(set(indices.values())) if other.startswith(f"{own}-"))])


def search(client: Elasticsearch, index: str, body: queries.Body) -> dict[str, Any]:
    """The response. No index at all is an empty answer. Raises TailraceError, in words, for a search that fails."""
    try:
        found = client.search(index=index, ignore_unavailable=True, allow_no_indices=True, **body)
    except AuthorizationException as error:
        raise Refused(
            f"Elasticsearch does not let this user read {index}: grant the privilege read on these indices ({error.message})"
        ) from None
    except ApiError as error:
        raise TailraceError(f"Elasticsearch cannot answer a question about {index}: {error.status_code} {_reason(error)}") from None
    except TransportError as error:
        raise Unreachable(f"Elasticsearch stopped answering ({type(error).__name__}) while asked about {index}") from None
    if found["_shards"]["failed"]:
        raise TailraceError(f"{found['_shards']['failed']} shards of {index} did not answer, so the figures would be too low; try again")
    return dict(found)


def asker(client: Elasticsearch, index: str) -> Ask:
    def ask(body: queries.Body) -> Iterator[Bucket]:
        while True:
            page = search(client, index, body).get("aggregations", {}).get(queries.GROUPS, {})
            yield from page.get("buckets", [])
            if len(page.get("buckets", [])) < queries.PAGE:
                return
            body = queries.after(body, page["after_key"])

    return ask


def holds_events(client: Elasticsearch, index: str) -> bool:
    found = search(client, index, {"size": 0, "track_total_hits": 1, "terminate_after": 1})
    return bool(found["hits"]["total"]["value"])


def _reason(error: ApiError) -> str:
    cause = error.body.get("error", {}) if isinstance(error.body, dict) else {}
    roots = cause.get("root_cause") if isinstance(cause, dict) else None
    return str(roots[0].get("reason")) if roots else error.message
