"""Sources of a user's own: what a block of configuration makes of a record, and which blocks are refused."""

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Dead, Event
from schemas.place import Place
from schemas.source import Source, SourceSettings
from schemas.sources import build

PLACE = Place("f11e", "web1", "/logs/shop.csv", {"env": "test"})
ENVELOPE = {"tags": [], "host": "web1", "source": "/logs/shop.csv", "file": "f11e", "offset": 7, "fields": {"env": "test"}}
SHOP: dict[str, Any] = {
    "format": "delimited",
    "delimiter": ";",
    "columns": ["at", "customer", "what", "price"],
    "types": {"price": "float"},
    "time": "at",
    "time_format": "%Y-%m-%d %H:%M:%S",
    "timezone": "Europe/Brussels",
    "client": ["customer"],
    "kind": "what",
}
WEB: dict[str, Any] = {
    "format": "regex",
    "pattern": r'(?P<address>\S+) \[(?P<at>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d+)(?: (?P<agent>.+))?',
    "types": {"status": "integer", "address": "ip", "request": "text"},
    "time": "at",
    "time_format": "%d/%b/%Y:%H:%M:%S %z",
    "client": ["address", "agent"],
    "address": "address",
    "user_agent": "agent",
}


def make(**block: Any) -> Source:
    return build("shop", msgspec.convert(block, SourceSettings))


def event(source: Source, record: bytes) -> Event:
    (only,) = source.parse(record, PLACE, 7, None)
    assert isinstance(only, Event), only
    return only


def dead(source: Source, record: bytes, place: Place = PLACE) -> Dead:
    (only,) = source.parse(record, place, 7, None)
    assert isinstance(only, Dead), only
    assert (only.payload, only.offset) == (record, 7)
    return only


def test_delimited() -> None:
    found = event(make(**SHOP), b"2024-03-01 10:00:00;alice-1;order;19.90\r")
    assert (found.id, found.time, found.client, found.kind) == ("f11e-7", 1709283600000, "alice-1", "order")
    assert found.document == {
        "@timestamp": "2024-03-01T09:00:00.000Z",
        "at": "2024-03-01 10:00:00",
        "customer": "alice-1",
        "what": "order",
        "price": 19.9,
        **ENVELOPE,
    }


def test_a_value_of_another_type_is_left_out_and_named() -> None:
    document = event(make(**SHOP), b"2024-03-01 10:00:00;alice-1;order;dear").document
    assert "price" not in document
    assert document["problems"] == ["price:not_a_number"]


def test_columns_in_quotes_and_a_last_column_that_takes_the_rest() -> None:
    source = make(format="delimited", columns=["a", "b"])
    assert event(source, b'"x, ""y""",z').document["a"] == 'x, "y"'
    assert event(source, b"x,y,z").document["b"] == "y,z"
    assert event(source, b'5" disk,"z').document["a"] == '5" disk'
    bars = make(format="delimited", delimiter=" | ", columns=["a", "b"])
    assert event(bars, b'"x | y').document["a"] == '"x'


def test_regex() -> None:
    source = make(**WEB)
    found = event(source, b'::ffff:192.0.2.7 [01/Mar/2024:11:00:00 +0100] "GET /a" 200 an|agent')
    assert found.document["status"] == 200
    assert found.document["address"] == "::ffff:192.0.2.7"
    assert (found.time, found.client) == (1709287200000, r"192.0.2.7|an\|agent")
    without = event(source, b'192.0.2.7 [01/Mar/2024:11:00:00 +0100] "GET /a" 200')
    assert "agent" not in without.document
    assert without.client is None
    assert (source.address_field, source.user_agent_field) == ("address", "agent")
    assert dead(source, b"192.0.2.7 - -").reason == "no_match"


