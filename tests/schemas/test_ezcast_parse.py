"""Each quirk of a trace line, on lines of our own."""

import pytest

from schemas.event import Dead, Event
from schemas.ezcast.parse import MAX_ELEMENTS
from schemas.localtime import LocalClock, UnknownPast
from schemas.place import Place
from tests.schemas.ezcast_lines import BRUSSELS, HEAD, HELP, PLACE, PLAY, SOURCE, TORN, dead, event, parse


def test_a_whole_document() -> None:
    assert event(HEAD + PLAY) == Event(
        id="f11e-100",
        time=1459880003000,
        client="s1d",
        kind="video_play",
        document={
            "@timestamp": "2016-04-05T18:13:23.000Z",
            "timestamp": "2016-04-05-20:13:23",
            "session": "s1d",
            "ip": "192.0.2.7",
            "netid": "user1",
            "level": 4,
            "action": "video_play",
            "album": "INFO-pub",
            "asset": "2016_04_05_10h00",
            "video_duration": 3901,
            "video_time": 12.75,
            "type": "cam",
            "quality": "low",
            "origin": "from_button",
            "tags": [],
            "host": "web1",
            "source": "/traces/2016-04-05.trace",
            "file": "f11e",
            "offset": 100,
        },
    )


def test_static_fields_of_the_producer_are_carried() -> None:
    assert event(HELP, Place("f", "h", "/p", {"env": "test"})).document["fields"] == {"env": "test"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-1", -1),
        ("9223372036854775807", 9223372036854775807),
        ("", "empty"),
        ("9223372036854775808", "not_an_integer"),
        ("12.5", "not_an_integer"),
        (" 5", "not_an_integer"),
        ("5\x0b", "not_an_integer"),
        ("+5", "not_an_integer"),
        ("1_000", "not_an_integer"),
        ("٣", "not_an_integer"),
        ("NaN", "not_an_integer"),
        ("Array", "not_an_integer"),
    ],
)
def test_integers_are_strict(text: str, value: int | str) -> None:
    document = event(HEAD + f"2 | album_token_move | A | {text} | 1".encode()).document
    if isinstance(value, int):
        assert document["old_index"] == value
        assert "problems" not in document
    else:
        assert "old_index" not in document
        assert document["problems"] == [f"old_index:{value}"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0),
        ("12.5", 12.5),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("1.0E+25", 1e25),
        ("", "empty"),
        ("1e999", "not_a_number"),
        ("Infinity", "not_a_number"),
        ("NaN", "not_a_number"),
        ("0x1A", "not_a_number"),
        (" 5 ", "not_a_number"),
        ("5.", "not_a_number"),
    ],
)
def test_numbers_are_strict(text: str, value: float | str) -> None:
    document = event(HEAD + f"2 | bookmark_delete | A | B | {text}".encode()).document
    if isinstance(value, float):
        assert document["bookmark_time"] == value
        assert type(document["bookmark_time"]) is float
    else:
        assert "bookmark_time" not in document
        assert document["problems"] == [f"bookmark_time:{value}"]


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False), ("false", False), ("", False), ("maybe", None)])
def test_booleans(text: str, value: bool | None) -> None:
    document = event(HEAD + f"0 | admin_mode_update | {text}".encode()).document
    assert document.get("admin_enabled") is value
    assert document.get("problems", []) == ([] if value is not None else ["admin_enabled:not_a_boolean"])


def test_text_is_exact_and_bytes_that_are_no_utf8_are_replaced() -> None:
    document = event(HEAD + b"1 | login |  Firefox |  | a\tb | \x00 caf\xe9 \xc2\xa0").document
    assert [document[field] for field in ("browser_name", "browser_version", "user_os", "user_agent")] == [
        " Firefox",
        "",
        "a\tb",
        "\x00 caf\ufffd \xa0",
    ]


def test_a_level_that_is_no_number_is_left_out() -> None:
    for level, reason in ((b"abc", "not_an_integer"), (b"", "empty")):
        document = event(HEAD + level + b" | view_help").document
        assert "level" not in document
        assert document["problems"] == [f"level:{reason}"]


def test_one_carriage_return_before_the_end_is_part_of_the_terminator() -> None:
    assert event(HELP + b"\r").kind == "view_help"
    assert event(HEAD + b"0 | contact_send |  | Q | two\r\nlines\r\r").document["message"] == "two\r\nlines\r"


