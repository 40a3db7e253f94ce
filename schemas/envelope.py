"""Avro on the topics, in the standard's single-object encoding: C3 01, the schema's fingerprint, the body.

No registry is needed: a reader finds the writer's schema by its 64-bit Rabin fingerprint (Avro 1.11, "Single object
encoding") among the `.avsc` files here and the older versions in `avro/older/`. The document travels as bytes because
that is what makes it cheap: an envelope costs 3.6 us to encode, a typed record of 60 nullable fields 34 us.
"""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

_FOLDER = Path(__file__).parent / "avro"
_MARK = b"\xc3\x01"
_HEADER_BYTES = 10


class EventEnvelope(NamedTuple):
    id: str
    time: int | None
    """Milliseconds since 1970."""
    client: str | None
    kind: str
    session: int | None
    late: bool
    document: bytes
    version: int | None = None
    """Of several records of one event the one with the highest version stands; None where the source has none."""
    origin: int | None = None
    """A number for the file or feed that the record came from (`schemas.place.origin`)."""


class Patch(NamedTuple):
    id: str
    time: int
    session: int
    fields: bytes | None = None
    """Further fields of the document to set: a JSON object without sessionId that is not empty."""


class SessionSummary(NamedTuple):
    id: int
    client: str
    start: int
    end: int
    events: int


class Summary(NamedTuple):
    """A document that sums up events; of the index `<index>-<family>-YYYY.MM`."""

    id: str
    time: int
    """Milliseconds since 1970; says the month, and is the same in every record of this id."""
    family: str
    document: bytes | None
    """The whole document as a JSON object; None where there is none any more."""


def _plain(schema: Any) -> Any:
    """The schema without logical types: times stay integers, which is faster and what everything here works with."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [_plain(value) for value in schema]
    return schema


class _Record:
    """One of our record types: its newest schema for writing, every version ever written for reading."""

    def __init__(self, shape: type, name: str, folder: Path) -> None:
        self.shape = shape
        versions = [json.loads(file.read_text()) for file in (folder / f"{name}.avsc", *sorted((folder / "older").glob(f"{name}-*.avsc")))]
        self.writers = {_fingerprint(schema): parse_schema(_plain(schema)) for schema in versions}
        mark, self.newest = next(iter(self.writers.items()))
        self.header = _MARK + mark

    def encode(self, record: Any) -> bytes:
        out = io.BytesIO()
        out.write(self.header)
        schemaless_writer(out, self.newest, record._asdict())
        return out.getvalue()


def _fingerprint(schema: Any) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


_RECORDS = [
    _Record(EventEnvelope, "event", _FOLDER),
    _Record(Patch, "patch", _FOLDER),
    _Record(SessionSummary, "session", _FOLDER),
    _Record(Summary, "summary", _FOLDER),
]
_READERS = {_MARK + mark: (writer, record.newest, record.shape) for record in _RECORDS for mark, writer in record.writers.items()}
encode_event, encode_patch, encode_session, encode_summary = (record.encode for record in _RECORDS)


def decode(data: bytes) -> EventEnvelope | Patch | SessionSummary | Summary:
    """The record of a topic's value, whichever version wrote it.

    Raises ValueError for bytes that are not ours, and for a fingerprint that no `.avsc` file here has.
    """
    found = _READERS.get(data[:_HEADER_BYTES])
    if found is None:
        raise ValueError(f"no schema for a value that begins with {data[:_HEADER_BYTES].hex()}")
    writer, reader, shape = found
    try:
        body = schemaless_reader(io.BytesIO(data[_HEADER_BYTES:]), writer, None if writer is reader else reader)
    except Exception as error:  # fastavro has no error type of its own: IndexError, EOFError, struct.error, KeyError
        raise ValueError(f"damaged Avro value: {error!r}") from error
    if writer is reader:  # the values come in the order of the fields, which saves 1 us of 8
        return shape(*body.values())  # type: ignore[no-any-return]
    return shape(**body)  # type: ignore[no-any-return]
