"""The topics' Avro: round trips, the standard's framing, and that yesterday's bytes can be read today."""

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form
from hypothesis import given
from hypothesis import strategies as st

import schemas.envelope
from schemas.envelope import (
    STRETCH_MS,
    EventEnvelope,
    Patch,
    SessionSummary,
    Stamp,
    Summary,
    decode,
    encode_event,
    encode_patch,
    encode_session,
    encode_summary,
    open_event,
    usual_event,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=20)

PUBLISHED = {
    # Fingerprint (hex, as it stands in the bytes) of every version that ever wrote to a topic. Only ever add lines: to
    # change a schema, copy the old file to avro/older/NAME-FINGERPRINT.avsc and give each new field a default.
    "event": ["5b5d5f599be6f025", "1ab401a28245e1e2"],
    "patch": ["a0c042011a9f19ed", "61e185ff6366e9ab"],
    "session": ["c48096e99b2490f8"],
    "summary": ["e5beca2940f36247"],
}


EVENTS = st.builds(
    EventEnvelope,
    TEXT,
    st.none() | INT64,
    st.none() | TEXT,
    TEXT,
    st.none() | INT64,
    st.booleans(),
    st.binary(max_size=50),
    st.none() | INT64,
    st.none() | INT64,
)
PATCHES = st.builds(Patch, TEXT, INT64, INT64, st.none() | st.binary(max_size=50))
SESSIONS = st.builds(SessionSummary, INT64, TEXT, INT64, INT64, st.integers(0, 2**31 - 1))
SUMMARIES = st.builds(Summary, TEXT, INT64, TEXT, st.none() | st.binary(max_size=50))


@given(
    EVENTS.map(lambda record: (record, encode_event(record)))
    | PATCHES.map(lambda record: (record, encode_patch(record)))
    | SESSIONS.map(lambda record: (record, encode_session(record)))
    | SUMMARIES.map(lambda record: (record, encode_summary(record)))
)
def test_records_come_back_as_they_were_and_are_those_of_fastavro(written: tuple[Any, bytes]) -> None:
    record, data = written
    assert decode(data) == record
    schema, _ = schemas.envelope._WRITERS[data[:10]]
    assert schemaless_reader(io.BytesIO(data[10:]), schema, None) == record._asdict()
    out = io.BytesIO()
    schemaless_writer(out, schema, record._asdict())
    assert data[10:] == out.getvalue()


@given(EVENTS | EVENTS.map(lambda event: event._replace(id=event.id * 4)), st.none() | INT64, st.booleans())
def test_a_session_is_spliced_into_an_event(event: EventEnvelope, session: int | None, late: bool) -> None:
    opened = open_event(encode_event(event))
    assert (opened.id, opened.time, opened.client, opened.kind) == event[:4]
    assert (opened.document, opened.origin) == (event.document, event.origin)
    assert decode(Stamp(session, late).on(opened)) == event._replace(session=session, late=late)
    fields = Stamp(session, late, b'{"a":1}')
    assert decode(fields.on(opened)) == event._replace(session=session, late=late, document=b'{"a":1,' + event.document[1:])


@given(EVENTS.map(lambda event: event._replace(late=False)))
def test_of_a_usual_event_the_same_is_read_at_once(event: EventEnvelope) -> None:
    found = usual_event(encode_event(event))
    if event.time is not None and event.time < STRETCH_MS:
        assert found is None
        return
    assert found is not None
    identity, stretch, session, fields, version = found
    assert (identity, session, fields, version) == (event.id, event.session, event.document[1:], event.version)
    assert (stretch is None) is (event.time is None)


@given(st.integers(1, 2**42), st.integers(0, STRETCH_MS - 1), st.integers(0, STRETCH_MS - 1))
def test_a_stretch_is_the_times_between_two_multiples_of_its_length(number: int, one: int, another: int) -> None:
    def stretch(time: int) -> bytes | None:
        found = usual_event(encode_event(EventEnvelope("a", time, None, "read", None, False, b"{}")))
        assert found is not None
        return found[1]

    begin = number * STRETCH_MS
    assert stretch(begin + one) == stretch(begin + another) != stretch(begin + STRETCH_MS)


