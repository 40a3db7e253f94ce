"""The topics' Avro: round trips, the standard's framing, and that yesterday's bytes can be read today."""

import io
import json
from pathlib import Path

import pytest
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form
from hypothesis import given
from hypothesis import strategies as st

import schemas.envelope
from schemas.envelope import (
    EventEnvelope,
    Patch,
    SessionSummary,
    Summary,
    decode,
    encode_event,
    encode_patch,
    encode_session,
    encode_summary,
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


@given(
    st.builds(
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
)
def test_event_comes_back_as_it_was(event: EventEnvelope) -> None:
    assert decode(encode_event(event)) == event


@given(st.builds(Patch, TEXT, INT64, INT64, st.none() | st.binary(max_size=50)))
def test_patch_comes_back_as_it_was(patch: Patch) -> None:
    assert decode(encode_patch(patch)) == patch


@given(st.builds(SessionSummary, INT64, TEXT, INT64, INT64, st.integers(0, 2**31 - 1)))
def test_session_comes_back_as_it_was(session: SessionSummary) -> None:
    assert decode(encode_session(session)) == session


@given(st.builds(Summary, TEXT, INT64, TEXT, st.none() | st.binary(max_size=50)))
def test_summary_comes_back_as_it_was(summary: Summary) -> None:
    assert decode(encode_summary(summary)) == summary


def test_values_begin_with_the_standards_marker_and_a_little_endian_fingerprint() -> None:
    # Avro 1.11 specification: the fingerprint of "int" is 0x7275d51a3f395c8f, so its bytes begin with 8f.
    assert fingerprint(to_parsing_canonical_form("int"), "CRC-64-AVRO") == "8f5c393f1ad57572"
    assert encode_patch(Patch("a", 1, 2)).hex().startswith("c301" + PUBLISHED["patch"][-1])


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_version_can_still_be_read(name: str) -> None:
    record = next(r for r in schemas.envelope._RECORDS if r.newest["name"] == f"tailrace.{name.capitalize()}")
    assert {mark.hex() for mark in record.writers} == set(PUBLISHED[name]), "a schema changed: see PUBLISHED"


def test_a_field_added_with_a_default_reads_older_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = json.loads((Path(schemas.envelope.__file__).parent / "avro" / "event.avsc").read_text())
    older = {**newest, "fields": [field for field in newest["fields"] if field["name"] != "late"]}
    (tmp_path / "older").mkdir()
    (tmp_path / "event.avsc").write_text(json.dumps(newest))
    (tmp_path / "older" / "event-1.avsc").write_text(json.dumps(older))
    record = schemas.envelope._Record(EventEnvelope, "event", tmp_path)
    readers = {b"\xc3\x01" + mark: (writer, record.newest, record.shape) for mark, writer in record.writers.items()}
    monkeypatch.setattr(schemas.envelope, "_READERS", readers)

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


@given(st.integers(10, 60))
def test_damaged_bytes_are_refused(length: int) -> None:
    whole = encode_event(EventEnvelope("id" * 10, 1, "c", "read", 1, False, b"{" + b" " * 20 + b"}"))
    with pytest.raises(ValueError, match=r"damaged|no schema"):
        decode(whole[: min(length, len(whole) - 1)])
