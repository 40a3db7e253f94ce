"""Records of one event that differ: the newest stands, in whatever order they come.

DataONE's `_version_` grows whenever Solr writes an event again. Such an event is indexed with `version_type: external_gte`, so
Elasticsearch itself refuses (409) what is older than the document. But it counts patches as versions too, so it also refuses the
same record sent again after a patch, and a replay must not be stopped by that. Only for what was refused, the document's own field
is asked: of an older record its session is taken, which is the latest word on the event; any other is written without a version.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from elasticsearch import Elasticsearch

from sinks.bulk import Action, action, patch
from sinks.outcomes import in_words


class Unreadable(Exception):
    """The index holds the document, but its shard does not answer."""


def settle(client: Elasticsearch, operations: Sequence[bytes], fields: Sequence[str]) -> list[bytes]:
    """What to send instead of versioned operations that were refused. `fields`: of each, the document's field with the version.

    Raises Unreadable where a document cannot be looked at now, and what elasticsearch's `mget` raises.
    """
    actions = [action(operation) for operation in operations]
    wanted = [{"_index": about.index_name, "_id": about.id, "_source": [field]} for about, field in zip(actions, fields, strict=True)]
    answer = client.mget(docs=wanted).body
    found = answer.get("docs") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise Unreadable("what answers is no Elasticsearch")
    return [
        _session_alone(about, operation) if _held(held, field) > (about.version or 0) else _unconditional(about, operation)
        for about, operation, field, held in zip(actions, operations, fields, found, strict=True)
    ]


def _unconditional(about: Action, operation: bytes) -> bytes:
    head = {about.verb: {"_index": about.index_name, "_id": about.id}}
    return orjson.dumps(head) + operation[operation.index(b"\n") :]


def _session_alone(about: Action, operation: bytes) -> bytes:
    document = orjson.loads(operation[operation.index(b"\n") :])
    return patch(about, {"sessionId": document["sessionId"]} if "sessionId" in document else {})


def _held(document: Mapping[str, Any], field: str) -> int:
    """The version of the document that the index holds; less than any where it holds none. Raises Unreadable."""
    if "error" in document:
        raise Unreadable(in_words(document["error"]))
    version = document.get("_source", {}).get(field)
    return version if isinstance(version, int) else -1
