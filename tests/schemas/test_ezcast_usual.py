"""The short way of usual records against the one that all records can take."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Event, Usual
from schemas.ezcast.catalogue import Form, built_in, catalogue
from schemas.ezcast.parse import COLUMNS, RECORD_START
from schemas.ezcast.usual import reader
from schemas.localtime import LocalClock, UnknownPast
from schemas.place import Place
from schemas.source import ReadUsual
from tests.schemas.ezcast_lines import BRUSSELS, HEAD, HELP, PLACE, PLAY, SOURCE, event, parse

FORMS = [form for forms in built_in().forms.values() for form in forms]
TEXTS = st.sampled_from(
    ["", "0", "1", "12", "9999", "10000", "-3", "7.25", "1e3", "true", "false", "noip", "192.0.2.7", "2001:DB8::1", "x"]
)
WORDS = st.text(st.characters(exclude_characters="|\n\r", codec="utf-8"))


def reading(place: Place = PLACE) -> ReadUsual:
    assert SOURCE.usual is not None
    found = SOURCE.usual(place, LocalClock(BRUSSELS))
    assert found is not None
    return found


def as_json(document: dict[str, Any]) -> bytes:
    """Tells 1 from 1.0 and from true."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def whole(usual: Usual) -> dict[str, Any]:
    """The document of an event about whose client nothing is known."""
    return dict(orjson.loads(usual.opening + b'"tags":[]}'))


def check(line: bytes, place: Place = PLACE) -> bool:
    """Whether a record is usual; if so, both ways must agree on it."""
    found = reading(place)(line, 100)
    if found is None:
        return False
    (expected,) = parse(line, place)
    assert isinstance(expected, Event)
    assert as_json(whole(found)) == as_json(expected.document)
    assert (found.id, found.time, found.client, found.kind) == (expected.id, expected.time, expected.client, expected.kind)
    assert (found.address, found.agent) == (expected.document["ip"], expected.document.get("user_agent"))
    return True


@st.composite
def records(draw: st.DrawFn) -> tuple[Form, list[str]]:
    """A form, and as many texts as it has columns and fields, of which few are what they should be."""
    form = draw(st.sampled_from(FORMS))
    count = len(COLUMNS) + len(form.fields)
    return form, draw(st.lists(TEXTS | WORDS, min_size=count, max_size=count))


@given(records())
def test_any_texts_of_a_form_give_the_same_event(record: tuple[Form, list[str]]) -> None:
    form, texts = record
    check(" | ".join(["2016-04-05-20:13:23", texts[1], "192.0.2.7", texts[3], "4", form.action, *texts[len(COLUMNS) :]]).encode())
    check(" | ".join(["2016-04-05-20:13:23", *texts[1:5], form.action, *texts[len(COLUMNS) :]]).encode())


@given(st.binary() | st.binary().map(HEAD.__add__) | st.binary().map((HEAD + PLAY).__add__))
def test_any_bytes_give_the_same_event_or_are_left_to_the_other_way(record: bytes) -> None:
    if check(record):
        assert RECORD_START.match(record)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.action}-{len(form.fields)}")
def test_every_form_is_usual(form: Form) -> None:
    assert check(HEAD + " | ".join(["4", form.action, *("1" for _ in form.fields)]).encode())


@pytest.mark.parametrize(
    "line",
    [
        HELP + b"\r",
        HELP + b"\nmore",
        HELP + b" | more",
        HEAD + b"1 | no_such_action",
        HEAD + b"x | view_help",
        HEAD + b'1 | keyword_click | say "x" | A | B',
        HELP.replace(b"s1d", b""),
        HELP.replace(b"192.0.2.7", b"noip"),
        HELP.replace(b"user1", b"a\\b"),
        HELP.replace(b"user1", b"caf\xe9"),
        HELP.replace(b"20:13:23", b"20:60:23"),
        HELP.replace(b"20:13:23", b"20:13:60"),
        b"",
    ],
)
def test_what_is_not_usual_is_left_to_the_other_way(line: bytes) -> None:
    assert not check(line)


def test_the_hour_that_occurs_twice_is_left_to_the_other_way() -> None:
    line = HELP.replace(b"04-05-20", b"10-30-02")
    with pytest.raises(UnknownPast):
        reading()(line, 100)
    assert reading()(line, 0) is None


def test_static_fields_are_written_and_other_encodings_left_alone() -> None:
    assert check(HELP, Place("f", 'a "host"', "/p/é", {"env": "test"}))
    assert SOURCE.usual is not None
    assert SOURCE.usual(Place("f", "h", "/p", encoding="latin-1"), LocalClock(BRUSSELS)) is None


@pytest.mark.parametrize("name", ["class", "p0", "write", "integer", "it's", '"""', "{x}", "100%", "%s"])
def test_a_field_of_any_name_is_compiled(name: str) -> None:
    own = catalogue(f"[types]\ninteger = [{orjson.dumps(name).decode()}]\n[actions]\nlook = [{orjson.dumps(name).decode()}]\n")
    read = reader(own)(PLACE, LocalClock(BRUSSELS))
    assert read is not None
    found = read(HEAD + b"4 | look | 5", 100)
    assert found is not None
    assert whole(found)[name] == 5


def test_documents_of_the_other_way_share_nothing() -> None:
    first, second = event(HEAD + PLAY).document, event(HEAD + PLAY).document
    first["tags"].append("robot_ip")
    assert second["tags"] == []
