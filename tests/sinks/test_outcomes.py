"""Answers of `_bulk`: each told apart, and the order of a document kept whatever has to be sent again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import EventEnvelope, Patch
from sinks.bulk import Splicer, action
from sinks.outcomes import PATCH_WITHOUT_DOCUMENT, Dead, Verdict, in_words, sort, verdict
from tests.sinks.test_bulk import OCTOBER_2016, SOURCE


@pytest.mark.parametrize(
    ("verb", "status", "error_type", "expected"),
    [
        ("index", 200, "", "done"),
        ("index", 201, "", "done"),
        ("create", 409, "version_conflict_engine_exception", "done"),
        ("delete", 404, "", "done"),
        ("delete", 404, "index_not_found_exception", "done"),
        ("index", 409, "version_conflict_engine_exception", "older"),
        ("update", 409, "version_conflict_engine_exception", "again"),
        ("index", 429, "es_rejected_execution_exception", "again"),
        ("index", 429, "circuit_breaking_exception", "again"),
        ("index", 429, "cluster_block_exception", "again"),
        ("index", 403, "cluster_block_exception", "again"),
        ("index", 503, "unavailable_shards_exception", "again"),
        ("index", 503, "process_cluster_event_timeout_exception", "again"),
        ("index", 500, "node_closed_exception", "again"),
        ("index", 400, "validation_exception", "again"),
        ("index", 404, "shard_not_found_exception", "again"),
        ("index", 400, "document_parsing_exception", "dead"),
        ("index", 400, "mapper_parsing_exception", "dead"),
        ("index", 400, "strict_dynamic_mapping_exception", "dead"),
        ("index", 400, "illegal_argument_exception", "dead"),
        ("index", 400, "index_closed_exception", "again"),
        ("update", 404, "document_missing_exception", "dead"),
        ("index", 403, "security_exception", "refused"),
        ("index", 404, "index_not_found_exception", "refused"),
    ],
)
def test_every_outcome_is_told_apart(verb: str, status: int, error_type: str, expected: Verdict) -> None:
    assert verdict(verb, status, error_type) == expected


def item(operation: bytes, status: int, error_type: str = "", reason: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {"status": status}
    if error_type:
        result["error"] = {"type": error_type, "reason": reason}
    return {action(operation).verb: result}


def operation(document_id: str, patch: int | None = None) -> bytes:
    splicer = Splicer(SOURCE, "")
    if patch is not None:
        return splicer.operation(Patch(document_id, OCTOBER_2016, patch))
    return splicer.operation(EventEnvelope(document_id, OCTOBER_2016, None, "k", 1, False, b'{"a":1}'))


def test_a_dead_letter_carries_the_reason_and_its_neighbours_go_on() -> None:
    operations = [operation("a"), operation("b"), operation("c", patch=3)]
    items = [
        item(operations[0], 201),
        item(operations[1], 400, "document_parsing_exception", "failed to parse"),
        item(operations[2], 404, "document_missing_exception", "[c]: document missing"),
    ]
    found = sort(operations, items)
    assert found.again == []
    assert found.dead == [
        Dead(1, "document_parsing_exception", "document_parsing_exception: failed to parse"),
        Dead(2, PATCH_WITHOUT_DOCUMENT, "document_missing_exception: [c]: document missing"),
    ]


def test_what_the_index_did_is_counted_by_outcome() -> None:
    operations = [operation("a"), operation("b"), operation("c"), operation("a", patch=3), operation("c", patch=4)]
    taken = [item(operations[0], 201), item(operations[1], 200), item(operations[2], 201), item(operations[3], 200)]
    assert sort(operations[:4], taken).done == {"indexed": 2, "repeated": 1, "patched": 1}
    gone: list[dict[str, Any]] = [{"delete": {"status": 404}}, {"create": {"status": 409}}, {"create": {"status": 201}}]
    assert sort(operations[:3], gone).done == {"deleted": 1, "repeated": 1, "indexed": 1}
    taken[2] = item(operations[2], 429, "es_rejected_execution_exception")
    found = sort(operations, [*taken, item(operations[4], 200)])
    assert (found.again, found.done) == ([2, 4], {"indexed": 1, "repeated": 1, "patched": 1}), "what is sent again is not done"


def test_a_patch_waits_for_its_event_that_was_pushed_back() -> None:
    operations = [operation("a"), operation("b"), operation("a", patch=3), operation("b", patch=4)]
    items = [
        item(operations[0], 429, "es_rejected_execution_exception"),
        item(operations[1], 201),
        item(operations[2], 404, "document_missing_exception"),
        item(operations[3], 200),
    ]
    found = sort(operations, items)
    assert (found.again, found.dead) == ([0, 2], [])
    assert found.cause
    assert "429" in found.cause


@pytest.mark.parametrize(("statuses", "broken"), [([500, 500], True), ([500, 429], False), ([500, 201], True), ([201, 201], False)])
def test_a_server_that_only_fails_is_told(statuses: list[int], broken: bool) -> None:
    operations = [operation("a"), operation("b")]
    items = [item(one, status, "null_pointer_exception" if status > 201 else "") for one, status in zip(operations, statuses, strict=True)]
    assert sort(operations, items).broken is broken


def test_a_refusal_ends_it() -> None:
    operations = [operation("a"), operation("b")]
    items = [
        item(operations[0], 400, "document_parsing_exception"),
        item(operations[1], 403, "security_exception", "action is unauthorized"),
    ]
    assert sort(operations, items).refusal == "403 security_exception: action is unauthorized (index own-2016.10)"


def test_causes_are_told_to_the_last() -> None:
    error = {"type": "document_parsing_exception", "reason": "failed", "caused_by": {"type": "x", "reason": "no object", "caused_by": {}}}
    assert in_words(error) == "document_parsing_exception: failed: no object"


class Index:
    """A model of an index that pushes operations back at random."""

    def __init__(self) -> None:
        self.sessions: dict[str, int] = {}

    def bulk(self, operations: list[bytes], pushed_back: set[int]) -> list[dict[str, Any]]:
        items = []
        for position, one in enumerate(operations):
            about = action(one)
            session = int(one.partition(b'"sessionId":')[2].split(b",")[0].split(b"}")[0])
            if position in pushed_back:
                items.append(item(one, 429, "es_rejected_execution_exception"))
            elif about.verb == "update" and about.id not in self.sessions:
                items.append(item(one, 404, "document_missing_exception"))
            else:
                self.sessions[about.id] = session
                items.append(item(one, 200))
        return items


@given(st.data(), st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(2, 9)), min_size=1, max_size=12))
def test_whatever_is_pushed_back_the_last_word_on_a_document_stands(data: st.DataObject, written: list[tuple[str, int | None]]) -> None:
    operations = [operation(document_id, patch) for document_id, patch in written]
    calm, troubled = Index(), Index()
    dead_in_calm = len(sort(operations, calm.bulk(operations, set())).dead)
    dead, tries = 0, 0
    while operations:
        pushed_back = data.draw(st.sets(st.integers(0, len(operations) - 1))) if tries < 4 else set()
        found = sort(operations, troubled.bulk(operations, pushed_back))
        dead += len(found.dead)
        operations = [operations[position] for position in found.again]
        tries += 1
    assert troubled.sessions == calm.sessions
    assert dead <= dead_in_calm  # fewer: a patch that came before its event finds it when both are sent again