@pytest.mark.parametrize(
    ("session", "ip", "netid", "client", "problems"),
    [
        ("s1d", "192.0.2.7", "user1", "s1d", None),
        ("", "192.0.2.7", "nologin", "192.0.2.7|nologin", None),
        ("", "::FFFF:192.0.2.7", "user1", "192.0.2.7|user1", None),
        ("", "2001:DB8:0::1", "user1", "2001:db8::1|user1", None),
        ("", "noip", "user1", "noip|user1", ["ip:noip"]),
        ("", "noip", "nologin", None, ["ip:noip"]),
        ("", "example.org", "nologin", None, ["ip:not_an_address"]),
    ],
)
def test_who_a_session_belongs_to(session: str, ip: str, netid: str, client: str | None, problems: list[str] | None) -> None:
    found = event(f"2016-04-05-20:13:23 | {session} | {ip} | {netid} | 1 | view_help".encode())
    assert found.client == client
    assert found.document.get("problems") == problems
    assert ("ip" in found.document) is (problems is None)
    assert found.document["netid"] == netid


def test_the_netid_of_an_administrator_in_disguise_stands_as_it_is() -> None:
    assert event(HELP.replace(b"user1", b"admin/user1")).document["netid"] == "admin/user1"


def test_unknown_actions_keep_their_fields_in_order() -> None:
    found = event(HEAD + b"4 | new_one | a |  | c ")
    assert found.kind == "new_one"
    assert found.document["tags"] == ["_unknown_action"]
    assert [found.document[f"elem{n}"] for n in (1, 2, 3)] == ["a", "", "c "]


def test_a_field_count_that_no_version_wrote_is_tagged() -> None:
    document = event(HEAD + b"4 | video_play | x").document
    assert (document["elem1"], document["tags"]) == ("x", ["_field_count"])


def test_a_thousand_fields_become_no_more_names_than_the_index_has() -> None:
    document = event(HEAD + b"4 | new_one | " + b" | ".join(b"%d" % n for n in range(1000))).document
    assert len([name for name in document if name.startswith("elem")]) == MAX_ELEMENTS
    assert document[f"elem{MAX_ELEMENTS}"].startswith("31 | 32 | ")
    assert document[f"elem{MAX_ELEMENTS}"].endswith(" | 999")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"2016-04-05-20:13:23 | s1d | 192.0.2.7", "too_few_columns"),
        (b"2016-04-05-20:13:23 | ", "too_few_columns"),
        (b"2016-04-05-20:13:23 | s1d | 192.0.2.7 | user1 | 4\nforeign | text", "too_few_columns"),
        (HELP.replace(b"04-05", b"02-30"), "invalid_time"),
        (HELP.replace(b"20:13:23", b"20:61:23"), "invalid_time"),
        (HELP.replace(b"2016", b"0000"), "invalid_time"),
        (b"2016-04-05-20:13:23 | s1d | 192.0.2.7 | us | er1 | 1 | view_help", "separator_in_netid"),
        (b"2016-04-05-20:13:23 | s1d | 192.0.2.7 | us" + HEAD + PLAY, "torn_and_glued"),
        (b"2016-04-05-20:13:23 | s1d | 192.0.2.7 | " + HEAD + PLAY, "torn_and_glued"),
        (b"no stamp", "orphan_continuation"),
        (b"", "orphan_continuation"),
        (b"2016-04-05 20:13:23 | s1d | 192.0.2.7 | user1 | 1 | view_help", "orphan_continuation"),
    ],
)
def test_what_cannot_be_named_is_dead(record: bytes, reason: str) -> None:
    letter = dead(record)
    assert (letter.reason, letter.payload, letter.offset) == (reason, record, 100)
    assert letter.message


def test_line_breaks_belong_where_people_type_them() -> None:
    message = HEAD + b"0 | contact_send |  | Question | a\r\n\r\n | b"
    assert event(message.replace(b" | b", b"b")).document["message"] == "a\r\n\r\nb"
    add = HEAD + b"3 | asset_bookmark_add | A | B | 12 | personal | cam | t | l1\r\nl2 | k,l | 1"
    document = event(add).document
    assert (document["bookmark_description"], document["bookmark_keywords"], document["bookmark_level"]) == ("l1\r\nl2", "k,l", 1)


