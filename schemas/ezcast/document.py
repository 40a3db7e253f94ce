"""The parts of a trace record to its document: typed values under the catalogue's names, and where the record stood.

In nearly all records every value fits its type. Their documents come from functions that are compiled, one for each form, since an
expression with constant keys takes half of what a loop over the fields takes. That of `album_token_move` reads

    def make(parts, time, place, offset):
        p0, p1, p2, p3, p4, p5, p6, p7, p8 = parts
        try:
            if canonical_address(p2) is None: raise Misfit
            document = {'timestamp': p0, 'session': p1, 'ip': p2, 'netid': p3, 'level': integer[p4], 'action': p5,
                        'album': p6, 'old_index': integer[p7], 'new_index': integer[p8]}
        except Misfit:
            return make_checked(parts, time, place, offset)
        document['@timestamp'] = time
        document['tags'] = []
        ...

(Python makes an expression of up to 15 keys at once, and a longer one key by key.)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.address import canonical_address
from schemas.event import Document
from schemas.place import Place
from schemas.values import boolean, integer, number

Make = Callable[[list[str], str, Place, int], Document]
"""make(parts, time, place, offset): the document of a record whose parts are the names that the function was made for; `time` is its
`@timestamp`."""

CONVERTERS: dict[str, Callable[[str], int | float | str]] = {"integer": integer, "float": number, "boolean": boolean}
"""By type, of those that are no text; see `schemas.values`."""


class _Misfit(Exception):
    """A text that is no value of its field's type."""


class _Values(dict[str, Any]):
    """The values of texts: to look up a usual one takes a quarter of converting it, and another one is converted then."""

    def __init__(self, convert: Callable[[str], int | float | str]) -> None:
        self._convert = convert
        for text in map(str, range(10_000)):  # levels, and seconds of a video
            value = convert(text)
            if not isinstance(value, str):
                self[text] = value

    def __missing__(self, text: str) -> int | float:
        value = self._convert(text)
        if isinstance(value, str):
            raise _Misfit
        return value


_VALUES = {kind: _Values(convert) for kind, convert in CONVERTERS.items()}


def usual(names: Sequence[str], types: Mapping[str, str]) -> Make:
    """Makes the same documents as `checked` does without tags, in half the time where all values fit."""
    parts = [f"p{at}" for at in range(len(names))]
    items = []
    for name, part in zip(names, parts, strict=True):
        kind = _type(name, types)
        items.append(f"{name!r}: {kind}[{part}]" if kind in CONVERTERS else f"{name!r}: {part}")
    source = f"""
def make(parts, time, place, offset):
    {", ".join(parts)} = parts
    try:
        if canonical_address({parts[names.index("ip")]}) is None: raise Misfit
        document = {{{", ".join(items)}}}
    except Misfit:
        return make_checked(parts, time, place, offset)
    document['@timestamp'] = time
    document['tags'] = []
    document['host'] = place.host
    document['source'] = place.path
    document['file'] = place.file
    document['offset'] = offset
    return document
"""
    known = {**_VALUES, "canonical_address": canonical_address, "Misfit": _Misfit, "make_checked": checked(names, types)}
    found: dict[str, Make] = {}
    exec(compile(source, "<compiled from the catalogue>", "exec"), known, found)
    return found["make"]


def checked(names: Sequence[str], types: Mapping[str, str], tags: Sequence[str] = ()) -> Make:
    """Leaves out what does not fit its type, and lists it in `problems` as `name:reason`."""

    def make(parts: list[str], time: str, place: Place, offset: int) -> Document:
        document: Document = {"@timestamp": time, "tags": [*tags]}
        document |= {"host": place.host, "source": place.path, "file": place.file, "offset": offset}
        problems = []
        for name, text in zip(names, parts, strict=True):
            convert = CONVERTERS.get(_type(name, types))
            value = text if convert is None else convert(text)
            if convert is not None and isinstance(value, str):
                problems.append(f"{name}:{value}")
            else:
                document[name] = value
        if canonical_address(document["ip"]) is None:
            problems.append("ip:noip" if document.pop("ip") == "noip" else "ip:not_an_address")
        if problems:
            document["problems"] = problems
        return document

    return make


def _type(name: str, types: Mapping[str, str]) -> str:
    """Of a field in the catalogue's `types`, or of a column."""
    return "integer" if name == "level" else types.get(name, "keyword")