@pytest.mark.parametrize(
    "change", [{"late": True}, {"id": "a" * 64}, {"client": "a" * 64}, {"kind": "a" * 64}, {"time": -(2**40)}, {"time": 1}]
)
def test_what_is_not_usual_is_for_the_other_reader(change: dict[str, Any]) -> None:
    event = EventEnvelope("a", 2**40, "b", "read", 5, False, b"{}")
    assert usual_event(encode_event(event)) is not None
    assert usual_event(encode_event(event._replace(**change))) is None


def test_an_event_of_an_older_version_is_opened_as_todays() -> None:
    event = EventEnvelope("a", 5, None, "read", None, False, b"{}", 7)
    header, schema = next((header, schema) for header, (schema, _) in schemas.envelope._WRITERS.items() if header.hex().endswith("e6f025"))
    out = io.BytesIO()
    schemaless_writer(out, schema, event._asdict())
    opened = open_event(header + out.getvalue())
    assert opened.data == encode_event(event)


def test_only_events_are_opened() -> None:
    patch = encode_patch(Patch("a", 1, 2))
    assert usual_event(patch) is None
    with pytest.raises(ValueError, match="a Patch where events are expected"):
        open_event(patch)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**70])
def test_integers_of_more_than_64_bits_are_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        encode_patch(Patch("a", number, 1))


def test_values_begin_with_the_standards_marker_and_a_little_endian_fingerprint() -> None:
    # Avro 1.11 specification: the fingerprint of "int" is 0x7275d51a3f395c8f, so its bytes begin with 8f.
    assert fingerprint(to_parsing_canonical_form("int"), "CRC-64-AVRO") == "8f5c393f1ad57572"
    assert encode_patch(Patch("a", 1, 2)).hex().startswith("c301" + PUBLISHED["patch"][-1])


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_version_can_still_be_read(name: str) -> None:
    record = next(r for r in schemas.envelope._RECORDS if r.newest["name"] == f"tailrace.{name.capitalize()}")
    assert {header.hex() for header in record.writers} == {f"c301{mark}" for mark in PUBLISHED[name]}, "a schema changed: see PUBLISHED"


def test_a_field_added_with_a_default_reads_older_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = json.loads((Path(schemas.envelope.__file__).parent / "avro" / "event.avsc").read_text())
    older = {**newest, "fields": [field for field in newest["fields"] if field["name"] != "late"]}
    (tmp_path / "older").mkdir()
    (tmp_path / "event.avsc").write_text(json.dumps(newest))
    (tmp_path / "older" / "event-1.avsc").write_text(json.dumps(older))
    record = schemas.envelope._Record(EventEnvelope, "event", tmp_path)
    monkeypatch.setattr(schemas.envelope, "_WRITERS", {header: (schema, record) for header, schema in record.writers.items()})

    out = io.BytesIO()
    mark = bytes.fromhex(fingerprint(to_parsing_canonical_form(older), "CRC-64-AVRO"))
    out.write(b"\xc3\x01" + mark)
    body = {"id": "a", "time": 5, "client": None, "kind": "read", "session": None, "document": b"{}"}
    schemaless_writer(out, parse_schema(older), body)

    assert decode(out.getvalue()) == EventEnvelope("a", 5, None, "read", None, False, b"{}")


@given(st.binary(max_size=40))
def test_foreign_bytes_are_refused_not_guessed(data: bytes) -> None:
    with pytest.raises(ValueError, match="no schema"):
        decode(data)


@given(EVENTS, st.data())
def test_damaged_bytes_are_refused_or_read_as_something_else(event: EventEnvelope, data: st.DataObject) -> None:
    whole = encode_event(event)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for read in decode, open_event:
        with pytest.raises(ValueError, match=r"damaged|no schema"):
            read(whole[:cut])
    assert usual_event(whole[:cut]) is None
    changed = whole[:cut] + data.draw(st.binary(max_size=5)) + whole[cut + 1 :]
    for read in decode, open_event:
        with suppress(ValueError):  # nothing else may be raised
            read(changed)
    with suppress(ValueError):
        if found := usual_event(changed):
            assert found[0] == decode(changed)[0]
