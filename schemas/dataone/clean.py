"""Fields of a record made to fit their mappings, so that Elasticsearch never refuses a document for one of them."""

from collections.abc import Callable
from typing import Any

import msgspec

from schemas.dataone.fields import DROPPED, KNOWN, LEAST_LONG, LISTS, MOST_LONG, PROPERTIES, RESERVED
from schemas.event import Document

LONGEST_NAME = 256
"""Characters of a field's name; Elasticsearch would refuse the whole document for one over 32,766 bytes."""

Cleaner = Callable[[Any], tuple[Any, str | None]]
"""The value to keep (None: leave the field out) and the problem to list."""


def clean(record: Document, problems: list[str]) -> None:
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
    return name not in RESERVED and "." not in name and len(name) <= LONGEST_NAME and bool(name.strip())


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


def _cleaner(name: str) -> Cleaner:
    if name in LISTS:
        return _texts
    return {"long": _integer, "boolean": _boolean, "date": _date}.get(PROPERTIES[name]["type"], _text)


_CLEANERS: dict[str, Cleaner] = {name: _cleaner(name) for name in KNOWN}
_USUAL: dict[str, type] = {
    name: bool if cleaner is _boolean else str for name, cleaner in _CLEANERS.items() if cleaner not in (_texts, _integer)
}
"""Types whose values need no second look."""