@pytest.mark.parametrize(
    "garbage", [b"", b"PHP Warning: on line 3", b"\x00" * 64, b"\xff\xfe", b"2016/04/05 | x | y | z | 4 | view_help", b"a\nb"]
)
@pytest.mark.parametrize("record", [HEAD + PLAY, HEAD + PLAY + b"\r", HELP, HEAD + b"1 | login | a | b | c | agent"])
def test_foreign_text_after_an_event_is_cut_off(record: bytes, garbage: bytes) -> None:
    first, letter = parse(record + b"\n" + garbage)
    assert first == event(record)
    assert isinstance(letter, Dead)
    assert (letter.reason, letter.payload, letter.offset) == ("garbage_like_continuation", garbage, 100 + len(record) + 1)


def test_foreign_text_with_separators_after_typed_text_is_cut_off() -> None:
    first, letter = parse(HEAD + b"0 | contact_send |  | Q | l1\nl2\nforeign | text")
    assert isinstance(first, Event)
    assert first.document["message"] == "l1\nl2"
    assert isinstance(letter, Dead)
    assert letter.payload == b"foreign | text"


def test_a_forged_stamp_stays_in_the_value() -> None:
    back = HEAD + b"4 | thread_list_back | A | x\n2016-04-12-18:46:09"
    assert event(back).document["asset"] == "x\n2016-04-12-18:46:09"
    assert event(HELP + b"\n2016-04-12-18:46:09").kind == "view_help\n2016-04-12-18:46:09"
    first, letter = parse(back + b"\nforeign")
    assert isinstance(first, Event)
    assert first.document["asset"] == "x\n2016-04-12-18:46:09"
    assert isinstance(letter, Dead)
    assert letter.payload == b"foreign"


def test_a_record_that_cannot_be_cut_is_kept_whole() -> None:
    document = event(HEAD + b"3 | asset_bookmark_edit | A | B | 1 | personal | cam | t | u | l1\r\nl2 |  | 1").document
    assert document["tags"] == ["_field_count"]
    assert document["elem8"] == "l1\r\nl2"
    played = event(HEAD + PLAY.replace(b"cam", b"ca\nm")).document
    assert (played["type"], played["tags"]) == ("ca\nm", [])


def test_the_torn_end_of_a_file_counts_where_it_is_complete() -> None:
    assert event(HELP, TORN).kind == "view_help"
    assert dead(HEAD + b"4 | video_mu", TORN).reason == "torn_at_end_of_file"
    assert dead(b"2016-04", TORN).reason == "torn_at_end_of_file"
    first, letter = parse(HELP + b"\n2016-04", TORN)
    assert isinstance(first, Event)
    assert isinstance(letter, Dead)
    assert letter.reason == "torn_at_end_of_file"


def test_a_megabyte_of_empty_lines_takes_no_longer_than_reading_it() -> None:
    first, letter = parse(HEAD + PLAY + b"\n" * 1_000_000)
    assert isinstance(first, Event)
    assert isinstance(letter, Dead)
    assert len(letter.payload) == 999_999


def test_the_hour_that_autumn_repeats() -> None:
    clock = LocalClock(BRUSSELS)
    stamps = [b"01:59:59", b"02:50:00", b"02:10:00", b"03:00:00"]
    lines = [HELP.replace(b"04-05-20:13:23", b"10-30-" + stamp) for stamp in stamps]
    found = [SOURCE.parse(line, PLACE, offset, clock)[0] for offset, line in enumerate(lines)]
    assert [(e.document["@timestamp"], e.document.get("fold")) for e in found if isinstance(e, Event)] == [
        ("2016-10-29T23:59:59.000Z", None),
        ("2016-10-30T00:50:00.000Z", 0),
        ("2016-10-30T01:10:00.000Z", 1),
        ("2016-10-30T02:00:00.000Z", None),
    ]


def test_without_a_clock_only_the_repeated_hour_is_unknown() -> None:
    assert isinstance(SOURCE.parse(HELP, PLACE, 100, None)[0], Event)
    with pytest.raises(UnknownPast):
        SOURCE.parse(HELP.replace(b"04-05-20", b"10-30-02"), PLACE, 100, None)
