"""Usual records of the event log, read in one go: as far as their documents' JSON, with no dictionary between.

Usual is a record of known fields, each of its type, with an id, an instant and an address: msgspec sees that while it reads it, at a
lower price than that of reading a dictionary. All else is left to `schemas.dataone.parse`, which gives the same for usual records, at
twice the price.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from schemas.address import canonical_address
from schemas.dataone.fields import DROPPED, KNOWN, LEAST_LONG, LISTS, MOST_LONG, PROPERTIES
from schemas.dataone.instant import moment
from schemas.dataone.parse import envelope
from schemas.event import Usual
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import ReadUsual, UsualReader

LONGEST_ID = 128
"""Characters; 512 bytes at the most, whatever they are."""

_TYPES: dict[str, Any] = {"long": Annotated[int, msgspec.Meta(ge=LEAST_LONG, le=MOST_LONG)], "boolean": bool}


def _type(name: str) -> Any:
    return list[str] if name in LISTS else _TYPES.get(PROPERTIES[name]["type"], str)


_Fields = list[tuple[str, Any, Any]]
_KEPT: _Fields = [(name, _type(name) | None | UnsetType, UNSET) for name in KNOWN]
_ADDED: _Fields = [("eventId", str, ""), ("stamp", str, msgspec.field(default="", name="@timestamp")), ("offset", int, 0)]
_Record = msgspec.defstruct("_Record", _KEPT + [(name, Any, UNSET) for name in DROPPED], forbid_unknown_fields=True, gc=False)
_Opening: Any = msgspec.defstruct("_Opening", _KEPT + _ADDED, gc=False)
"""What a document holds of its record and of its place in the file."""

_decode = msgspec.json.Decoder(_Record).decode
_json = msgspec.json.Encoder().encode


def reader(beat_name: str, static: dict[str, str]) -> UsualReader:
    """`static`: the source's own fields, to which those of a place are added."""

    def of_file(place: Place, clock: LocalClock | None) -> ReadUsual | None:
        if place.encoding != "utf-8":
            return None
        ending = b"," + _json(envelope(place, beat_name, static))[1:-1] + b","

        def read(value: bytes, offset: int) -> Usual | None:
            """4 us for a line of 760 bytes."""
            try:
                record: Any = _decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
            identity, logged, address = record.id, record.dateLogged, record.ipAddress
            if not identity or not logged or not address or len(identity) > LONGEST_ID or identity.isspace():
                return None
            instant, client = moment(logged), canonical_address(address)
            if instant is None or client is None:
                return None
            time, stamp = instant
            opening = _json(_Opening(*astuple(record)[: len(KNOWN)], identity, stamp, offset))[:-1] + ending
            agent, subject, version = record.userAgent or "", record.subject or None, record._version_
            kind = record.event or ""
            return Usual(identity, time, client, kind, address, opening, agent, subject, None if version is UNSET else version)

        return read

    return of_file
