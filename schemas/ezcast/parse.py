"""A trace record to its event, by the catalogue.

    YYYY-MM-DD-HH:MM:SS | session id | ip | netid | level | action | field | field ...

Nothing is escaped. Since 2017-08 a bar inside a value is written as a hyphen; line breaks always go in as they are. A
record holds every line up to the next one that begins with a stamp, so it can end in foreign text: see `_extent`.

Nearly all records are one line of a known form, which `parse` sees at once; all else goes through `_read_odd`. Workers look whether
`schemas.ezcast.usual` can read a record before they come here.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from schemas.address import canonical_address
from schemas.event import Dead, Document, Event, Parsed
from schemas.ezcast.catalogue import SEPARATOR, Catalogue, Form
from schemas.ezcast.document import CONVERTERS, Make, maker
from schemas.localtime import LocalClock, Moment
from schemas.place import Place
from schemas.source import ParseRecord
from schemas.values import integer

COLUMNS = ("timestamp", "session", "ip", "netid", "level", "action")
OLD_COLUMNS = ("timestamp", "ip", "netid", "level", "action")
"""Until the end of 2014 there was no session column."""
OLD_COLUMNS_UNTIL = "2014-12-10"
"""From this day on, only a record that is otherwise complete is read with `OLD_COLUMNS`: installations lagged behind."""

RAW_BARS_UNTIL = "2017-08-03"
"""Before this day bars in values were written as they came; since then they are hyphens."""

RECORD_START = re.compile(rb"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d \| ")
MAX_ELEMENTS = 32
"""Fields of records without form; the last one holds all the rest, or a hostile record could name thousands."""

UNKNOWN_ACTION = "_unknown_action"
FIELD_COUNT = "_field_count"

_BAR, _BAR_BYTES = SEPARATOR, SEPARATOR.encode()
_FORGED_STAMP = re.compile(rb"\n\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d(?=\r?\n|\Z)")


class _Reading(NamedTuple):
    make: Make
    parts: list[str]
    end: int
    """Bytes of the record that belong to the event; what follows is foreign."""


class _Refusal(NamedTuple):
    reason: str
    message: str


def parser(catalogue: Catalogue, timezone: str) -> ParseRecord:
    """The function that parses one raw record (its bytes without the last line feed) of files with local stamps."""
    makers = {
        (form.action, len(COLUMNS) + len(form.fields)): maker(COLUMNS + form.fields, catalogue.types)
        for forms in catalogue.forms.values()
        for form in forms
    }

    def parse(value: bytes, place: Place, offset: int, clock: LocalClock | None) -> Parsed:
        """5 us for a line of 170 bytes; see `schemas.ezcast.usual`. Raises UnknownPast only."""
        if clock is None:
            clock = LocalClock(timezone)
        if b"\n" not in value:
            text = value.decode("utf-8", "replace")
            if text[-1:] == "\r":
                text = text[:-1]
            parts = text.split(_BAR)
            make = makers.get((parts[5], len(parts))) if len(parts) > 5 else None
            if make is not None:
                try:
                    time = clock.resolve(parts[0], offset)
                except ValueError:
                    pass  # `_parse_odd` says what is wrong with it
                else:
                    return [_event(make, parts, place, offset, time)]
        return list(_parse_odd(catalogue, value, place, offset, clock))

    return parse


def _event(make: Make, parts: list[str], place: Place, offset: int, time: Moment) -> Event:
    seconds, text, fold = time
    document = make(parts, text, place, offset)
    if fold is not None:
        document["fold"] = fold
    if place.fields:
        document["fields"] = place.fields
    client = document.get("session") or client_of(document)
    return Event(f"{place.file}-{offset}", seconds * 1000, client, document["action"], document)


def client_of(document: Document) -> str | None:
    """Who, of an event's document: the browser session, else who is at the address."""
    return document.get("session") or _person(canonical_address(document.get("ip", "")), document["netid"])


