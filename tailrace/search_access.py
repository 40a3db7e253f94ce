"""What each role needs of Elasticsearch, and no more, as bodies of `PUT _security/role/…`. Printed by `tailrace access elasticsearch`."""

from collections.abc import Iterable
from typing import Any, Literal

Role = Literal["sink", "reports", "retention"]

CLUSTER: dict[Role, list[str]] = {
    "sink": ["monitor", "manage_index_templates"],
    "reports": ["monitor"],
    "retention": ["monitor"],
}
"""`monitor` lets a client ask what server answers, which all do first."""

INDICES: dict[Role, list[str]] = {
    "sink": ["auto_configure", "index", "delete", "read", "view_index_metadata"],
    "reports": ["read", "view_index_metadata"],
    "retention": ["view_index_metadata", "monitor", "maintenance", "delete_index"],
}
"""On the sources' indices. `read` lets the sink compare the copies of an event, `delete` take back
the document of a session that became part of another. Only `manage` would let it give new fields to indices that
are there; without, it warns, and indices to come have them. `maintenance` is for merging. `tailrace sessions repair` does with the role
of the sink; `maintenance` beside it lets it see the last second, too."""


def role(name: Role, patterns: Iterable[str]) -> dict[str, Any]:
    """The body for the indices of these patterns."""
    return {"cluster": CLUSTER[name], "indices": [{"names": list(patterns), "privileges": INDICES[name]}]}
