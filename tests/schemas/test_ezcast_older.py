"""Trace lines as EZCast wrote them in earlier years: without sessions, with bars inside values, with other fields."""

from typing import Any

import pytest

from tests.schemas.ezcast_lines import dead, event

OLD = b"2016-04-05-20:13:23 | s1d | 192.0.2.7 | user1 | 3 | "


def test_lines_of_2014_have_no_session() -> None:
    document = event(b"2014-11-20-01:17:48 | 2001:DB8::1 | user1 | 1 | view_albums").document
    assert "session" not in document
    assert (document["ip"], document["netid"], document["level"]) == ("2001:DB8::1", "user1", 1)
    assert event(b"2014-11-20-01:17:48 | noip | user1 | 1 | odd").document["tags"] == ["_unknown_action"]
    assert event(b"2014-11-20-01:17:48 | abc | noip | user1 | 1 | view_albums").document["session"] == "abc"


def test_an_installation_that_lagged_behind_is_read_where_its_records_are_complete() -> None:
    assert event(b"2015-03-20-01:17:48 | 192.0.2.7 | user1 | 1 | view_albums").kind == "view_albums"
    assert dead(b"2015-03-20-01:17:48 | 192.0.2.7 | user1 | 1 | odd").reason == "too_few_columns"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"thread_add | A | B | 12 | a|b | 1", {"thread_title": "a|b", "timecode": 12, "thread_visibility": True}),
        (b"thread_add | A | B | 12 | a | b | c | 1", {"thread_title": "a | b | c", "timecode": 12, "thread_visibility": True}),
        (b"chat_message_add | A | 2016_04_05_10h00 | 7 | one |  | two", {"message": "one |  | two", "timecode": 7}),
        (b"keyword_search | A | B | x | y | all | f | t | 3 | 4", {"search_words": "x | y", "official_count": 3, "personal_count": 4}),
    ],
)
def test_bars_that_people_typed_before_august_2017_stay_in_their_value(fields: bytes, expected: dict[str, Any]) -> None:
    document = event(OLD + fields).document
    assert document["tags"] == []
    assert document.items() >= expected.items()
    assert event((OLD + fields).replace(b" | s1d", b"").replace(b"2016", b"2014")).document.items() >= expected.items()


@pytest.mark.parametrize(
    "line",
    [
        OLD.replace(b"2016-04", b"2017-09") + b"thread_add | A | B | 12 | a | b | 1",
        OLD + b"thread_add | A | B | 12 | a | b | c",  # no flag at the end
        OLD + b"thread_add | A | B | x | 12 | b | 1",  # no number where the time stands
        OLD + b"contact_send | me@example.org | a | b | c",  # subject or message
        OLD + b"login | Firefox | 49 | Linux | a | b | c",  # of four fields or of five
        OLD + b"video_play | A | B | 1 | 2 | cam | low | from_button | more",  # nothing typed
    ],
)
def test_where_a_bar_belongs_is_not_guessed(line: bytes) -> None:
    document = event(line).document
    assert document["tags"] == ["_field_count"]
    assert "elem1" in document


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"login | Firefox | 35.0 | Linux | Mozilla/5.0 | s1d", {"user_agent": "Mozilla/5.0", "session_id": "s1d"}),
        (b"login | Firefox | 35.0 | Linux | Mozilla/5.0", {"user_agent": "Mozilla/5.0"}),
        (b"view_asset_timecode | A | B | 62 | cam | camslide | 1 | from_external", {"timecode": 62, "loaded_type": "cam"}),
        (b"bookmarks_search | A | B | Array | all | f | t | 0 | 2", {"search_words": "Array", "personal_count": 2}),
        (b"link_open | A | B | 90 | 1 | cam | high", {"quality": "high", "video_duration": 90}),
        (b"bookmark_form_hide | A | B | 90 | 1 | cam | official | high | from_button", {"target": "official", "quality": "high"}),
        (b"video_playing | A | B | cam | 61", {"video_time": 61.0}),
        (b"video_play_time | A | B | cam | 10 | 20", {"start": 10.0, "play_time": 20}),
        (b"asset_share | A | B | 90", {"video_duration": 90}),
        (b"view_info", {}),
    ],
)
@pytest.mark.parametrize("with_session", [True, False])
def test_what_older_versions_wrote(fields: bytes, expected: dict[str, Any], with_session: bool) -> None:
    columns = OLD if with_session else b"2014-11-20-08:34:33 | 192.0.2.7 | user1 | 3 | "
    document = event(columns + fields).document
    assert document.items() >= expected.items()
    assert document["tags"] == []
    assert ("session" in document) is with_session
