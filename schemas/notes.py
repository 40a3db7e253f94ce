"""What some events say of more than themselves: fields of their whole session, and playing time of what was watched.

A source says which kinds of events do (`Source.session_fields`, `Source.views`). Only their documents are parsed, and what they
say is kept beside the event's place in its session as a note: few distinct texts, so that thousands of notes take little memory.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
import orjson
from msgspec.structs import astuple

from schemas.source import Source, Views
from schemas.timeformat import iso
from schemas.values import INT64

LONGEST_NOTE = 4_096
"""Bytes of a text; an event with a longer one says nothing. Notes stand together in records, which must not grow too large for Kafka."""
LONGEST_DAY_MS = 25 * 3_600_000
"""Of local time, in autumn: events that are further apart are of different views."""
MOST_BESIDE = 500
"""Second lines of a view, the first ones by time, that its document tells."""


class Note(msgspec.Struct, frozen=True, gc=False):
    """What one event says. Most events of those who watch say something, so it is of the kind of record that costs least to make."""

    text: bytes
    """Either the fields that it gives its session, as a JSON object; or what was watched, as two lines of JSON lists: the values
    that tell one view from another (the day first), and the values of the fields beside them."""
    amount: int = 0
    """Of what was watched: seconds."""

    @property
    def gives_fields(self) -> bool:
        return self.text.startswith(b"{")


_Plain = str | int | float | bool | None
"""What a field of a view can hold."""

Reader = Callable[[bytes], Note | None]
"""reader(document): the note of an event of a kind that may have one."""


def readers(source: Source) -> dict[str, Reader]:
    """By kind: how to read what events of it say."""
    found: dict[str, Reader] = {kind: _giver(fields) for kind, fields in source.session_fields.items()}
    if source.views is not None:
        found[source.views.kind] = _viewer(source.views)
    return found


def _giver(fields: Mapping[str, str]) -> Reader:
    def read(document: bytes) -> Note | None:
        values = orjson.loads(document)
        given = {name: values[field] for name, field in fields.items() if values.get(field) not in (None, "")}
        text = orjson.dumps(given)
        return Note(text) if given and len(text) <= LONGEST_NOTE else None

    return read


def _viewer(views: Views) -> Reader:
    _, day, identity, beside, amount, _ = views
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [(amount, int), (day, str)]
    fields += [(name, _Plain, None) for name in (*identity, *beside)]
    decode = msgspec.json.Decoder(msgspec.defstruct("Watched", fields, gc=False)).decode

    @lru_cache(maxsize=65_536)
    def text(day: str, values: tuple[_Plain, ...]) -> bytes | None:
        """Both lines; None where the day is none, or they are too long."""
        if _midnight(day) is None:
            return None
        both = b"%b\n%b" % (orjson.dumps([day, *values[: len(identity)]]), orjson.dumps(values[len(identity) :]))
        return both if len(both) <= LONGEST_NOTE else None

    def read(document: bytes) -> Note | None:
        """Half the price of parsing all of the document; what is watched is watched by many, and for long."""
        try:
            values = astuple(decode(document))
        except msgspec.ValidationError:  # nothing to sum up, or no day
            return None
        both = text(values[1][:10], values[2:])
        return None if both is None else Note(both, values[0])

    return read


def view_id(client: str, key: bytes) -> str:
    """The `_id` of a client's view; `key` is the first line of its notes."""
    return blake2b(client.encode() + b"\n" + key, digest_size=16).hexdigest()


def view_time(key: bytes) -> int:
    """Midnight UTC of the view's local day, in milliseconds: it says the index, whenever on that day the first event was."""
    found = _midnight(orjson.loads(key)[0])
    assert found is not None, "a note was made of it"
    return found


@lru_cache(maxsize=4096)
def _midnight(day: str) -> int | None:
    try:
        return int(datetime.combine(date.fromisoformat(day), time(), UTC).timestamp()) * 1000
    except ValueError:
        return None


def view_document(views: Views, client: str, key: bytes, beside: list[bytes], amount: int, fields: bytes | None) -> bytes:
    """The document of a view: what was watched, by whom, for how long.

    `beside`: the second lines of its notes, by the time of their first event; a field with several values is a list of them.
    A sum that no 64-bit integer holds (a few forged events will do) is the nearest that one does.
    """
    day, *identity = orjson.loads(key)
    document: dict[str, Any] = {"@timestamp": iso(view_time(key)), "day": day, "client": client}
    document |= {field: value for field, value in zip(views.identity, identity, strict=True) if value is not None}
    rows = [orjson.loads(row) for row in beside[:MOST_BESIDE]]
    for at, field in enumerate(views.beside):
        values = list(dict.fromkeys(row[at] for row in rows if row[at] is not None))
        if values:
            document[field] = values if len(values) > 1 else values[0]
    if fields is not None:
        document |= orjson.loads(fields)
    document |= {views.amount: min(max(amount, -INT64), INT64 - 1), "viewed": amount >= views.enough}
    return orjson.dumps(document)


def session_document(identity: int, client: str, start: int, end: int, events: int, fields: bytes | None) -> bytes:
    """The document of a session."""
    times = b'{"@timestamp":"%b","end":"%b","duration":%d.%03d' % (_iso(start), _iso(end), *divmod(end - start, 1000))
    who = b',"sessionId":%d,"client":%b,"events":%d' % (identity, orjson.dumps(client), events)
    return times + who + (b"}" if fields is None else b"," + fields[1:])


def _iso(milliseconds: int) -> bytes:
    """As `iso`, for many times close to each other."""
    minute, rest = divmod(milliseconds, 60_000)
    return b"%b%02d.%03dZ" % (_minute(minute), *divmod(rest, 1000))


@lru_cache(maxsize=16_384)
def _minute(minute: int) -> bytes:
    return iso(minute * 60_000)[:-7].encode()
