"""Avro on the topics, in the standard's single-object encoding: C3 01, the schema's fingerprint, the body.

No registry is needed: a reader finds the writer's schema by its 64-bit Rabin fingerprint (Avro 1.11, "Single object
encoding") among the `.avsc` files here and the older versions in `avro/older/`. The document travels as bytes because
that is what makes it cheap: an envelope costs 1 us to encode, a typed record of 60 nullable fields 34 us.
"""

import io
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas import pattern
from schemas.codec import LENGTHS, Schema, compile_reader, compile_writer, last_long

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

    def __init__(self, shape: type, name: str, folder: Path, repeated: tuple[str, ...] = ()) -> None:
        self.shape = shape
        versions = [json.loads(file.read_text()) for file in (folder / f"{name}.avsc", *sorted((folder / "older").glob(f"{name}-*.avsc")))]
        self.writers = {_MARK + _fingerprint(schema): parse_schema(_plain(schema)) for schema in versions}
        self.header, self.newest = next(iter(self.writers.items()))
        self.write = compile_writer(self.newest, self.header, repeated)
        self.read = compile_reader(self.newest, _HEADER_BYTES)

    def encode(self, record: Any) -> bytes:
        return self.write(*record)


def _fingerprint(schema: Any) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


_REPEATED = ("client", "kind", "session", "origin")
_EVENT = _Record(EventEnvelope, "event", _FOLDER, _REPEATED)
_RECORDS = [
    _EVENT,
    _Record(Patch, "patch", _FOLDER, repeated=("session",)),
    _Record(SessionSummary, "session", _FOLDER),
    _Record(Summary, "summary", _FOLDER),
]
_READERS = {record.header: record for record in _RECORDS}
_WRITERS = {header: (schema, record) for record in _RECORDS for header, schema in record.writers.items()}
encode_event, encode_patch, encode_session, encode_summary = (record.encode for record in _RECORDS)
event_bytes = compile_writer(_EVENT.newest, _EVENT.header, _REPEATED, unset=("session", "late"))
"""event_bytes(id, time, client, kind, document, version, origin): `encode_event` of an event that has no session yet, by its fields."""


def decode(data: bytes) -> EventEnvelope | Patch | SessionSummary | Summary:
    """The record of a topic's value, whichever version wrote it.

    Raises ValueError for bytes that are not ours, and for a fingerprint that no `.avsc` file here has.
    """
    record = _READERS.get(data[:_HEADER_BYTES])
    if record is None:
        return _decode_older(data)
    try:
        return record.shape(*record.read(data))  # type: ignore[no-any-return]
    except (IndexError, ValueError) as error:
        raise ValueError(f"damaged Avro value: {error!r}") from error


def _decode_older(data: bytes) -> EventEnvelope | Patch | SessionSummary | Summary:
    found = _WRITERS.get(data[:_HEADER_BYTES])
    if found is None:
        raise ValueError(f"no schema for a value that begins with {data[:_HEADER_BYTES].hex()}")
    writer, record = found
    try:
        body = schemaless_reader(io.BytesIO(data[_HEADER_BYTES:]), writer, record.newest)
    except Exception as error:  # fastavro has no error type of its own: IndexError, EOFError, struct.error, KeyError
        raise ValueError(f"damaged Avro value: {error!r}") from error
    return record.shape(**body)  # type: ignore[no-any-return]


class OpenEvent(msgspec.Struct, frozen=True, gc=False):
    """An event before it has a session: what decides the session, and where it goes into the bytes."""

    data: bytes
    id: str
    time: int | None
    client: str | None
    kind: str
    session_begin: int
    """Where its session stands in `data`, with `late` behind it."""
    document_begin: int
    """Where the document stands, its size included."""
    document_end: int
    document: bytes
    origin: int | None


class Stamp:
    """What a session adds to each of its events, encoded once for all of them."""

    __slots__ = ("_opening", "_session")

    def __init__(self, session: int | None, late: bool = False, fields: bytes | None = None) -> None:
        """`fields`: further fields, a JSON object that is not empty, which become part of the document."""
        self._session = _session_and_late(session, late)
        self._opening = None if fields is None else fields[:-1] + b","

    def on(self, event: OpenEvent) -> bytes:
        """The event with its session, encoded."""
        data, opening = event.data, self._opening
        if opening is None:
            return data[: event.session_begin] + self._session + data[event.document_begin :]
        own = event.document[1:]
        size = LENGTHS[len(opening) + len(own)]
        return b"".join((data[: event.session_begin], self._session, size, opening, own, data[event.document_end :]))


