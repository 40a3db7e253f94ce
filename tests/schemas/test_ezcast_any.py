"""Any bytes, and any value that EZCast can write, through the parser of a trace line."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from schemas import framing
from schemas.event import Dead, Event
from schemas.ezcast.catalogue import Form, built_in
from schemas.ezcast.parse import RECORD_START
from tests.schemas.ezcast_lines import HEAD, HELP, PLACE, PLAY, TORN, event, parse


@given(st.binary() | st.binary().map(HEAD.__add__) | st.binary().map((HEAD + PLAY).__add__), st.booleans())
def test_any_bytes_give_events_and_dead_letters_that_hold_them(record: bytes, torn: bool) -> None:
    found = parse(record, TORN if torn else PLACE)
    assert found
    for item in found:
        if isinstance(item, Event):
            assert orjson.loads(orjson.dumps(item.document))["action"] == item.kind
    letters = [item for item in found if isinstance(item, Dead)]
    if len(letters) == len(found):
        assert b"\n".join(letter.payload for letter in letters) == record
    elif letters:
        assert record.endswith(b"\n" + letters[0].payload)
        assert letters[0].offset == 100 + len(record) - len(letters[0].payload)


FORMS = [form for forms in built_in().forms.values() for form in forms]
WORDS = st.text(st.characters(exclude_characters="|\n\r", codec="utf-8"))
LINES = st.text(st.characters(exclude_characters="|", codec="utf-8")).map(lambda text: text.replace("\n2", "\n3"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "keyword": WORDS,
    "text": WORDS,
    "integer": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
}


@st.composite
def written(draw: st.DrawFn) -> tuple[Form, dict[str, Any]]:
    form = draw(st.sampled_from(FORMS))
    types = built_in().types
    fields = {field: draw(LINES if position in form.multiline else VALUES[types[field]]) for position, field in enumerate(form.fields)}
    return form, fields


def as_written(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


@given(written())
def test_what_was_written_is_read_back(case: tuple[Form, dict[str, Any]]) -> None:
    form, fields = case
    line = HEAD + " | ".join(["4", form.action, *map(as_written, fields.values())]).encode() + b"\r"
    found = event(line)
    assert found.kind == form.action
    assert {field: found.document[field] for field in fields} == fields
    assert [type(found.document[field]) for field in fields] == [type(value) for value in fields.values()]
    assert found.document["tags"] == []
    assert framing.split(line + b"\n" + HELP + b"\n", RECORD_START, final=True)[-1] == len(line) + len(HELP) + 2
