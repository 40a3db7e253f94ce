"""Sources of a user's own, by configuration alone: delimited columns, JSON objects, a regular expression.

A document holds the record's fields under their own names, typed as `types` says, and what every document holds (see
`schemas.common`). A value that does not fit its type is left out and named in `problems` as `name:reason`.
"""

import csv
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from schemas import framing
from schemas.address import canonical_address
from schemas.common import BOOLEAN, COMMON_PROPERTIES, DATE, IP, KEYWORD, LONG, TEXT, USER_AGENT_PROPERTIES, Mapping
from schemas.event import Dead, Document, Event, Parsed
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import FieldType, Source, SourceSettings
from schemas.timeformat import ReadTime, iso, reader
from schemas.values import INT64, boolean, integer, number

LONGEST_ID_BYTES = 512
"""Elasticsearch takes no longer `_id`."""

_MAPPINGS: dict[FieldType, Mapping] = {
    "keyword": KEYWORD,
    "text": {**TEXT, "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
    "integer": LONG,
    "float": {"type": "double"},
    "boolean": BOOLEAN,
    "ip": IP,
    "date": DATE,
}
_TEXT_CONVERTERS: dict[FieldType, Callable[[str], int | float | str]] = {"integer": integer, "float": number, "boolean": boolean}
_REASONS: dict[FieldType, str] = {
    "integer": "not_an_integer",
    "float": "not_a_number",
    "boolean": "not_a_boolean",
    "ip": "not_an_address",
    "date": "not_a_date",
}
_decode = msgspec.json.Decoder().decode


class _Refusal(NamedTuple):
    reason: str
    message: str


Split = Callable[[bytes], Document | _Refusal]
"""The fields of a record (its bytes without terminator), or why it has none."""


def source(name: str, settings: SourceSettings) -> Source:
    """The source of a block `[sources.NAME]` with format delimited, json or regex.

    Raises ValueError, which begins with the key, where the block contradicts itself.
    """
    split, fields = _splitter(settings)
    _check_names(settings, fields)
    types: dict[str, FieldType] = {**dict.fromkeys(fields or (), "keyword"), **settings.types}
    for fields_given in settings.session_fields.values():
        types = {**{name: types.get(field, "keyword") for name, field in fields_given.items()}, **types}
    details = settings.user_agent_details and settings.user_agent is not None and "user_agent" not in {settings.user_agent, *types}
    given = {name for fields in settings.session_fields.values() for name in fields}
    reserved = COMMON_PROPERTIES.keys() | given | ({"user_agent"} if details else set())
    return Source(
        name=name,
        settings=settings,
        index=settings.index or name,
        parse=_parser(name, settings, split, reserved),
        properties={field: _MAPPINGS[kind] for field, kind in types.items()} | ({"user_agent": USER_AGENT_PROPERTIES} if details else {}),
        record_start=_record_start(settings.record_start),
        sessions=bool(settings.client),
        address_field=settings.address,
        user_agent_field=settings.user_agent,
        session_fields=settings.session_fields,
        client_fields=tuple(settings.client),
        kind_field=settings.kind,
        user_agent_details=details,
        client_of=lambda document: _client(document, settings.client),
        person_fields=tuple(settings.client),
    )


def _parser(
    name: str, settings: SourceSettings, split: Split, reserved: Set[str]
) -> Callable[[bytes, Place, int, LocalClock | None], Parsed]:
    try:
        read_time = reader(settings.time_format, settings.timezone)
    except ValueError as error:
        raise ValueError(f"time_format: {error}") from None
    as_date = reader("iso8601", settings.timezone)

    def parse(value: bytes, place: Place, offset: int, clock: LocalClock | None = None) -> Parsed:
        record = split((value if offset else value.removeprefix(BOM_UTF8)).removesuffix(b"\r"))
        if isinstance(record, _Refusal):
            return [Dead("torn_at_end_of_file" if place.torn else record.reason, record.message, value, offset)]
        time = None
        if settings.time is not None:
            time = read_time(record.get(settings.time))
            if time is None:
                return [Dead("invalid_time", f"{settings.time} is no time of the format {settings.time_format}", value, offset)]
        problems: list[str] = []
        _leave_out(reserved, record, settings.time, problems)
        client = _client(record, settings.client)
        kind = _as_text(record.get(settings.kind)) if settings.kind else name
        id_ = _id(record, settings.id, problems) or f"{place.file}-{offset}"
        for field, type_ in settings.types.items():
            if record.get(field) is not None:
                _convert(record, field, type_, as_date, problems)
        _complete(record, time, place, offset, problems)
        return [Event(id_, time, client, kind or "", record)]

    return parse


def _complete(record: Document, time: int | None, place: Place, offset: int, problems: list[str]) -> None:
    if time is not None:
        record["@timestamp"] = iso(time)
    if problems:
        record["problems"] = problems
    record["tags"] = []
    record["host"] = place.host
    record["source"] = place.path
    record["file"] = place.file
    record["offset"] = offset
    if place.fields:
        record["fields"] = place.fields


# How a record comes apart.


def _splitter(settings: SourceSettings) -> tuple[Split, tuple[str, ...] | None]:
    """How to split, and the names of the fields that gives; None where only the records know."""
    match settings.format:
        case "delimited":
            return _delimited(settings.delimiter, tuple(settings.columns))
        case "regex":
            return _regex(settings.pattern)
        case _:
            return (_renamed(settings.rename) if settings.rename else _json), None


def _delimited(delimiter: str, columns: tuple[str, ...]) -> tuple[Split, tuple[str, ...]]:
    """Columns between delimiters. The last one takes what is left; a column may stand in quotes, as in CSV."""
    if not columns:
        raise ValueError('columns: missing; name the columns in their order, such as columns = ["time", "user", "what"]')
    if not delimiter:
        raise ValueError('delimiter: empty; write the text between two columns, such as "," or "\\t"')
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(f'columns: "{column}" occurs twice')

    def split(value: bytes) -> Document | _Refusal:
        text = value.decode("utf-8", "replace")
        parts = _quoted(text, delimiter) if '"' in text and len(delimiter) == 1 else text.split(delimiter)
        if len(parts) < len(columns):
            return _Refusal("too_few_columns", f"{len(parts)} of {len(columns)} columns: {', '.join(columns)}")
        if len(parts) > len(columns):
            parts[len(columns) - 1 :] = [delimiter.join(parts[len(columns) - 1 :])]
        return dict(zip(columns, parts, strict=True))

    return split, columns


def _quoted(text: str, delimiter: str) -> list[str]:
    try:
        (parts,) = csv.reader([text], delimiter=delimiter)
    except (csv.Error, TypeError, ValueError):  # no CSV after all: quotes are text
        return text.split(delimiter)
    return parts


def _regex(pattern: str | None) -> tuple[Split, tuple[str, ...]]:
    if pattern is None:
        raise ValueError(r"pattern: missing; write a regular expression with named groups, such as '(?P<user>\S+) (?P<what>.*)'")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"pattern: no regular expression: {error}") from None
    if not compiled.groupindex:
        raise ValueError("pattern: has no named group; write (?P<name>...) around what is to become the field `name`")

    def split(value: bytes) -> Document | _Refusal:
        found = compiled.fullmatch(value.decode("utf-8", "replace"))
        if found is None:
            return _Refusal("no_match", "the pattern does not match the whole record")
        return {field: text for field, text in found.groupdict().items() if text is not None}

    return split, tuple(compiled.groupindex)