def _fields(*names: str) -> Schema:
    """The part of an event's schema that is these fields, which must stand side by side."""
    fields = _EVENT.newest["fields"]
    first = [field["name"] for field in fields].index(names[0])
    part = fields[first : first + len(names)]
    assert [field["name"] for field in part] == list(names), f"{names} do not stand side by side"
    return {"fields": part}


_session_and_late = compile_writer(_fields("session", "late"), b"", ("session",))
_open = compile_reader(
    _EVENT.newest, _HEADER_BYTES, ("id", "time", "client", "kind", "session.begin", "document.begin", "document", "version.begin", "origin")
)


def _open_other(data: bytes) -> OpenEvent:
    """An event that the pattern does not match. Raises ValueError."""
    if data[:_HEADER_BYTES] != _EVENT.header:
        event = decode(data)
        if not isinstance(event, EventEnvelope):
            raise ValueError(f"a {type(event).__name__} where events are expected")
        data = encode_event(event)  # as today's version
    try:
        identity, time, client, kind, session_begin, begin, document, end, origin = _open(data)
    except (IndexError, ValueError) as error:
        raise ValueError(f"damaged Avro value: {error!r}") from error
    return OpenEvent(data, identity, time, client, kind, session_begin, begin, end, document, origin)


_to_document = re.compile(
    re.escape(_EVENT.header)
    + pattern.pattern(_fields("id", "time"), {"id": pattern.group(pattern.TEXT), "time": pattern.REST_AND_STRETCH})
    + pattern.group(pattern.pattern(_fields("client", "kind")))
    + pattern.pattern(_fields("session", "late", "document"), {"document": pattern.group(pattern.SIZE)}),
    re.DOTALL,
).match
_WHO = 4
"""The group of client and kind. Behind it stands the session."""
_who = lru_cache(16_384)(compile_reader(_fields("client", "kind"), 0))
_read_tail = compile_reader(_fields("version", "origin"), 0)


@lru_cache(1024)
def _tail(data: bytes) -> tuple[int | None, int | None] | None:
    """Version and origin, from all that follows an event's document; None where that is not what has to follow."""
    try:
        version, origin = _read_tail(data)
    except (IndexError, ValueError):
        return None
    return version, origin


def open_event(data: bytes) -> OpenEvent:
    """An event of `<source>.events`. Raises ValueError as `decode` does, and for records that are no event."""
    head = _to_document(data)
    if head is None:
        return _open_other(data)
    identity, rest, stretch, who, size = head.groups()
    begin = head.end()
    end = begin + last_long(size)
    tail = _tail(data[end:])
    if tail is None:
        return _open_other(data)
    time = None if stretch is None else pattern.integer(rest, stretch)
    try:
        client, kind = _who(who)
        return OpenEvent(data, identity[1:].decode(), time, client, kind, head.end(_WHO), begin - len(size), end, data[begin:end], tail[1])
    except UnicodeDecodeError:
        return _open_other(data)


STRETCH_MS = 1 << pattern.STRETCH_BITS

UsualEvent = tuple[str, bytes | None, int | None, bytes, int | None]
"""id; stretch of time: the same bytes for all times from one multiple of `STRETCH_MS` to the next, None for no time; session; the
document without its opening brace; version."""

_to_indexed = re.compile(
    re.escape(_EVENT.header)
    + pattern.pattern(
        _fields("id", "time", "client", "kind", "session", "late", "document"),
        {"id": pattern.group(pattern.TEXT), "time": pattern.STRETCH, "session": pattern.group(pattern.INTEGER), "late": pattern.NO}
        | {"document": pattern.group(pattern.SIZE)},
    ),
    re.DOTALL,
).match


def usual_event(data: bytes) -> UsualEvent | None:
    """What a sink needs of nearly all events. None for what is left to `decode`: late events, events with a text of more than
    `schemas.pattern.LONGEST_TEXT` bytes or of 1970 and before, records of older versions and other kinds, damaged ones.

    Raises ValueError for an id that is not UTF-8.
    """
    head = _to_indexed(data)
    if head is None:
        return None
    identity, stretch, session, size = head.groups()
    begin = head.end()
    end = begin + last_long(size)
    tail = _tail(data[end:])
    if tail is None:
        return None
    return identity[1:].decode(), stretch, None if session is None else last_long(session), data[begin + 1 : end], tail[0]
