"""What is wrong with a value of the configuration, and what to write in its place, from what msgspec finds."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

_WORDS = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def of_key(error: msgspec.ValidationError, shape: type[msgspec.Struct]) -> tuple[str, str]:
    """The key, `kafka.partitions`, and its mistake, where the configuration was to be of this shape."""
    key = str(error).partition(" - at `$")[2].strip("`").lstrip(".")
    kind: Any = shape
    for name in key.partition("[")[0].split("."):  # what follows is an item: of `types[...]` the kind of `types` is told
        kind = get_type_hints(kind)[name]
    return key, of_value(error, kind)


def of_value(error: msgspec.ValidationError, kind: Any) -> str:
    """`Expected `int`, got `str`; write a whole number`, of a value that was to be of this type."""
    return f"{str(error).partition(' - at `$')[0]}; write {_wanted(kind)}"


def _wanted(kind: Any) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{word}"' for word in inner)
    if get_origin(kind) is list:
        return 'a list, as in ["a", "b"]'
    if get_origin(kind) is dict:
        return f"a table, as in {{ a = … }}, and for each of its keys {_wanted(inner[1])}"
    return _wanted(inner[0])  # Annotated, or `… | None`