def _json(value: bytes) -> Document | _Refusal:
    try:
        record = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _Refusal("not_json", f"the record is not JSON: {error}")
    if not isinstance(record, dict):
        return _Refusal("not_json", "the record is JSON, but no object")
    return {field: _storable(content) for field, content in record.items()}


def _renamed(names: dict[str, str]) -> Split:
    """JSON whose fields get the names that `rename` gives them. A field whose new name is taken stays where it is."""
    paths = [(old, old.split("."), new) for old, new in names.items()]

    def split(value: bytes) -> Document | _Refusal:
        record = _json(value)
        if isinstance(record, _Refusal):
            return record
        for old, path, new in paths:
            if new not in record:
                with suppress(KeyError):
                    record[new] = _take_out(record, [old] if old in record else path)
        return record

    return split


def _take_out(record: Document, path: list[str]) -> Any:
    """The value at the end of a path of names, taken out with the objects that are empty then. Raises KeyError where there is none."""
    name, *rest = path
    if not rest:
        return record.pop(name)
    inner = record[name]
    if not isinstance(inner, dict):
        raise KeyError(name)
    value = _take_out(inner, rest)
    if not inner:
        del record[name]
    return value


def _storable(value: Any, depth: int = 20) -> Any:
    """The value as a document can hold it: what is nested deeper than Elasticsearch takes, or is no 64-bit integer, as text."""
    if type(value) is int and not -INT64 <= value < INT64:
        return str(value)
    if isinstance(value, (dict, list)) and not depth:
        return msgspec.json.encode(value).decode()
    if isinstance(value, dict):
        return {key: _storable(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth - 1) for item in value]
    return value


# What the fields mean.


