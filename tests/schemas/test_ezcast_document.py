"""The compiled way to a trace's document against the ways that look at everything."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Event
from schemas.ezcast.catalogue import Form, built_in
from schemas.ezcast.document import checked, usual
from schemas.ezcast.parse import COLUMNS, _parse_odd
from schemas.localtime import LocalClock
from tests.schemas.ezcast_lines import BRUSSELS, HEAD, PLACE, PLAY, event, parse

FORMS = [form for forms in built_in().forms.values() for form in forms]
TEXTS = st.sampled_from(
    ["", "0", "1", "12", "9999", "10000", "-3", "7.25", "1e3", "true", "false", "noip", "192.0.2.7", "2001:DB8::1", "x"]
)
WORDS = st.text(st.characters(exclude_characters="|\n\r", codec="utf-8"))


@st.composite
def records(draw: st.DrawFn) -> tuple[Form, list[str]]:
    """A form, and as many texts as it has columns and fields, of which few are what they should be."""
    form = draw(st.sampled_from(FORMS))
    count = len(COLUMNS) + len(form.fields)
    return form, draw(st.lists(TEXTS | WORDS, min_size=count, max_size=count))


def as_json(document: dict[str, Any]) -> bytes:
    """Tells 1 from 1.0 and from true."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


@given(records())
def test_any_texts_give_the_document_of_the_way_that_looks_at_each(record: tuple[Form, list[str]]) -> None:
    form, texts = record
    names, types = COLUMNS + form.fields, built_in().types
    made, expected = (make(names, types)(texts, "2016-04-05T18:13:23.000Z", PLACE, 100) for make in (usual, checked))
    assert as_json(made) == as_json(expected)


@given(records())
def test_one_line_gives_the_event_that_the_way_for_odd_records_finds(record: tuple[Form, list[str]]) -> None:
    form, texts = record
    line = " | ".join(["2016-04-05-20:13:23", "s1d", *texts[2:5], form.action, *texts[len(COLUMNS) :]]).encode()
    (found,) = parse(line)
    (expected,) = _parse_odd(built_in(), line, PLACE, 100, LocalClock(BRUSSELS))
    assert isinstance(found, Event)
    assert isinstance(expected, Event)
    assert as_json(found.document) == as_json(expected.document)
    assert (found.id, found.time, found.client, found.kind) == (expected.id, expected.time, expected.client, expected.kind)


@pytest.mark.parametrize("name", ["class", "p0", "make", "Misfit", "it's", '"""', "{x}"])
def test_a_field_of_any_name_is_compiled(name: str) -> None:
    make = usual((*COLUMNS, name), {name: "integer"})
    parts = [*HEAD.decode().split(" | ")[:4], "4", "look", "5"]
    assert make(parts, "", PLACE, 100)[name] == 5


def test_documents_share_nothing() -> None:
    first, second = event(HEAD + PLAY).document, event(HEAD + PLAY).document
    first["tags"].append("robot_ip")
    assert second["tags"] == []
