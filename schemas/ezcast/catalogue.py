"""The catalogue of actions: `catalogue.toml` as records, and how another file extends it.

A line names its action but no version: the forms of one action are told apart by their number of fields.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import msgspec

TraceType = Literal["keyword", "text", "integer", "float", "boolean"]


class Form(NamedTuple):
    """One field list that some version of EZPlayer wrote."""

    action: str
    fields: tuple[str, ...]
    multiline: frozenset[int]
    """Positions of the fields whose value can span physical lines."""


@dataclass(frozen=True)
class Catalogue:
    types: dict[str, TraceType]
    """The type of every field."""
    forms: dict[str, tuple[Form, ...]]
    """By action, the newest form first."""

    def form(self, action: str, count: int) -> Form | None:
        """The form of an action with so many fields; None where no version wrote that."""
        return next((form for form in self.forms.get(action, ()) if len(form.fields) == count), None)


class _Lines(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    single: list[str] = []


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    types: dict[str, list[str]] = {}
    lines: _Lines = _Lines()
    actions: dict[str, list[str]] = {}
    older: dict[str, list[list[str]]] = {}


def catalogue(*texts: str) -> Catalogue:
    """The catalogue that TOML texts give together; a later text adds fields and actions, or replaces an action's forms.

    Raises ValueError, naming the action or field, for a field without type or with two, for two forms of one action
    with the same number of fields, and for an older form of an action that has no newest one.
    """
    files = [msgspec.convert(tomllib.loads(text), _File) for text in texts]
    types = _types(files)
    single = {name for file in files for name in file.lines.single}
    forms: dict[str, tuple[Form, ...]] = {}
    for file in files:
        for action in file.older.keys() - file.actions.keys():
            raise ValueError(f"older.{action}: there is no actions.{action} in the same file")
        for action, newest in file.actions.items():
            forms[action] = tuple(_form(action, fields, types, single) for fields in [newest, *file.older.get(action, [])])
            if len({len(form.fields) for form in forms[action]}) < len(forms[action]):
                raise ValueError(f"{action}: two forms have the same number of fields")
    return Catalogue(types, forms)


@cache
def built_in() -> Catalogue:
    """The 97 actions of EZPlayer from 2014 to 2021."""
    return catalogue(Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8"))


def _types(files: list[_File]) -> dict[str, TraceType]:
    types: dict[str, TraceType] = {}
    for kind, field in _typed_fields(files):
        if types.setdefault(field, kind) != kind:
            raise ValueError(f"types: {field} is both {types[field]} and {kind}")
    return types


def _typed_fields(files: list[_File]) -> Iterator[tuple[TraceType, str]]:
    for file in files:
        for kind, fields in file.types.items():
            if kind not in get_args(TraceType):
                raise ValueError(f"types.{kind} is no type: one of {', '.join(get_args(TraceType))}")
            for field in fields:
                yield cast(TraceType, kind), field


def _form(action: str, fields: list[str], types: dict[str, TraceType], single: set[str]) -> Form:
    for field in fields:
        if field not in types:
            raise ValueError(f"{action}: field {field} has no type")
    if len(set(fields)) < len(fields):
        raise ValueError(f"{action}: a field occurs twice")
    spans = (position for position, field in enumerate(fields) if types[field] == "text" and not single & {field, f"{action}.{field}"})
    return Form(action, tuple(fields), frozenset(spans))
