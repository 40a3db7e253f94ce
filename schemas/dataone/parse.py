"""A raw record to its event or dead letter."""

from importlib.metadata import version
from typing import Any

import msgspec

from schemas.address import canonical_address
from schemas.dataone.clean import clean
from schemas.dataone.instant import moment
from schemas.event import Dead, Document, Event, Parsed
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import ParseRecord

LONGEST_ID_BYTES = 512
"""Elasticsearch takes no longer `_id`."""
MOST_PROBLEMS = 100
"""A document lists no more, so that a hostile line cannot swell into one that no topic takes."""

_NO_DATE = "dateLogged:not_a_date"
_VERSION = version("tailrace")
_decode = msgspec.json.Decoder().decode


def parser(beat_name: str, static: dict[str, str]) -> ParseRecord:
    """`static`: the source's own fields, to which those of a place are added."""

    def parse(value: bytes, place: Place, offset: int, clock: LocalClock | None = None) -> Parsed:
        return [_parse(value, place, offset, beat_name, static)]

    return parse


def _parse(value: bytes, place: Place, offset: int, beat_name: str, static: dict[str, str]) -> Event | Dead:
    record = _object(value, place.torn, offset)
    if isinstance(record, Dead):
        return record
    problems: list[str] = []
    clean(record, problems)
    id_ = record.get("id")
    if not id_ or id_.isspace():
        return Dead("no_id", "the event has no id, so that its copies could not be told from it", value, offset)
    if len(id_.encode()) > LONGEST_ID_BYTES:
        return Dead("id_too_long", f"the event's id is longer than {LONGEST_ID_BYTES} bytes, the most Elasticsearch takes", value, offset)

    tags: list[str] = []
    record["eventId"] = id_
    time = _stamp(record, tags, problems)
    client = client_of(record)
    if client is None and record.get("ipAddress") is not None:
        problems.append("ipAddress:not_an_address")
    record.update(envelope(place, beat_name, static))
    record["offset"] = offset
    record["tags"] = tags
    if problems:
        record["problems"] = problems[:MOST_PROBLEMS]
    return Event(id_, time, client, record.get("event") or "", record)


def envelope(place: Place, beat_name: str, static: dict[str, str]) -> Document:
    """What the documents of a file have in common."""
    return {
        "beat": {"name": beat_name, "hostname": place.host, "version": _VERSION},
        "fields": {**static, **place.fields, "entryType": beat_name},
        "host": place.host,
        "source": place.path,
        "file": place.file,
    }


def _object(value: bytes, torn: bool, offset: int) -> Document | Dead:
    try:
        record = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
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
    if _NO_DATE in problems:  # from here, or from `clean` for what is not even text
        tags.append("_dateparsefailure")
    else:
        problems.append("dateLogged:missing")
    return None


def client_of(document: Document) -> str | None:
    address = document.get("ipAddress")
    return canonical_address(address) if isinstance(address, str) else None


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
