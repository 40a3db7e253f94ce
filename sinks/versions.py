"""Records of one event that differ: the newest stands, in whatever order they come.

DataONE's `_version_` grows whenever Solr writes an event again. Such an event is indexed with `version_type: external_gte`, so
Elasticsearch itself refuses (409) what is older than the document. But it counts patches as versions too, so it also refuses the
same record sent again after a patch, and a replay must not be stopped by that. Only for what was refused, the document's own field
is asked: an older record is dropped, any other is written without a version.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from elasticsearch import Elasticsearch

from sinks.bulk import action


def outdated(client: Elasticsearch, operations: Sequence[bytes], fields: Sequence[str]) -> set[int]:
    """Positions of the refused operations that are older than the document in the index. `fields`: of each, the one with the version."""
    actions = [action(operation) for operation in operations]
    wanted = [{"_index": about.index_name, "_id": about.id, "_source": [field]} for about, field in zip(actions, fields, strict=True)]
    found = client.mget(docs=wanted)["docs"]
    return {
        position
        for position, (about, field, held) in enumerate(zip(actions, fields, found, strict=True))
        if about.version is not None and _held(held, field) > about.version
    }


def unconditional(operation: bytes) -> bytes:
    """The operation without its version."""
    about = action(operation)
    head = {about.verb: {"_index": about.index_name, "_id": about.id}}
    return orjson.dumps(head) + operation[operation.index(b"\n") :]


def _held(document: Mapping[str, Any], field: str) -> int:
    """The version of the document that the index holds; less than any where it holds none."""
    version = document.get("_source", {}).get(field)
    return version if isinstance(version, int) else -1
