"""The catalogue as data: its invariants, what an operator's file may change, and the list it was made from."""

import json
from pathlib import Path

import pytest

from schemas.common import COMMON_PROPERTIES
from schemas.ezcast.catalogue import Catalogue, built_in, catalogue
from schemas.ezcast.parse import COLUMNS
from schemas.ezcast.source import properties
from schemas.source import SourceSettings
from schemas.sources import build, with_actions

OLDER = {
    "login": 5,
    "login_as_anonymous": 5,
    "bookmarks_search": 8,
    "keyword_search": 8,
    "link_open": 6,
    "bookmark_form_hide": 8,
    "bookmark_form_show": 7,
    "video_play_time": 5,
}


@pytest.fixture(scope="module")
def known() -> Catalogue:
    return built_in()


def test_it_holds_97_actions_with_60_fields(known: Catalogue) -> None:
    assert len(known.forms) == 97
    assert len(known.types) == 60


def test_every_typed_field_is_written_by_some_action(known: Catalogue) -> None:
    written = {field for forms in known.forms.values() for form in forms for field in form.fields}
    assert written == known.types.keys()


def test_older_forms_are_told_apart_by_their_number_of_fields(known: Catalogue) -> None:
    assert {action: len(forms[1].fields) for action, forms in known.forms.items() if len(forms) > 1} == OLDER
    for action, count in OLDER.items():
        assert known.form(action, count) is known.forms[action][1]
    assert known.form("login", 3) is None
    assert known.form("no_such_action", 0) is None


def test_no_field_has_the_name_of_a_column_or_of_what_every_document_holds(known: Catalogue) -> None:
    assert not known.types.keys() & {*COLUMNS, "fold", "session_browser", "session_os", *COMMON_PROPERTIES}


def test_only_text_that_people_type_spans_lines(known: Catalogue) -> None:
    spanning = {(form.action, form.fields[n]) for forms in known.forms.values() for form in forms for n in form.multiline}
    assert ("contact_send", "message") in spanning
    assert ("asset_bookmark_add", "bookmark_description") in spanning
    assert not [action for action, field in spanning if field == "user_agent" or (action, field) == ("chat_message_add", "message")]
    assert {known.types[field] for _, field in spanning} == {"text"}


def test_every_column_and_field_has_a_mapping(known: Catalogue) -> None:
    mapped = properties(known)
    assert mapped.keys() >= {*COLUMNS, "fold", "elem1", "elem32", *known.types}
    assert not mapped.keys() & COMMON_PROPERTIES.keys()
    assert mapped["browser_name"]["type"] == "keyword"
    assert mapped["browser_name"]["fields"]["keyword"]["type"] == "keyword"
    assert mapped["message"]["fields"]["keyword"] == {"type": "keyword", "ignore_above": 256}
    assert [mapped[field]["type"] for field in ("play_time", "start", "muted", "ip")] == ["long", "double", "boolean", "ip"]


def test_a_later_text_adds_actions_and_forms() -> None:
    first = '[types]\nkeyword = ["album", "asset"]\n[actions]\nlook = ["album"]\nleave = []\n'
    later = '[types]\ninteger = ["seconds"]\n[actions]\nlook = ["album", "seconds"]\n[older]\nleave = [["seconds"]]\n'
    last = '[actions]\nlook = ["asset"]\n'
    both = catalogue(first, later)
    assert both.types == {"album": "keyword", "asset": "keyword", "seconds": "integer"}
    assert [form.fields for form in both.forms["look"]] == [("album", "seconds"), ("album",)]
    assert [form.fields for form in both.forms["leave"]] == [("seconds",), ()]
    assert [form.fields for form in catalogue(first, later, last).forms["look"]] == [("asset",), ("album", "seconds")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[actions]\nlook = ["album"]\n', "look: field album has no type"),
        ('[types]\nkeyword = ["a"]\ntext = ["a"]\n', "a is both keyword and text"),
        ('[types]\nword = ["a"]\n', "types.word is no type"),
        ('[types]\nkeyword = ["a", "b"]\n[actions]\nlook = ["a"]\n[older]\nlook = [["b"]]\n', "look: two forms have the same number"),
        ('[types]\nkeyword = ["a"]\n[actions]\nlook = ["a", "a"]\n', "look: a field occurs twice"),
        ("[older]\nlook = [[]]\n", "older.look: there is no actions.look"),
        ("look", "it is not TOML"),
        ("[action]\nlook = []\n", "it has not the form of a catalogue: Object contains unknown field `action`"),
        ('[actions]\nlook = "album"\n', "it has not the form of a catalogue: .*actions"),
        ('[actions]\n"a | b" = []\n', "no line can name such an action"),
    ],
)
def test_a_text_that_contradicts_itself_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        catalogue(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[types]\ninteger = ["album"]\n', "types: album is both keyword and integer"),
        ('[types]\nkeyword = ["netid"]\n', "types: netid is the name of a column"),
        ('[types]\nkeyword = ["elem3"]\n', "types: elem3 is the name of a column"),
        ('[types]\nkeyword = ["geoip"]\n', "types: geoip is the name of a column or of what every document has"),
        ('[types]\nkeyword = ["room.name"]\n', "types: 'room.name' is no name of a field"),
    ],
)
def test_an_operators_file_that_contradicts_the_rest_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_actions(build("ezcast", SourceSettings(format="ezcast")), text)


def test_only_ezcast_has_actions() -> None:
    with pytest.raises(ValueError, match='actions: format = "dataone" has no catalogue of actions'):
        build("dataone", SourceSettings(format="dataone", actions="actions.toml"))


def test_it_is_the_shared_list(known: Catalogue, shared: Path) -> None:
    actions = json.loads((shared / "ezcast" / "actions.json").read_text())
    assert {entry["action"]: tuple(entry["fields"]) for entry in actions} == {
        action: forms[0].fields for action, forms in known.forms.items()
    }
    assert {field: kind for entry in actions for field, kind in zip(entry["fields"], entry["types"], strict=True)} == known.types
