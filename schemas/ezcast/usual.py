"""Usual records of a trace, read in one go: as far as their documents' JSON, with no dict between.

Usual is one line of a known form with a session, an address, a stamp that means one moment, values that fit their types, and no text
that JSON would write in another way: nearly all records. The rest is left to `schemas.ezcast.parse`, which gives the same for usual
records, at twice the price. Fields become text by functions that are compiled, one for each form; that of `album_token_move` reads

    def write(parts, time, offset, place):
        p0, p1, p2, p3, p4, p5, p6, p7, p8 = parts
        return '{"timestamp":"%s","session":"%s","ip":"%s","netid":"%s","level":%s,"action":"%s",'
               '"album":"%s","old_index":%s,"new_index":%s,"@timestamp":"%s","offset":%s,%s,' % (
               p0, p1, p2, p3, integer[p4], p5, p6, integer[p7], integer[p8], time, offset, place)
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import msgspec

from schemas.address import canonical_address
from schemas.compiled import compiled
from schemas.event import Usual
from schemas.ezcast.catalogue import SEPARATOR, Catalogue
from schemas.ezcast.document import CONVERTERS, type_of
from schemas.ezcast.parse import COLUMNS
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import ReadUsual, UsualReader

_Write = Callable[[list[str], str, int, str], str]

_json = msgspec.json.Encoder().encode


class _Misfit(ValueError):
    """A text that is no value of its field's type."""


class _Values(dict[str, str]):
    """Values as JSON, by their text: to look up a usual one takes a quarter of converting it, and another one is converted then."""

    def __init__(self, convert: Callable[[str], int | float | str]) -> None:
        self._convert = convert
        for text in map(str, range(10_000)):  # levels, and seconds of a video
            value = convert(text)
            if not isinstance(value, str):
                self[text] = _json(value).decode()

    def __missing__(self, text: str) -> str:
        value = self._convert(text)
        if isinstance(value, str):
            raise _Misfit
        return _json(value).decode()


@cache
def _values() -> dict[str, _Values]:
    return {kind: _Values(convert) for kind, convert in CONVERTERS.items()}


def reader(catalogue: Catalogue) -> UsualReader:
    """The functions of the forms are compiled when the first file is read."""

    @cache
    def compiled_writers() -> dict[tuple[str, int], tuple[_Write, int | None]]:
        """With each form's function the position of the user agent, which logins have."""
        forms = [(form.action, COLUMNS + form.fields) for forms in catalogue.forms.values() for form in forms]
        return {
            (action, len(names)): (_writer(names, catalogue.types), names.index("user_agent") if "user_agent" in names else None)
            for action, names in forms
        }

    def of_file(place: Place, clock: LocalClock | None) -> ReadUsual | None:
        if clock is None or place.encoding != "utf-8":
            return None
        writers = compiled_writers()
        fields = {"fields": place.fields} if place.fields else {}
        where = _json({"host": place.host, "source": place.path, "file": place.file, **fields})[1:-1].decode()

        def read(value: bytes, offset: int) -> Usual | None:
            """3 us for a line of 170 bytes. Raises UnknownPast only."""
            text = value.decode("utf-8", "replace")
            if len(_json(text)) != len(value) + 2:  # something is written in another way
                return None
            parts = text.split(SEPARATOR)
            found = writers.get((parts[5], len(parts))) if len(parts) > 5 else None
            if found is None or not parts[1] or canonical_address(parts[2]) is None:
                return None
            write, agent = found
            try:
                seconds, time, fold = clock.resolve(parts[0], offset)
                opening = write(parts, time, offset, where)
            except ValueError:
                return None
            if fold is not None:
                return None
            identity, written = f"{place.file}-{offset}", opening.encode()
            return Usual(identity, seconds * 1000, parts[1], parts[5], parts[2], written, None if agent is None else parts[agent])

        return read

    return of_file


def _writer(names: Sequence[str], types: Mapping[str, str]) -> _Write:
    """The function writes a JSON object from its brace to the comma behind its last field."""
    parts = [f"p{at}" for at in range(len(names))]
    items, values = [], []
    for name, part in zip(names, parts, strict=True):
        key, kind = _json(name).decode().replace("%", "%%"), type_of(name, types)
        items.append(f"{key}:%s" if kind in CONVERTERS else f'{key}:"%s"')
        values.append(f"{kind}[{part}]" if kind in CONVERTERS else part)
    template = "{" + ",".join([*items, '"@timestamp":"%s"', '"offset":%s', "%s,"])
    source = f"""
def write(parts, time, offset, place):
    {", ".join(parts)} = parts
    return {template!r} % ({", ".join(values)}, time, offset, place)
"""
    write: _Write = compiled(source, "the catalogue", _values())
    return write