def test_json_keeps_what_is_nested_and_gives_types_to_what_is_named() -> None:
    source = make(
        format="json", types={"n": "integer", "ok": "boolean", "x": "float", "day": "date", "ip": "ip"}, time="at", time_format="epoch_ms"
    )
    record = {
        "at": 1709287200123,
        "n": "12",
        "ok": 1,
        "x": 3,
        "day": "2024-03-01T10:00:00+01:00",
        "ip": "nowhere",
        "deep": {"list": [1, {"a": None}]},
    }
    found = event(source, orjson.dumps(record))
    assert found.document == {
        "@timestamp": "2024-03-01T10:00:00.123Z",
        "at": 1709287200123,
        "n": 12,
        "x": 3.0,
        "day": "2024-03-01T09:00:00.000Z",
        "deep": {"list": [1, {"a": None}]},
        "problems": ["ok:not_a_boolean", "ip:not_an_address"],
        **ENVELOPE,
    }
    assert type(found.document["x"]) is float
    assert (found.client, found.kind) == (None, "shop")


def test_json_fields_with_names_that_every_document_has_give_way() -> None:
    document = event(make(format="json"), b'{"host": "other", "tags": 5, "a": 1}').document
    assert document == {"a": 1, **ENVELOPE, "problems": document["problems"]}
    assert sorted(document["problems"]) == ["host:reserved_name", "tags:reserved_name"]


def test_json_that_an_index_cannot_hold_is_kept_as_text() -> None:
    document = event(make(format="json"), b'{"big": 18446744073709551616, "deep": ' + b"[" * 40 + b"]" * 40 + b"}").document
    assert document["big"] == "18446744073709551616"
    assert orjson.loads(orjson.dumps(document))["deep"][0]


@pytest.mark.parametrize("record", [b"not json", b"[1]", b"", b'{"a": ' * 3000, b"\xff", b'{"a": "\\ud800"}', b'{"a": NaN}'])
def test_what_is_no_json_object_is_dead(record: bytes) -> None:
    assert dead(make(format="json"), record).reason == "not_json"


def test_an_id_of_its_own_makes_a_repeated_record_the_same_document() -> None:
    source = make(format="json", id="key")
    assert event(source, b'{"key": 42}').id == "42"
    for record, problem in ((b"{}", "key:empty"), (b'{"key": ["a"]}', "key:empty"), (b'{"key": "%s"}' % (b"x" * 513), "key:too_long")):
        found = event(source, record)
        assert (found.id, found.document["problems"]) == ("f11e-7", [problem])


@pytest.mark.parametrize(
    ("time_format", "written", "time"),
    [
        ("iso8601", "2024-03-01T10:00:00.5Z", 1709287200500),
        ("iso8601", "2024-03-01 11:00:00", 1709287200000),
        ("iso8601", "2016-10-30 02:30:00", 1477787400000),
        ("iso8601", "yesterday", None),
        ("epoch", "1709287200.25", 1709287200250),
        ("epoch", "nan", None),
        ("epoch", "1e300", None),
        ("epoch_ms", "1709287200123", 1709287200123),
        ("%d.%m.%Y %H:%M", "01.03.2024 11:00", 1709287200000),
        ("%d.%m.%Y %H:%M", "31.02.2024 11:00", None),
    ],
)
def test_times(time_format: str, written: str, time: int | None) -> None:
    """Local time is Brussels'; 02:30 of the night when clocks are put back is taken as the first of the two."""
    source = make(format="delimited", columns=["at", "x"], time="at", time_format=time_format, timezone="Europe/Brussels")
    record = f"{written},x".encode()
    if time is None:
        assert dead(source, record).reason == "invalid_time"
    else:
        assert event(source, record).time == time


def test_a_record_without_its_time_is_dead_and_a_source_without_times_is_not() -> None:
    assert dead(make(format="json", time="at"), b"{}").reason == "invalid_time"
    assert dead(make(format="json", time="at", time_format="epoch"), b'{"at": true}').reason == "invalid_time"
    found = event(make(format="json"), b"{}")
    assert found.time is None
    assert "@timestamp" not in found.document


