"""The short way of usual records against the one that all records can take."""

import json
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dataone.fields import DROPPED, KNOWN, PROPERTIES
from schemas.dataone.source import source
from schemas.event import Event
from schemas.place import Place
from schemas.source import ReadUsual, SourceSettings
from tests.schemas.test_dataone import JSON

PLACE = Place("f1", "cn.example.org", "/logs/d1logagg.log", {"env": "test"})
SOURCE = source("dataone", SourceSettings(index="eventlog", fields={"env": "production", "site": "a"}))
RECORD = {"id": "urn:node:KNB.7", "dateLogged": "2018-05-18T23:55:19.29Z", "ipAddress": "192.0.2.7"}


def reading(place: Place = PLACE) -> ReadUsual:
    assert SOURCE.usual is not None
    found = SOURCE.usual(place, None)
    assert found is not None
    return found


def as_json(document: dict[str, Any]) -> bytes:
    """Tells 1 from 1.0 and from true."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def check(line: bytes, place: Place = PLACE) -> bool:
    """Whether a record is usual; if so, both ways must agree on it."""
    found = reading(place)(line, 100)
    if found is None:
        return False
    (expected,) = SOURCE.parse(line, place, 100, None)
    assert isinstance(expected, Event)
    document = expected.document
    assert as_json(orjson.loads(found.opening + b'"tags":[]}')) == as_json(document)
    assert (found.id, found.time, found.client, found.kind) == (expected.id, expected.time, expected.client, expected.kind)
    assert (found.address, found.agent, found.version) == (
        document["ipAddress"],
        document.get("userAgent") or "",
        document.get("_version_"),
    )
    assert found.subject == (document.get("subject") or None)
    return True


FITTING: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(KNOWN, st.text()) | {
    "id": st.text(min_size=1) | st.just("x" * 600),
    "dateLogged": st.sampled_from(["2018-05-18T23:55:19.29Z", "2018-05-18T23:55:19.2939Z", "2018-05-19T01:55:19+02:00", "now"]),
    "ipAddress": st.sampled_from(["192.0.2.7", "2001:DB8::1", "proxy.example.org", ""]),
    "size": st.integers(-(2**63), 2**63 - 1),
    "_version_": st.integers(-(2**63), 2**63 - 1),
    "isRepeatVisit": st.booleans(),
    "readPermission": st.lists(st.text()),
    "portalIdentifier": st.lists(st.text()),
    **dict.fromkeys(DROPPED, JSON),
}


@given(st.fixed_dictionaries({}, optional={name: values | st.none() for name, values in FITTING.items()}))
def test_any_values_that_fit_give_the_same_event(record: dict[str, Any]) -> None:
    check(msgspec.json.encode(record))
    assert check(msgspec.json.encode(record | RECORD))


@given(st.dictionaries(st.sampled_from([*PROPERTIES, *DROPPED]) | st.text(), JSON))
def test_any_record_gives_the_same_event_or_is_left_to_the_other_way(record: dict[str, Any]) -> None:
    check(msgspec.json.encode(record | RECORD))
    check(msgspec.json.encode(RECORD | record))


@given(st.binary())
def test_any_bytes_are_left_to_the_other_way(line: bytes) -> None:
    assert not check(line)


@pytest.mark.parametrize(
    "unusual",
    [
        {"id": None},
        {"id": " "},
        {"id": "x" * 129},
        {"dateLogged": None},
        {"dateLogged": "2018-05-18"},
        {"ipAddress": None},
        {"ipAddress": "proxy.example.org"},
        {"size": 2**63},
        {"size": 7.0},
        {"_version_": "7"},
        {"pid": ["a"]},
        {"readPermission": "public"},
        {"readPermission": ["public", 1]},
        {"isRepeatVisit": 0},
        {"newField": "x"},
        {"tags": {}},
        {"beat": "x"},
        {"eventId": "x"},
    ],
)
def test_what_is_not_usual_is_left_to_the_other_way(unusual: dict[str, Any]) -> None:
    assert check(msgspec.json.encode(RECORD))
    assert not check(msgspec.json.encode(RECORD | unusual))


def test_other_encodings_are_left_to_the_other_way() -> None:
    assert SOURCE.usual is not None
    assert SOURCE.usual(Place("f", "h", "/p", encoding="latin-1"), None) is None


def test_the_last_of_two_equal_keys_counts() -> None:
    line = msgspec.json.encode(RECORD)[:-1]
    assert check(line + b',"event":"read","event":"create"}')
    assert not check(line + b',"size":"7","size":7}')


def test_real_lines_are_usual(shared: Path) -> None:
    lines = (shared / "dataone" / "events.jsonl").read_bytes().splitlines()
    assert all(map(check, lines))
    assert len(lines) == 100


def test_most_generated_lines_are_usual(shared: Path) -> None:
    lines = (shared / "dataone" / "samples" / "generated.jsonl").read_bytes().splitlines()
    odd = [json.loads(line) for line in lines if not check(line)]
    assert len(odd) < len(lines) / 5
