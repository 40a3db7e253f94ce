"""The catalogue of actions: `catalogue.toml` as records, and how an operator's file of the same shape extends it.

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

SEPARATOR = " | "
"""Between the columns and fields of a line. Nothing escapes it."""


class Form(NamedTuple):
    """One field list that some version of EZPlayer wrote."""

    action: str
    fields: tuple[str, ...]
    multiline: frozenset[int]
    """Positions of the fields whose value can span physical lines."""
    typed: frozenset[int]
    """Positions of the fields that people type; the others hold ids, numbers and words of EZPlayer's own."""


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
    typed: list[str] = []


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    types: dict[str, list[str]] = {}
    lines: _Lines = _Lines()
    actions: dict[str, list[str]] = {}
    older: dict[str, list[list[str]]] = {}


def catalogue(*texts: str) -> Catalogue:
    """The catalogue that TOML texts give together. A later text adds fields, actions and forms of actions that are there.

    A form of a later text stands in place of the one with as many fields, so that what older versions wrote is still read.
    Raises ValueError, naming the action or field, for a text that is no TOML or has other keys, a field without type or with
    two, two forms of one action with the same number of fields in one text, and an older form of an action that has no newest one.
    """
    files = [_file(text) for text in texts]
    types = _types(files)
    lines = _Lines([name for file in files for name in file.lines.single], [name for file in files for name in file.lines.typed])
    forms: dict[str, tuple[Form, ...]] = {}
    for file in files:
        for action in [*file.actions, *(action for action in file.older if action not in file.actions)]:
            if action not in file.actions and action not in forms:
                raise ValueError(f"older.{action}: there is no actions.{action}")
            newest = [file.actions[action]] if action in file.actions else []
            forms[action] = _forms(action, [*newest, *file.older.get(action, [])], forms.get(action, ()), types, lines)
    return Catalogue(types, forms)


@cache
def built_in() -> Catalogue:
    """The 97 actions of EZPlayer from 2014 to 2021."""
    return catalogue(_built_in_text())


def extended(text: str) -> Catalogue:
    """The built-in catalogue with what an operator's file adds. Raises as `catalogue`."""
    return catalogue(_built_in_text(), text)


@cache
def _built_in_text() -> str:
    return Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")


def _file(text: str) -> _File:
    try:
        return msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"it has not the form of a catalogue: {error}; there are [types], [lines], [actions] and [older]") from None


def _forms(action: str, lists: list[list[str]], before: tuple[Form, ...], types: dict[str, TraceType], lines: _Lines) -> tuple[Form, ...]:
    """The forms of one text, then those of the texts before it that have another number of fields."""
    if SEPARATOR in action or "\n" in action or not action:
        raise ValueError(f"actions.{action!r}: no line can name such an action")
    forms = [_form(action, fields, types, lines) for fields in lists]
    counts = {len(form.fields) for form in forms}
    if len(counts) < len(forms):
        raise ValueError(f"{action}: two forms have the same number of fields")
    return (*forms, *(form for form in before if len(form.fields) not in counts))


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


def _form(action: str, fields: list[str], types: dict[str, TraceType], lines: _Lines) -> Form:
    for field in fields:
        if field not in types:
            raise ValueError(f"{action}: field {field} has no type")
    if len(set(fields)) < len(fields):
        raise ValueError(f"{action}: a field occurs twice")
    texts = {position for position, field in enumerate(fields) if types[field] == "text"}
    spans = {position for position in texts if not {fields[position], f"{action}.{fields[position]}"} & {*lines.single}}
    typed = texts | {position for position, field in enumerate(fields) if field in lines.typed}
    return Form(action, tuple(fields), frozenset(spans), frozenset(typed))