def _person(address: str | None, netid: str) -> str | None:
    """Who, where no browser session says so: a person at an address, or either of the two."""
    if address is None and netid in ("nologin", ""):
        return None
    return f"{address or 'noip'}|{netid}"


def _parse_odd(catalogue: Catalogue, value: bytes, place: Place, offset: int, clock: LocalClock) -> Iterator[Event | Dead]:
    reading = _read_odd(catalogue, value, torn=place.torn)
    if isinstance(reading, _Refusal):
        yield Dead(reading.reason, reading.message, value, offset)
        return
    try:
        time = clock.resolve(reading.parts[0], offset)
    except ValueError:
        yield Dead("invalid_time", f"the stamp {reading.parts[0]} is no time of any calendar", value, offset)
        return
    yield _event(reading.make, reading.parts, place, offset, time)
    if reading.end < len(value):
        reason = "torn_at_end_of_file" if place.torn else "garbage_like_continuation"
        message = "lines that are no part of the event before them and begin no event of their own"
        yield Dead(reason, message, value[reading.end + 1 :], offset + reading.end + 1)


def _read_odd(catalogue: Catalogue, value: bytes, torn: bool) -> _Reading | _Refusal:
    """A record that is not one line of a known form with a session column."""
    is_record = RECORD_START.match(value) is not None
    known = _read_known(catalogue, value) if is_record else None
    if known:
        return known
    if torn:
        return _Refusal("torn_at_end_of_file", "the file ends within this record")
    if not is_record:
        return _Refusal("orphan_continuation", "a line that does not begin with a stamp and has no record before it")
    return _read_unknown(catalogue, value)


def _read_known(catalogue: Catalogue, value: bytes) -> _Reading | None:
    """The longest beginning of the record, cut at a line's end, that is an event of the catalogue."""
    whole = value.removesuffix(b"\r")
    parts = whole.split(_BAR_BYTES)
    columns = OLD_COLUMNS if _lacks_session(parts) else COLUMNS
    head, elements = parts[: len(columns) - 1], parts[len(columns) - 1 :]
    if not elements or any(b"\n" in column for column in head):
        return None
    action = _text(elements[0].partition(b"\n")[0].removesuffix(b"\r"))
    cuts = [(extent, form) for form in catalogue.forms.get(action, ()) if (extent := _extent(form, elements)) is not None]
    if cuts:
        extent, form = max(cuts)
        end = sum(map(len, head)) + len(head) * len(_BAR_BYTES) + extent
    elif (by_count := catalogue.form(action, len(elements) - 1)) and b"\n" not in elements[0]:
        form, end = by_count, len(whole)  # line breaks where none belong, yet nothing else that they could mean
    else:
        return None
    if end == len(whole):
        return _Reading(maker(columns + form.fields, catalogue.types), _text(whole).split(_BAR), len(value))
    return _Reading(maker(columns + form.fields, catalogue.types), _text(whole[:end].removesuffix(b"\r")).split(_BAR), end)


def _extent(form: Form, elements: list[bytes]) -> int | None:
    """Bytes of the elements (the action, then its fields) up to the last line's end at which they are this form.

    Foreign text and the rest of a value look alike. A line break belongs to the event where people type text of several
    lines, and where nothing but a stamp follows it, which is how far a forged record gets without a separator.
    """
    last = len(form.fields)
    if len(elements) <= last:
        return None
    if any(b"\n" in element and position - 1 not in form.multiline for position, element in enumerate(elements[:last])):
        return None
    before = sum(len(element) + len(_BAR_BYTES) for element in elements[:last])
    value, is_whole = elements[last], len(elements) == last + 1
    if last - 1 in form.multiline:
        end = len(value) if is_whole else value.rfind(b"\n")
    else:
        end = value.find(b"\n")
        if end < 0 and is_whole:
            end = len(value)
        elif end >= 0 and (stamp := _FORGED_STAMP.match(value, end)):
            if last == 0:
                return None  # the stamp is part of the action's name
            end = stamp.end()
    return before + end if end >= 0 else None