def test_too_few_columns_and_the_torn_end_of_a_file() -> None:
    assert dead(make(**SHOP), b"2024-03-01").reason == "too_few_columns"
    torn = Place("f11e", "web1", "/logs/shop.csv", torn=True)
    assert dead(make(**SHOP), b"2024-03-01", torn).reason == "torn_at_end_of_file"
    assert dead(make(format="json"), b'{"a": ', torn).reason == "torn_at_end_of_file"


def test_sessions_only_where_a_client_is_named() -> None:
    assert make(**SHOP).sessions
    assert not make(format="json").sessions


def test_the_mapping_says_every_column() -> None:
    properties = make(**WEB).properties
    assert {name: mapping.get("type", "object") for name, mapping in properties.items()} == {
        "address": "ip",
        "at": "keyword",
        "request": "text",
        "status": "long",
        "agent": "keyword",
        "user_agent": "object",
    }


def test_a_source_with_a_field_user_agent_keeps_it_as_it_is() -> None:
    source = make(format="json", user_agent="user_agent")
    assert not source.user_agent_details
    assert "user_agent" not in source.properties
    assert event(source, b'{"user_agent": "x"}').document["user_agent"] == "x"
    other = make(format="json", user_agent="agent")
    assert other.user_agent_details
    assert event(other, b'{"agent": "x", "user_agent": "y"}').document["problems"] == ["user_agent:reserved_name"]


def test_durations_and_days_of_a_block_are_worked_out() -> None:
    source = make(format="json", record_start=r"\d+ ", record_timeout="250ms", session_gap="1h", earliest="2020-02-01")
    assert (source.record_timeout_s, source.session_gap_ms, source.earliest_ms) == (0.25, 3_600_000, 1_580_515_200_000)
    assert source.record_start is not None
    assert source.record_start.match(b"12 x")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"format": "delimited"}, "columns: missing"),
        ({**SHOP, "columns": ["at", "customer", "what", "price", "host"]}, 'columns: "host" is a name that every document has'),
        ({**SHOP, "columns": ["at", "at", "customer", "what", "price"]}, 'columns: "at" occurs twice'),
        ({**SHOP, "delimiter": ""}, "delimiter: empty"),
        ({**SHOP, "types": {"pric": "float"}}, 'types: "pric" is no field of columns; did you mean "price"?'),
        ({**SHOP, "time": "when"}, 'time: "when" is no field of columns; there are at, customer'),
        ({**SHOP, "client": ["who"]}, 'client: "who" is no field'),
        ({**SHOP, "time_format": "%Q"}, 'time_format: "%Q" is no time format'),
        ({**SHOP, "time_format": "%H:%M"}, "does not tell year, month and day"),
        ({**SHOP, "timezone": "Brussels"}, 'timezone: "Brussels" is no zone'),
        ({**SHOP, "timezone": ""}, 'timezone: "" is no zone'),
        ({**SHOP, "session_gap": "60"}, 'session_gap: "60" is no duration'),
        ({**SHOP, "record_timeout": "soon"}, 'record_timeout: "soon" is no duration'),
        ({**SHOP, "earliest": "2010"}, 'earliest: "2010" is no day'),
        ({**SHOP, "record_start": "("}, "record_start: no regular expression"),
        ({**SHOP, "record_start": "x*"}, 'record_start: "x*" matches the empty string'),
        ({"format": "regex"}, "pattern: missing"),
        ({"format": "regex", "pattern": "("}, "pattern: no regular expression"),
        ({"format": "regex", "pattern": "a+"}, "pattern: has no named group"),
        ({"format": "regex", "pattern": "(?P<tags>a)"}, 'pattern: "tags" is a name'),
        ({"format": "json", "types": {"offset": "integer"}}, 'types: "offset" is a name'),
        ({"format": "ezcast", "pattern": "x"}, 'pattern: format = "ezcast" fixes this'),
        ({}, "format: missing; one of ezcast, dataone, delimited, json, regex"),
    ],
)
def test_a_block_that_cannot_work_names_its_key(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below, from its first letter
        make(**block)
    assert message in str(error.value)
    assert str(error.value).startswith(message.partition(":")[0] if ":" in message else "time_format: ")


SOURCES = [
    make(**SHOP),
    make(**WEB),
    make(format="json", types={"a": "integer", "b": "date", "c": "ip"}, id="a", client=["b", "c"], kind="d"),
]


@given(st.sampled_from(SOURCES), st.binary() | st.text().map(str.encode))
def test_any_bytes_give_one_event_or_one_dead_letter(source: Source, record: bytes) -> None:
    (only,) = source.parse(record, PLACE, 7, None)
    if isinstance(only, Event):
        orjson.dumps(only.document)
    else:
        assert only.payload == record


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "at", "host", "x"]), JSON))
def test_any_object_gives_a_document_that_can_be_written(record: dict[str, Any]) -> None:
    found = event(SOURCES[2], msgspec.json.encode(record))
    orjson.dumps(found.document)
    assert set(found.document) <= {*record, *ENVELOPE, "problems"}
    assert found.client is None or found.client


