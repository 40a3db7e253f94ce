"""DataONE's event log: one JSON object per line, written by the coordinating nodes' log aggregation.

A document keeps the record's own names and values; 16 fields of upstream's geolocation and robot guesses are dropped,
since `streams.enrich` works them out anew. What would make Elasticsearch refuse the document (a list for a pid, a key
`tags`, an integer of 70 bits) is put right or left out, and named in `problems` as `name:reason`.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType, to_builtins
from msgspec.structs import astuple

from schemas import counter
from schemas.address import canonical_address
from schemas.common import BOOLEAN, COMMON_PROPERTIES, DATE, IP, KEYWORD, LONG, USER_AGENT_PROPERTIES, Mapping, text_and
from schemas.event import Dead, Document, Event, Parsed
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import Source, SourceSettings

DROPPED = frozenset(
    {"location", "country", "region", "city", "inFullRobotList", "inPartialRobotList", "isPublic"}
    | {f"geohash_{digits}" for digits in range(1, 10)}
)

PROPERTIES: Mapping = {
    "id": {"type": "text"},
    "eventId": KEYWORD,
    "entryId": {"type": "text"},
    "nodeId": KEYWORD,
    "pid": text_and("key"),
    "seriesId": KEYWORD,
    "portalIdentifier": text_and("keyword"),
    "event": text_and("key"),
    "event_type": KEYWORD,
    "metric_type": text_and("key"),
    "formatType": KEYWORD,
    "formatId": text_and("key"),
    "dateLogged": DATE,
    "dateAggregated": DATE,
    "dateUpdated": DATE,
    "ipAddress": IP,
    "userAgent": text_and("keyword"),
    "size": LONG,
    "rightsHolder": text_and("key"),
    "subject": text_and("key"),
    "readPermission": KEYWORD,
    "versionCompliance": KEYWORD,
    "isRepeatVisit": BOOLEAN,
    "_version_": LONG,
    "beat": {"properties": {"name": KEYWORD, "hostname": text_and("keyword"), "version": KEYWORD}},
    "user_agent": USER_AGENT_PROPERTIES,
    "counter": counter.PROPERTIES,
}
"""`id` is text as in the index that DataONE's clients were written for; `eventId` is its exact twin."""

NOBODY = frozenset({"", "public", "authenticatedUser", "verifiedUser"})
"""Subjects that are no person's."""

LISTS = frozenset({"readPermission", "portalIdentifier"})
LONGEST_ID_BYTES = 512
"""Elasticsearch takes no longer `_id`."""
SHORT = LONGEST_ID_BYTES // 4
"""Characters that are no more bytes than that, whatever they are."""
LONGEST_NAME = 256
"""Characters of a field's name; Elasticsearch would refuse the whole document for one over 32,766 bytes."""
LEAST_LONG, MOST_LONG = -(1 << 63), (1 << 63) - 1
MOST_PROBLEMS = 100
"""A document lists no more, so that a hostile line cannot swell into one that no topic takes."""

_RESERVED = frozenset(
    {*COMMON_PROPERTIES, "beat", "eventId", "user_agent", "counter"}
    # Elasticsearch's own, which it refuses in a document.
    | {"_id", "_index", "_source", "_routing", "_field_names", "_ignored", "_ignored_source", "_nested_path", "_seq_no", "_version"}
    | {"_primary_term", "_tier", "_type", "_doc_count", "_feature", "_inference_fields", "_data_stream_timestamp"}
)
_MINUTE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:"
_MOMENT = re.compile(_MINUTE + r"[0-5][0-9](?:\.[0-9]{1,9})?(?:Z|[+-](?:0[0-9]|1[0-7]):?[0-9]{2})")
_WHOLE_MINUTE = re.compile(_MINUTE)
_SECONDS = {f"{second:02}": second * 1000 for second in range(60)}
_DIGITS = [f"{number:0{length}}" for length in (1, 2, 3) for number in range(10**length)]
_FRACTIONS = {"Z": (0, ".000Z")} | {f".{digits}Z": (int(f"{digits:0<3}"), f".{digits:0<3}Z") for digits in _DIGITS}
"""The ends of nearly all instants: how many milliseconds, and how they are written with three digits."""
_NO_DATE = "dateLogged:not_a_date"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION = version("tailrace")
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.json.Decoder().decode

Cleaner = Callable[[Any], tuple[Any, str | None]]
"""The value to keep (None: leave the field out) and the problem to list."""