def _read_unknown(catalogue: Catalogue, value: bytes) -> _Reading | _Refusal:
    """A record whose columns are good but which has no form, or the reason why the columns are not."""
    first_line = value.partition(b"\n")[0].removesuffix(b"\r").split(_BAR_BYTES)
    columns = OLD_COLUMNS if _lacks_session(first_line) and first_line[0] < OLD_COLUMNS_UNTIL.encode() else COLUMNS
    if len(first_line) < len(columns):
        return _Refusal("too_few_columns", f"{len(first_line)} of the {len(columns)} columns: {', '.join(columns)}")
    glued = RECORD_START.search(_BAR_BYTES.join(first_line[1 : len(columns) + 1]))
    if glued:
        return _Refusal("torn_and_glued", "another record begins inside the columns of this one, on the same line")
    parts = _text(value.removesuffix(b"\r")).split(_BAR)
    if _netid_is_split(catalogue, parts, columns):
        return _Refusal("separator_in_netid", 'the netid holds " | ", so the columns after it cannot be told apart')
    action, values = parts[len(columns) - 1], parts[len(columns) :]
    if parts[0] < RAW_BARS_UNTIL and (rejoined := _rejoin(catalogue, action, values)):
        form, values = rejoined
        return _Reading(maker(columns + form.fields, catalogue.types), [*parts[: len(columns)], *values], len(value))
    if len(values) > MAX_ELEMENTS:
        values[MAX_ELEMENTS - 1 :] = [_BAR.join(values[MAX_ELEMENTS - 1 :])]
    names = columns + tuple(f"elem{n}" for n in range(1, len(values) + 1))
    tag = FIELD_COUNT if action in catalogue.forms else UNKNOWN_ACTION
    return _Reading(maker(names, catalogue.types, (tag,)), [*parts[: len(columns)], *values], len(value))


def _rejoin(catalogue: Catalogue, action: str, values: list[str]) -> tuple[Form, list[str]] | None:
    """The values of a record in which what somebody typed holds " | ", where only one form and one field can explain them."""
    if any("\n" in value for value in values):
        return None
    found = []
    for form in catalogue.forms.get(action, ()):
        surplus = len(values) - len(form.fields)
        if surplus > 0 and len(form.typed) == 1:
            (typed,) = form.typed
            joined = [*values[:typed], _BAR.join(values[typed : typed + surplus + 1]), *values[typed + surplus + 1 :]]
            if _fits(catalogue, form, joined):
                found.append((form, joined))
    return found[0] if len(found) == 1 else None


def _fits(catalogue: Catalogue, form: Form, values: list[str]) -> bool:
    """Whether numbers and flags stand, or nothing, where the form has them."""
    kinds = (catalogue.types[field] for field in form.fields)
    return all(
        not value or not isinstance(CONVERTERS[kind](value), str) for kind, value in zip(kinds, values, strict=True) if kind in CONVERTERS
    )


def _lacks_session(parts: list[bytes]) -> bool:
    """Whether the second column is the address: a session id holds neither point nor colon."""
    return len(parts) >= len(OLD_COLUMNS) and (parts[1] == b"noip" or canonical_address(_text(parts[1])) is not None)


def _netid_is_split(catalogue: Catalogue, parts: list[str], columns: tuple[str, ...]) -> bool:
    """Whether level and action, which `parts` has not where they belong, stand further right with a known form."""
    level = len(columns) - 2
    if isinstance(integer(parts[level]), int):
        return False
    return any(
        isinstance(integer(parts[shifted]), int) and catalogue.form(parts[shifted + 1], len(parts) - shifted - 2)
        for shifted in range(level + 1, min(len(parts) - 1, level + 4))
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