def test_json_whose_time_stands_where_documents_have_theirs() -> None:
    document = event(make(format="json", time="@timestamp"), b'{"@timestamp": "2024-03-01T10:00:00+01:00"}').document
    assert document["@timestamp"] == "2024-03-01T09:00:00.000Z"
    assert "problems" not in document


def test_json_fields_get_the_names_that_the_block_gives_them() -> None:
    source = make(format="json", rename={"host": "server", "user.id": "user_id", "user.address.ip": "ip", "a.b": "c"}, client=["user_id"])
    found = event(source, b'{"host": "web1", "user": {"id": 7, "name": "ann", "address": {"ip": "192.0.2.7"}}, "a.b": 1}')
    assert found.client == "7"
    assert found.document == {
        "server": "web1",
        "user_id": 7,
        "ip": "192.0.2.7",
        "c": 1,
        "user": {"name": "ann"},
        **ENVELOPE,
    }


@pytest.mark.parametrize(
    ("record", "kept"), [(b'{"user": 7}', {"user": 7}), (b'{"user": {"id": 1}, "who": 2}', {"user": {"id": 1}, "who": 2})]
)
def test_json_fields_stay_where_they_are_when_there_is_nothing_to_rename(record: bytes, kept: dict[str, object]) -> None:
    assert event(make(format="json", rename={"user.id": "who"}), record).document == {**kept, **ENVELOPE}


def test_an_object_whose_fields_all_have_other_names_is_gone() -> None:
    rename = {"user.id": "who", "user.address.ip": "ip"}
    found = event(make(format="json", rename=rename), b'{"user": {"id": 1, "address": {"ip": "192.0.2.7"}}, "empty": {}}')
    assert found.document == {"who": 1, "ip": "192.0.2.7", "empty": {}, **ENVELOPE}


def test_a_record_cannot_say_what_its_session_says() -> None:
    source = make(format="json", client=["who"], kind="what", session_fields={"login": {"session_plan": "plan"}})
    document = event(source, b'{"who": "ann", "what": "view", "session_plan": "gold"}').document
    assert "session_plan" not in document
    assert document["problems"] == ["session_plan:reserved_name"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"format": "json", "rename": {"host": "tags"}}, 'rename: "tags" is a name that every document has already'),
        ({"format": "regex", "pattern": "(?P<a>.)", "rename": {"a": "b"}}, "rename: only json takes it"),
        ({"format": "json", "index": "Shop Logs"}, 'index: "Shop Logs" cannot begin the name of an index'),
    ],
)
def test_blocks_of_json_that_are_refused(block: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**block)


def test_the_mark_that_windows_puts_before_a_file_is_no_part_of_its_first_record() -> None:
    source = make(format="json")
    (first,) = source.parse(b'\xef\xbb\xbf{"a": 1}\r', PLACE, 0, None)
    assert isinstance(first, Event)
    assert first.document["a"] == 1
    assert dead(source, b'\xef\xbb\xbf{"a": 1}').reason == "not_json"