def source(name: str, settings: SourceSettings) -> Source:
    """The source of a block `[sources.NAME]` with format dataone."""
    index = settings.index or name
    beat_name = settings.name or index

    def parse(value: bytes, place: Place, offset: int, clock: LocalClock | None = None) -> Parsed:
        return [_parse(value, place, offset, beat_name, settings.fields)]

    return Source(
        name=name,
        settings=settings,
        index=index,
        parse=parse,
        properties=PROPERTIES,
        session_kinds=frozenset({"read"}),
        address_field="ipAddress",
        user_agent_field="userAgent",
        user_agent_details=settings.user_agent_details,
        subject_field="subject",
        client_of=_client_of,
        person_fields=("subject",),
        nobody=NOBODY,
        counter_kinds=frozenset({"read"}),
        version_field="_version_",
        client_fields=("ipAddress",),
        kind_field="event",
    )


def moment(text: str) -> tuple[int, str] | None:
    """An instant in milliseconds since 1970 and in the form `2018-05-18T23:55:19.290Z`; None where there is none.

    The fraction has 0 to 9 digits (`.29` is 290 ms; what is finer than a millisecond is cut off, as Elasticsearch does). A time
    without a zone is no instant.
    """
    try:
        milliseconds, fraction = _FRACTIONS[text[19:]]
        return _minute(text[:17]) + _SECONDS[text[17:19]] + milliseconds, text[:19] + fraction
    except (KeyError, ValueError):
        return _any_moment(text)


def _any_moment(text: str) -> tuple[int, str] | None:
    """`moment`, at four times the price."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        utc = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return (utc - _EPOCH) // _MILLISECOND, utc.isoformat(timespec="milliseconds")[:-6] + "Z"


@lru_cache(maxsize=4096)
def _minute(minute: str) -> int:
    """Milliseconds since 1970 of a minute in UTC, `2018-05-18T23:55:`. Raises ValueError for what is none of any calendar."""
    if not _WHOLE_MINUTE.fullmatch(minute):
        raise ValueError(f"no such minute: {minute}")
    return (datetime.fromisoformat(f"{minute}00+00:00") - _EPOCH) // _MILLISECOND


def _parse(value: bytes, place: Place, offset: int, beat_name: str, static: dict[str, str]) -> Event | Dead:
    problems: list[str] = []
    try:
        usual = _decode_usual(value)
    except _NOT_JSON:
        record = _object(value, place.torn, offset)
        if isinstance(record, Dead):
            return record
        _clean(record, problems)
    else:
        record = to_builtins(_Kept(*astuple(usual)[:_KEPT_FIELDS]))
    id_ = record.get("id")
    if not id_ or id_.isspace():
        return Dead("no_id", "the event has no id, so that its copies could not be told from it", value, offset)
    if len(id_) > SHORT and len(id_.encode()) > LONGEST_ID_BYTES:
        return Dead("id_too_long", f"the event's id is longer than {LONGEST_ID_BYTES} bytes, the most Elasticsearch takes", value, offset)

    tags: list[str] = []
    record["eventId"] = id_
    time = _stamp(record, tags, problems)
    address = record.get("ipAddress")
    client = None if address is None else canonical_address(address)
    if client is None and address is not None:
        problems.append("ipAddress:not_an_address")
    record["beat"] = _beat(beat_name, place.host)
    record["fields"] = {**static, **place.fields, "entryType": beat_name}
    record["host"] = place.host
    record["source"] = place.path
    record["file"] = place.file
    record["offset"] = offset
    record["tags"] = tags
    if problems:
        record["problems"] = problems[:MOST_PROBLEMS]
    return Event(id_, time, client, record.get("event") or "", record)


@lru_cache(maxsize=256)
def _beat(name: str, host: str) -> dict[str, str]:
    """Shared by the documents of a host, so nobody changes it."""
    return {"name": name, "hostname": host, "version": _VERSION}


def _object(value: bytes, torn: bool, offset: int) -> Document | Dead:
    try:
        record = _decode(value)
    except _NOT_JSON as error:
        found = Dead("not_json", f"the line is not JSON: {error}", value, offset)
    else:
        if type(record) is dict:
            return record
        found = Dead("not_an_object", f"the line is JSON, but {_json_type(record)} and no object", value, offset)
    return Dead("torn_at_end_of_file", "the file ends in the middle of this line", value, offset) if torn else found


def _stamp(record: Document, tags: list[str], problems: list[str]) -> int | None:
    """Set `@timestamp` from `dateLogged`; the tag is Logstash's, which users filter by."""
    logged = record.get("dateLogged")
    found = moment(logged) if logged is not None else None
    if found is not None:
        time, record["@timestamp"] = found
        return time
    if logged is not None:
        problems.append(_NO_DATE)
    if _NO_DATE in problems:  # from here, or from _clean for what is not even text
        tags.append("_dateparsefailure")
    else:
        problems.append("dateLogged:missing")
    return None


