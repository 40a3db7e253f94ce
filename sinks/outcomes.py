"""What Elasticsearch's answer to a bulk request means, item by item.

    done      the index holds it, or held it before (a `create` that found its document)
    again     a later try can succeed: overload, missing shards, blocks, full disks
    older     the document may be newer than this record of it: `sinks.versions` knows
    dead      no try can succeed: the document, its id or its mapping is wrong
    refused   nothing can be written until a person changes something: privileges, missing indices that may not be created

An item is one of `{"index": {"status": 201}}` and `{"update": {"status": 404, "error": {"type": …, "reason": …, "caused_by": {…}}}}`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sinks.bulk import action

Verdict = Literal["done", "again", "older", "dead", "refused"]

Outcome = Literal["indexed", "repeated", "patched", "deleted"]
"""What the index did: the document is new, it was there, a part of it was changed, it is gone."""

WAITS_FOR_A_PERSON_OR_A_DISK = frozenset(
    {
        "cluster_block_exception",  # 403 or 429: read-only, flood stage of the disk, no master
        "validation_exception",  # 400: "this action would add [1] shards, but this cluster currently has [1000]/[1000] maximum"
        "shard_not_found_exception",  # 404: a shard that moves
        "index_closed_exception",  # 400: closed for maintenance
    }
)
"""Errors that pass although their status says that the request is wrong."""

PATCH_WITHOUT_DOCUMENT = "patch_without_document"
"""Reason of a patch whose event is not in the index: it became a dead letter itself, or was deleted."""

MAX_REASON = 2_000
"""Characters of the server's words that are kept: it quotes documents at length."""


CREATED = 201

_BY_VERB: Mapping[str, Outcome] = {"update": "patched", "delete": "deleted"}


class Dead(NamedTuple):
    position: int
    """In the request."""
    reason: str
    message: str


class Answers(NamedTuple):
    """The items of one answer, sorted. Positions are those of the request."""

    again: list[int]
    older: set[int]
    """Those of `again` that first have to be compared with the document."""
    dead: list[Dead]
    refusal: str | None
    """The server's words where it refuses to write at all."""
    cause: str | None
    """Why the first of `again` could not be taken now; None where all of them can be sent again at once."""
    broken: bool
    """Whether the server failed (500) at all that it did not take: a document that breaks it looks so, and no pause mends that."""
    done: Counter[Outcome]
    """How many operations the index took for good; none where it refuses."""


def verdict(verb: str, status: int, error_type: str) -> Verdict:
    """What one item's outcome means. `verb` is index, create, update or delete; `error_type` is empty where there was no error."""
    if status < 300 or (verb == "delete" and status == 404):  # gone already, or its index is not there
        return "done"
    if error_type in WAITS_FOR_A_PERSON_OR_A_DISK or status in {408, 429} or status >= 500:
        return "again"
    if status == 409:
        return "done" if verb == "create" else "older" if verb == "index" else "again"
    if status in {401, 403} or error_type == "index_not_found_exception":
        return "refused"
    return "dead"


def sort(operations: Sequence[bytes], items: Sequence[Mapping[str, Any]]) -> Answers:
    """Sort the items of an answer by what is to be done about them.

    Order per document: once an operation must be sent again, all later ones of the same document must be, whatever became of them.
    """
    done = Counter([(verb, result["status"]) for item in items for verb, result in item.items()])
    if all(status < 300 for _, status in done):  # nearly always: 0.2 us an item so far
        return Answers([], set(), [], None, None, False, _outcomes(done))
    done.clear()
    again: list[int] = []
    older: set[int] = set()
    dead: list[Dead] = []
    cause: str | None = None
    broken = True
    waiting: set[tuple[str, str]] = set()
    for position, item in enumerate(items):
        ((verb, result),) = item.items()
        status = result["status"]
        if status < 300 and not waiting:
            done[verb, status] += 1
            continue
        error = result.get("error") or {}
        found = verdict(verb, status, error.get("type", ""))
        about = action(operations[position])
        document = about.index_name, about.id
        if found in ("again", "older") or document in waiting:
            if found == "older" and document not in waiting:
                older.add(position)
            waiting.add(document)
            again.append(position)
            if found == "again":
                cause = cause or f"{status} {in_words(error)}"
                broken = broken and status == 500
        elif found == "refused":
            return Answers([], set(), [], f"{status} {in_words(error)} (index {about.index_name})", None, False, Counter())
        elif found == "dead":
            missing = error.get("type") == "document_missing_exception"
            dead.append(Dead(position, PATCH_WITHOUT_DOCUMENT if missing else error.get("type", str(status)), in_words(error)))
        else:
            done[verb, status] += 1
    return Answers(again, older, dead, None, cause, broken and cause is not None, _outcomes(done))


def _outcomes(done: Mapping[tuple[str, int], int]) -> Counter[Outcome]:
    """`done` is by verb and status."""
    found: Counter[Outcome] = Counter()
    for (verb, status), amount in done.items():
        found[_BY_VERB.get(verb) or ("indexed" if status == CREATED else "repeated")] += amount
    return found


def in_words(error: Mapping[str, Any] | str) -> str:
    """`type: reason: reason of the cause: …`."""
    if isinstance(error, str):
        return error[:MAX_REASON]
    parts = [str(error.get("type", "error"))]
    cause: Any = error
    while isinstance(cause, Mapping):
        reason = str(cause.get("reason", ""))
        if reason and not any(reason in part for part in parts):
            parts.append(reason)
        cause = cause.get("caused_by")
    return ": ".join(parts)[:MAX_REASON]