def _leave_out(reserved: Set[str], record: Document, time: str | None, problems: list[str]) -> None:
    """Take out what has a name of ours. `@timestamp` may be the time itself, which then stands there."""
    for field in sorted(reserved & record.keys()):
        del record[field]
        if not field == time == "@timestamp":
            problems.append(f"{field}:reserved_name")


def _convert(record: Document, field: str, kind: FieldType, as_date: ReadTime, problems: list[str]) -> None:
    """Give a field its type, or leave it out."""
    value = record[field]
    converted, reason = _typed(value, kind, as_date)
    if reason:
        del record[field]
        problems.append(f"{field}:{reason}")
    elif converted is not value:
        record[field] = converted


def _typed(value: Any, kind: FieldType, as_date: ReadTime) -> tuple[Any, str | None]:
    """The value of the type that a text, or a value of JSON, spells; or the reason why it spells none."""
    if kind in ("keyword", "text"):
        return value, None
    if isinstance(value, str):
        if kind in _TEXT_CONVERTERS:
            converted = _TEXT_CONVERTERS[kind](value)
            return (None, converted) if isinstance(converted, str) else (converted, None)
        if not value:
            return None, "empty"
        if kind == "ip":
            return (value, None) if canonical_address(value) else (None, _REASONS[kind])
        time = as_date(value)
        return (None, _REASONS[kind]) if time is None else (iso(time), None)
    if (kind == "integer" and type(value) is int) or (kind == "boolean" and type(value) is bool):
        return value, None
    if kind == "float" and type(value) in (int, float):
        return float(value), None
    return None, _REASONS[kind]


def _as_text(value: Any) -> str | None:
    """A value as a part of a key; None for nothing, and for what has parts of its own."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _client(record: Document, fields: list[str]) -> str | None:
    """Who: the values of the fields, an address in its canonical spelling; None where one of them is missing."""
    parts = [_as_text(record.get(field)) for field in fields]
    if not parts or None in parts:
        return None
    texts = [canonical_address(part) or part for part in parts if part is not None]
    if len(texts) == 1:
        return texts[0]
    return "|".join(text.replace("\\", "\\\\").replace("|", "\\|") for text in texts)


def _id(record: Document, field: str | None, problems: list[str]) -> str | None:
    """The record's own id; None where it has none that Elasticsearch takes, and its place has to do."""
    if field is None:
        return None
    text = _as_text(record.get(field))
    if text is None or text.isspace():
        problems.append(f"{field}:empty")
        return None
    if len(text.encode()) > LONGEST_ID_BYTES:
        problems.append(f"{field}:too_long")
        return None
    return text


# What a block must agree on.


def _check_names(settings: SourceSettings, fields: tuple[str, ...] | None) -> None:
    if settings.rename and settings.format != "json":
        raise ValueError(f'rename: only json takes it; format = "{settings.format}" names its fields itself: leave it out')
    for field in sorted({*settings.rename.values()} & COMMON_PROPERTIES.keys()):
        raise ValueError(f'rename: "{field}" is a name that every document has already; give the field another name')
    where = {"delimited": "columns", "regex": "pattern"}.get(settings.format or "", "types")
    for field in sorted({*(fields or ()), *settings.types} & COMMON_PROPERTIES.keys()):
        raise ValueError(f'{where}: "{field}" is a name that every document has already; give the field another name')
    for given in settings.session_fields.values():
        for field in sorted(given.keys() & {*COMMON_PROPERTIES, *(fields or ()), *settings.types}):
            raise ValueError(f'session_fields: "{field}" is the name of another field; give the session\'s field a name of its own')
    if settings.session_fields and not (settings.client and settings.kind):
        raise ValueError("session_fields: needs `client`, which makes sessions, and `kind`, which says what happened")
    if fields is None:
        return
    named = {"types": settings.types, "client": settings.client}
    single = {"time": settings.time, "id": settings.id, "kind": settings.kind}
    single |= {"address": settings.address, "user_agent": settings.user_agent}
    named |= {"session_fields": [field for given in settings.session_fields.values() for field in given.values()]}
    for key, names in (named | {key: [field] for key, field in single.items() if field is not None}).items():
        for field in names:
            if field not in fields:
                raise ValueError(f'{key}: "{field}" is no field of {where}{_hint(field, fields)}')


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else f"; there are {', '.join(known)}"


def _record_start(pattern: str | None) -> re.Pattern[bytes] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern.encode())
        framing.split(b"\n", compiled)
    except re.error as error:
        raise ValueError(f"record_start: no regular expression for the start of a line: {error}") from None
    except ValueError:
        raise ValueError(f'record_start: "{pattern}" matches the empty string, so every line would begin a record; leave it out') from None
    return compiled