def _client_of(document: Document) -> str | None:
    address = document.get("ipAddress")
    return canonical_address(address) if isinstance(address, str) else None


def _clean(record: Document, problems: list[str]) -> None:
    """Leave in the record only what its mapping takes."""
    odd = [name for name, value in record.items() if type(value) is not _USUAL.get(name)]
    for name in odd:
        if name in DROPPED:
            del record[name]
            continue
        if name not in _CLEANERS and not _usable(name):
            del record[name]
            problems.append(f"{name[:LONGEST_NAME]}:unusable_name")
            continue
        value = record[name]
        if value is None:  # as good as missing, to Elasticsearch too
            continue
        kept, problem = _CLEANERS.get(name, _other)(value)
        if problem is not None:
            problems.append(f"{name}:{problem}")
        if kept is None:
            del record[name]
        else:
            record[name] = kept


def _usable(name: str) -> bool:
    """False for names that Elasticsearch refuses, that are ours, or whose dots would reach into another field."""
    return name not in _RESERVED and "." not in name and len(name) <= LONGEST_NAME and bool(name.strip())


def _text(value: Any) -> tuple[Any, str | None]:
    if isinstance(value, (dict, list)):
        return None, "not_text"
    return value if isinstance(value, str) else _json(value), None if isinstance(value, str) else "not_text"


def _texts(value: Any) -> tuple[Any, str | None]:
    if not isinstance(value, list):
        text, problem = _text(value)
        return (None if text is None else [text]), problem or "not_a_list"
    if all(type(item) is str for item in value):
        return value, None
    return [text for text, _ in map(_text, value) if text is not None], "not_text"


def _integer(value: Any) -> tuple[Any, str | None]:
    if type(value) is int:
        return (value, None) if _is_long(value) else (None, "out_of_range")
    return None, "not_an_integer"


def _date(value: Any) -> tuple[Any, str | None]:
    """Elasticsearch would take a number for milliseconds since 1970."""
    return (value, None) if type(value) is str else (None, "not_a_date")


def _boolean(value: Any) -> tuple[Any, str | None]:
    return None, "not_a_boolean"


def _other(value: Any) -> tuple[Any, str | None]:
    """A field that DataONE has not had so far: plain values and lists of them as they are, anything deeper as JSON text.

    So no line can make a mapping that other lines do not fit, and none is too deep to be written again.
    """
    if _is_plain(value) or (isinstance(value, list) and all(map(_is_plain, value))):
        return value, None
    try:
        return _json(value), "kept_as_text"
    except RecursionError:
        return None, "too_deep"


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, float)) or (isinstance(value, int) and _is_long(value))


def _is_long(value: int) -> bool:
    return LEAST_LONG <= value <= MOST_LONG


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _cleaner(name: str) -> Cleaner:
    if name in LISTS:
        return _texts
    return {"long": _integer, "boolean": _boolean, "date": _date}.get(PROPERTIES[name]["type"], _text)


_CLEANERS: dict[str, Cleaner] = {name: _cleaner(name) for name in PROPERTIES if name not in _RESERVED}
_USUAL: dict[str, type] = {
    name: bool if clean is _boolean else str for name, clean in _CLEANERS.items() if clean is not _texts and clean is not _integer
}
"""Types whose values need no second look."""

_TYPES: dict[Cleaner, Any] = {
    _text: str,
    _date: str,
    _boolean: bool,
    _integer: Annotated[int, msgspec.Meta(ge=LEAST_LONG, le=MOST_LONG)],
    _texts: list[str],
}
_Kept: Any = msgspec.defstruct("_Kept", [(name, _TYPES[clean] | None | UnsetType, UNSET) for name, clean in _CLEANERS.items()], gc=False)
_KEPT_FIELDS = len(_CLEANERS)
_Usual = msgspec.defstruct("_Usual", [(name, Any, UNSET) for name in DROPPED], bases=(_Kept,), forbid_unknown_fields=True, gc=False)
"""A record that needs no cleaning: msgspec sees that while it reads it, at a lower price than that of reading a dictionary."""
_decode_usual = msgspec.json.Decoder(_Usual).decode
