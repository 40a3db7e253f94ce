"""Splicing: what an operation says, read back as a server would."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import STRETCH_MS, EventEnvelope, Patch, Summary, encode_event
from schemas.source import Source, SourceSettings
from sinks.bulk import Splicer, Unusable, action

SOURCE = Source(name="own", settings=SourceSettings(format="json"), index="own", parse=lambda *_: [], properties={})
OCTOBER_2016 = 1_475_300_000_000

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), values, min_size=1, max_size=5)


def event(document: bytes = b'{"a":1}', **changes: Any) -> EventEnvelope:
    return EventEnvelope("id", OCTOBER_2016, "client", "kind", 5, False, document)._replace(**changes)


def read(operation: bytes) -> tuple[str, str, str, dict[str, Any]]:
    """(verb, index, id, source) of an operation, which must be two lines and no more."""
    head, source, rest = operation.split(b"\n")
    assert rest == b""
    ((verb, about),) = json.loads(head).items()
    return verb, about["_index"], about["_id"], json.loads(source)


@given(ids, documents, st.none() | st.integers(-1, 2**53), st.booleans(), st.sampled_from([None, 1, 2]))
def test_an_event_becomes_its_document_with_the_session(
    document_id: str, document: dict[str, Any], session: int | None, late: bool, indent: int | None
) -> None:
    for own in ("sessionId", "late_session"):
        document.pop(own, None)
    document["own"] = 1
    written = json.dumps(document, indent=indent).encode()
    operation = Splicer(SOURCE, "p-").operation(event(written, id=document_id, session=session, late=late))
    mark = {"late_session": True} if late else {}
    expected = document if session is None else {"sessionId": session, **mark, **document}
    assert read(operation) == ("create" if late else "index", "p-own-2016.10", document_id, expected)
    about = action(operation)
    assert (about.verb, about.index_name, about.id) == ("create" if late else "index", "p-own-2016.10", document_id)


NOVEMBER_2016 = 1_477_958_400_000
times = st.integers(NOVEMBER_2016 - 2 * STRETCH_MS, NOVEMBER_2016 + 2 * STRETCH_MS) | st.none() | st.integers(0, 2**42)


@given(st.lists(st.tuples(ids, times, st.booleans(), st.sampled_from([None, -1, 7])), min_size=1))
def test_a_record_becomes_the_operation_of_its_event(seeds: list[tuple[str, int | None, bool, int | None]]) -> None:
    splicer = Splicer(SOURCE, "p-")  # one: what it remembers of a time must fit the next
    for document_id, time, late, version in seeds:
        made = event(id=document_id, time=time, late=late, version=version)
        assert splicer.splice(encode_event(made)) == Splicer(SOURCE, "p-").operation(made)


def test_a_versioned_event_lets_the_index_refuse_what_is_older() -> None:
    operation = Splicer(SOURCE, "").operation(event(version=1_600_860_164_592_762_887))
    assert json.loads(operation.partition(b"\n")[0])["index"]["version_type"] == "external_gte"
    assert action(operation).version == 1_600_860_164_592_762_887
    late = Splicer(SOURCE, "").operation(event(version=5, late=True))
    assert action(late) == ("create", "own-2016.10", "id", None), "create takes no version"


@given(ids, st.integers(1, 2**53))
def test_a_patch_becomes_an_update_of_the_session_alone(document_id: str, session: int) -> None:
    operation = Splicer(SOURCE, "").operation(Patch(document_id, OCTOBER_2016, session))
    assert read(operation) == ("update", "own-2016.10", document_id, {"doc": {"sessionId": session}})


def test_a_patch_brings_further_fields() -> None:
    operation = Splicer(SOURCE, "").operation(Patch("id", OCTOBER_2016, 5, b'{"session_os":"Linux","session_browser":"Firefox"}'))
    assert read(operation)[3] == {"doc": {"sessionId": 5, "session_os": "Linux", "session_browser": "Firefox"}}


@given(ids, documents)
def test_a_summary_becomes_a_document_of_an_index_of_its_own(document_id: str, document: dict[str, Any]) -> None:
    summary = Summary(document_id, OCTOBER_2016, "views", json.dumps(document).encode())
    assert read(Splicer(SOURCE, "p-").operation(summary)) == ("index", "p-own-views-2016.10", document_id, document)
    operation = Splicer(SOURCE, "p-").operation(summary._replace(document=None))
    assert action(operation) == ("delete", "p-own-views-2016.10", document_id, None)
    assert operation.count(b"\n") == 1, "a delete has no second line"


def test_a_summary_of_no_date_cannot_be_indexed() -> None:
    with pytest.raises(Unusable, match="is no date"):
        Splicer(SOURCE, "").operation(Summary("id", 1 << 62, "views", b"{}"))


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=1, max_size=30))
def test_the_index_is_the_one_that_the_source_names(times: list[int]) -> None:
    splicer = Splicer(SOURCE, "")
    assert [read(splicer.operation(event(time=time)))[1] for time in times] == [SOURCE.index_for(time) for time in times]


def test_an_event_without_time_goes_to_the_undated_index() -> None:
    assert read(Splicer(SOURCE, "p-").operation(event(time=None)))[1] == "p-own-undated"


@pytest.mark.parametrize("document_id", ["", "x" * 513, "é" * 257])
def test_an_id_that_would_spoil_the_whole_request_is_unusable(document_id: str) -> None:
    with pytest.raises(Unusable) as caught:
        Splicer(SOURCE, "").operation(event(id=document_id))
    assert caught.value.reason == "illegal_id"


@pytest.mark.parametrize("document_id", ["x" * 512, "é" * 256, '"' * 512])
def test_the_longest_ids_are_usable(document_id: str) -> None:
    assert read(Splicer(SOURCE, "").operation(event(id=document_id)))[2] == document_id


def test_a_time_that_no_calendar_has_is_unusable() -> None:
    with pytest.raises(Unusable) as caught:
        Splicer(SOURCE, "").operation(event(time=2**62))
    assert caught.value.reason == "implausible_time"
