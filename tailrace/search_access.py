"""What each role needs of Elasticsearch, and no more, as bodies of `PUT _security/role/…`. Printed by `tailrace access elasticsearch`."""

from collections.abc import Iterable
from typing import Any, Literal

Role = Literal["sink", "reports", "retention", "operator"]

CLUSTER: dict[Role, list[str]] = {
    "sink": ["monitor", "manage_index_templates"],
    "reports": ["monitor"],
    "retention": ["monitor"],
    "operator": ["monitor", "manage_index_templates"],
}
"""`monitor` lets a client ask what server answers, which all do first."""

INDICES: dict[Role, list[str]] = {
    "sink": ["auto_configure", "index", "delete", "read", "view_index_metadata"],
    "reports": ["read", "view_index_metadata"],
    "retention": ["view_index_metadata", "monitor", "maintenance", "delete_index"],
    "operator": ["manage", "index", "delete", "read"],
}
"""On the sources' indices. `read` lets the sink compare the copies of an event, `delete` take back
the document of a session that became part of another. Only `manage` would let it give new fields to indices that
are there; without, it warns, and indices to come have them. `maintenance` is for merging. An operator needs `manage` to say which
generation is seen."""


def patterns(prefix: str, indices: Iterable[str]) -> list[str]:
    """What the names of these indices match, in every generation."""
    return [f"{prefix}{generation}{index}-*" for index in indices for generation in ("", "generation-*-")]


def role(name: Role, names: Iterable[str]) -> dict[str, Any]:
    """The body for the indices of these names or patterns."""
    return {"cluster": CLUSTER[name], "indices": [{"names": list(names), "privileges": INDICES[name]}]}
