"""What events say of their session and of what was watched, read from their documents."""

from typing import Any

import orjson
import pytest

from schemas import notes
from schemas.ezcast.source import VIEWS
from schemas.notes import Note
from schemas.source import SourceSettings
from schemas.sources import build
from schemas.timeformat import iso

READERS = notes.readers(build("ezcast", SourceSettings(format="ezcast")))


def read(kind: str, **document: Any) -> Note | None:
    return READERS[kind](orjson.dumps(document))


def test_a_login_gives_its_session_browser_and_system() -> None:
    note = read("login_as_anonymous", browser_name="Firefox", user_os="Linux", netid="nologin")
    assert note == Note(b'{"session_browser":"Firefox","session_os":"Linux"}', 0)
    assert note.gives_fields
    assert read("login", browser_name="Firefox", user_os="") == Note(b'{"session_browser":"Firefox"}', 0)
    assert read("login", browser_name="") is None


def test_what_was_watched_is_told_apart_by_day_album_and_asset() -> None:
    note = read("video_play_time", timestamp="2016-10-03-08:00:00", album="A", asset="x", play_time=7, netid="anna", session="s")
    assert note == Note(b'["2016-10-03","A","x"]\n["s","anna",null]', 7)
    assert not note.gives_fields


@pytest.mark.parametrize(
    "broken", [{"play_time": None}, {"play_time": 1.5}, {"timestamp": "2016-02-30-08:00:00"}, {"timestamp": None}, {"album": ["a"]}]
)
def test_what_cannot_be_summed_up_is_no_view(broken: dict[str, Any]) -> None:
    assert read("video_play_time", **{"timestamp": "2016-10-03-08:00:00", "album": "A", "play_time": 7, **broken}) is None


def test_what_no_record_could_hold_is_not_said() -> None:
    assert read("login", browser_name="x" * notes.LONGEST_NOTE) is None
    assert read("video_play_time", timestamp="2016-10-03-08:00:00", album="x" * notes.LONGEST_NOTE, play_time=7) is None


@pytest.mark.parametrize(("amount", "told"), [(3 << 63, (1 << 63) - 1), (-(3 << 63), -(1 << 63)), (61, 61)])
def test_a_view_can_be_written_whatever_was_summed_up(amount: int, told: int) -> None:
    """Three forged lines take a sum beyond 64 bits."""
    key, beside = b'["2016-10-03","A","x"]', [b'["s%d",null,null]' % number for number in range(notes.MOST_BESIDE + 1)]
    document = orjson.loads(notes.view_document(VIEWS, "c", key, beside, amount, None))
    assert (document["play_time"], document["viewed"]) == (told, told > 60)
    assert document["session"][-1] == f"s{notes.MOST_BESIDE - 1}"


@pytest.mark.parametrize("time", [-62_135_510_400_000, -1, 0, 59_999, 60_000, 1_476_000_000_123, 253_402_214_400_000])
def test_a_session_says_when_it_was(time: int) -> None:
    document = orjson.loads(notes.session_document(5, 'a"b', time, time + 61_001, 3, b'{"session_os":"Linux"}'))
    assert document == {
        "@timestamp": iso(time),
        "end": iso(time + 61_001),
        "duration": 61.001,
        "sessionId": 5,
        "client": 'a"b',
        "events": 3,
        "session_os": "Linux",
    }


def test_a_source_of_ones_own_says_which_events_give_fields() -> None:
    settings = SourceSettings(
        format="delimited", columns=["who", "what", "plan"], client=["who"], kind="what", session_fields={"login": {"session_plan": "plan"}}
    )
    source = build("shop", settings)
    assert notes.readers(source)["login"](b'{"plan":"gold"}') == Note(b'{"session_plan":"gold"}', 0)
    assert source.session_properties.keys() == {"session_plan"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"session_fields": {"login": {"plan": "plan"}}}, 'session_fields: "plan" is the name of another field'),
        ({"session_fields": {"login": {"session_plan": "plam"}}}, 'session_fields: "plam" is no field of columns; did you mean "plan"'),
        ({"kind": None}, "session_fields: needs `client`, which makes sessions, and `kind`"),
    ],
)
def test_a_block_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    block: dict[str, Any] = {"columns": ["who", "what", "plan"], "client": ["who"], "kind": "what"}
    block |= {"session_fields": {"login": {"session_plan": "plan"}}, **changes}
    with pytest.raises(ValueError, match=said):
        build("shop", SourceSettings(format="delimited", **block))
