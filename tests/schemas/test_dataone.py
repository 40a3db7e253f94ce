import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.common import COMMON_PROPERTIES
from schemas.dataone.fields import DROPPED, PROPERTIES
from schemas.dataone.instant import moment
from schemas.dataone.parse import MOST_PROBLEMS
from schemas.dataone.source import source
from schemas.event import Dead, Event
from schemas.place import Place
from schemas.source import SourceSettings

PLACE = Place("f1", "cn.example.org", "/logs/d1logagg.log", {"env": "test"})
RECORD: dict[str, Any] = {
    "id": "urn:node:KNB.7",
    "entryId": "7",
    "nodeId": "urn:node:KNB",
    "pid": "doi:10.5072/F1",
    "event": "read",
    "formatType": "DATA",
    "dateLogged": "2018-05-18T23:55:19.29Z",
    "dateAggregated": "2018-05-19T01:03:34.1Z",
    "dateUpdated": "1900-01-01T00:00:00Z",
    "ipAddress": "192.0.2.7",
    "userAgent": "Mozilla/5.0",
    "size": 40_705_586,
    "subject": "public",
    "readPermission": ["public", "public"],
    "versionCompliance": "v1",
    "isRepeatVisit": False,
    "_version_": 1_600_860_164_592_762_887,
}
parse = source("dataone", SourceSettings(index="eventlog", fields={"env": "production", "site": "a"})).parse


def event(record: dict[str, Any] | bytes, place: Place = PLACE) -> Event:
    [found] = parse(record if isinstance(record, bytes) else msgspec.json.encode(record), place, 1234, None)
    assert isinstance(found, Event), found
    return found


def dead(line: bytes, place: Place = PLACE) -> Dead:
    [found] = parse(line, place, 1234, None)
    assert isinstance(found, Dead), found
    return found


def test_an_event_keeps_its_own_fields_and_gains_the_envelope() -> None:
    found = event(RECORD)
    assert (found.id, found.client, found.kind) == ("urn:node:KNB.7", "192.0.2.7", "read")
    assert found.time == 1_526_687_719_290
    assert {name: found.document[name] for name in RECORD} == RECORD
    assert {name: value for name, value in found.document.items() if name not in RECORD and name != "beat"} == {
        "eventId": "urn:node:KNB.7",
        "@timestamp": "2018-05-18T23:55:19.290Z",
        "fields": {"env": "test", "site": "a", "entryType": "eventlog"},
        "host": "cn.example.org",
        "source": "/logs/d1logagg.log",
        "file": "f1",
        "offset": 1234,
        "tags": [],
    }
    beat = found.document["beat"]
    assert (beat["name"], beat["hostname"]) == ("eventlog", "cn.example.org")
    assert beat["version"]


def test_the_sixteen_fields_that_are_worked_out_anew_are_dropped() -> None:
    assert len(DROPPED) == 16
    found = event(RECORD | dict.fromkeys(DROPPED, "x"))
    assert not set(DROPPED) & set(found.document)
    assert "problems" not in found.document


def test_the_name_says_beat_and_entry_type() -> None:
    named = source("d1", SourceSettings(name="other")).parse
    [found] = named(msgspec.json.encode(RECORD), PLACE, 0, None)
    assert isinstance(found, Event)
    assert (found.document["beat"]["name"], found.document["fields"]["entryType"]) == ("other", "other")


def test_only_reads_have_sessions() -> None:
    made = source("dataone", SourceSettings())
    assert made.has_session("read")
    assert not made.has_session("replicate")
    assert not made.has_session("")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not_json"),
        (b"\r", "not_json"),
        (b'{"id": "a"', "not_json"),
        (b'{"id": "a"}{"id": "b"}', "not_json"),
        (b'{"id": "a", "size": NaN}', "not_json"),
        (b'{"id": "\xff"}', "not_json"),
        (b'{"id": "a"}\x00', "not_json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not_json"),
        (b"[1]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"7", "not_an_object"),
        (b'"{}"', "not_an_object"),
        (b"{}", "no_id"),
        (b'{"id": null}', "no_id"),
        (b'{"id": "  "}', "no_id"),
        (b'{"id": ["a"]}', "no_id"),
        (b'{"id": "' + "é".encode() * 257 + b'"}', "id_too_long"),
    ],
)
def test_what_is_no_event_is_dead_with_its_reason(line: bytes, reason: str) -> None:
    found = dead(line)
    assert (found.reason, found.payload, found.offset) == (reason, line, 1234)
    assert found.message


def test_the_end_of_a_file_is_an_event_if_it_is_whole() -> None:
    torn = Place("f1", "h", "/p", torn=True)
    line = msgspec.json.encode(RECORD)
    assert event(line, torn).id == RECORD["id"]
    assert dead(line[:-1], torn).reason == "torn_at_end_of_file"
    assert dead(b"12", torn).reason == "torn_at_end_of_file"
    assert dead(b"{}", torn).reason == "no_id"


def test_a_carriage_return_is_no_part_of_the_event() -> None:
    assert event(msgspec.json.encode(RECORD) + b"\r").document == event(RECORD).document


def test_the_last_of_two_equal_keys_counts() -> None:
    assert event(b'{"id": "a", "event": "read", "event": "create"}').kind == "create"


@pytest.mark.parametrize(
    "key", [*COMMON_PROPERTIES, "beat", "eventId", "_id", "_source", "beat.name", "pid.key", ".", "", " ", "a..b", "x" * 40_000]
)
@pytest.mark.parametrize("value", ["text", {"a": {"b": 1}}, [1], None])
def test_a_line_cannot_clobber_the_envelope_or_make_the_index_refuse_it(key: str, value: Any) -> None:
    clean, found = event(RECORD).document, event(RECORD | {key: value}).document
    assert found.pop("problems") == [f"{key[:256]}:unusable_name"]
    assert found == clean


@pytest.mark.parametrize(
    ("field", "value", "kept", "problems"),
    [
        ("pid", 7, "7", ["pid:not_text"]),
        ("pid", ["a"], None, ["pid:not_text"]),
        ("userAgent", True, "true", ["userAgent:not_text"]),
        ("userAgent", {"a": 1}, None, ["userAgent:not_text"]),
        ("subject", None, None, None),
        ("readPermission", "public", ["public"], ["readPermission:not_a_list"]),
        ("readPermission", ["a", 1, {"b": 2}], ["a", "1"], ["readPermission:not_text"]),
        ("readPermission", {"a": 1}, None, ["readPermission:not_text"]),
        ("size", "7", None, ["size:not_an_integer"]),
        ("size", 7.5, None, ["size:not_an_integer"]),
        ("size", True, None, ["size:not_an_integer"]),
        ("size", 2**63, None, ["size:out_of_range"]),
        ("_version_", 2**80, None, ["_version_:out_of_range"]),
        ("_version_", 2**63 - 1, 2**63 - 1, None),
        ("isRepeatVisit", "yes", None, ["isRepeatVisit:not_a_boolean"]),
        ("dateAggregated", 12345, None, ["dateAggregated:not_a_date"]),
        ("ipAddress", "proxy.example.org", "proxy.example.org", ["ipAddress:not_an_address"]),
        ("seriesId", "doi:10.1/x", "doi:10.1/x", None),
        ("portalIdentifier", ["a", "b"], ["a", "b"], None),
        ("newField", [1, "a", None], [1, "a", None], None),
        ("newField", {"a": [1]}, '{"a":[1]}', ["newField:kept_as_text"]),
        ("newField", 2**64, str(2**64), ["newField:kept_as_text"]),
    ],
)
def test_values_that_do_not_fit_are_put_right_or_left_out(field: str, value: Any, kept: Any, problems: list[str] | None) -> None:
    found = event(RECORD | {field: value}).document
    assert found.get(field) == kept
    assert type(found.get(field)) is type(kept)
    assert found.get("problems") == problems


@pytest.mark.parametrize("address", ["", " ", "proxy.example.org", "192.0.2.7 ", None])
def test_without_an_address_there_is_no_client(address: str | None) -> None:
    assert event(RECORD | {"ipAddress": address}).client is None


def test_spellings_of_one_address_are_one_client() -> None:
    clients = {event(RECORD | {"ipAddress": text}).client for text in ("192.0.2.7", "::ffff:192.0.2.7", "::FFFF:c000:207")}
    assert clients == {"192.0.2.7"}


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2018-05-18T23:55:19Z", 0),
        ("2018-05-18T23:55:19.2Z", 200),
        ("2018-05-18T23:55:19.29Z", 290),
        ("2018-05-18T23:55:19.293Z", 293),
        ("2018-05-18T23:55:19.2939Z", 293),
        ("2018-05-18T23:55:19.293999999Z", 293),
        ("2018-05-19T01:55:19.29+02:00", 290),
        ("2018-05-18T18:55:19.29-0500", 290),
    ],
)
def test_an_instant_with_any_fraction(text: str, milliseconds: int) -> None:
    assert moment(text) == (1_526_687_719_000 + milliseconds, f"2018-05-18T23:55:19.{milliseconds:03}Z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2018-05-18T23:55:19",
        "2018-05-18",
        "2018-02-30T00:00:00Z",
        "2018-05-18T24:00:00Z",
        "2018-05-18T23:59:60Z",
        "2018-05-18 23:55:19Z",
        "2018-W20-5T23:55:19Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "٢٠١٨-05-18T23:55:19Z",
        "18/May/2018:23:55:19 +0000",
        "1526687719290",
    ],
)
def test_no_instant(text: str) -> None:
    assert moment(text) is None
    found = event(RECORD | {"dateLogged": text})
    assert found.time is None
    assert "@timestamp" not in found.document
    assert found.document["dateLogged"] == text
    assert found.document["problems"] == ["dateLogged:not_a_date"]
    assert found.document["tags"] == ["_dateparsefailure"]


def test_a_missing_date_is_no_failure_of_parsing() -> None:
    found = event({name: value for name, value in RECORD.items() if name != "dateLogged"})
    assert (found.time, found.document["tags"], found.document["problems"]) == (None, [], ["dateLogged:missing"])


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    st.integers(0, 3),
    st.integers(-17 * 60, 17 * 60),
)
def test_an_instant_is_what_was_written(utc: datetime, digits: int, zone_minutes: int) -> None:
    cut = utc.replace(tzinfo=UTC, microsecond=utc.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits))
    local = cut.astimezone(timezone(timedelta(minutes=zone_minutes)))
    fraction = f".{local.microsecond:06}"[: digits + 1] if digits else ""
    text = local.strftime("%Y-%m-%dT%H:%M:%S").zfill(19) + fraction + local.strftime("%z")
    assert moment(text) == (
        (cut - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1),
        cut.isoformat(timespec="milliseconds")[:-6] + "Z",
    )


@pytest.mark.parametrize("logged", [1526687719, {"a": 1}, ["2018-05-18T23:55:19Z"], True])
def test_a_date_that_is_not_even_text_is_left_out(logged: Any) -> None:
    found = event(RECORD | {"dateLogged": logged})
    assert (found.time, found.document["tags"], found.document["problems"]) == (None, ["_dateparsefailure"], ["dateLogged:not_a_date"])
    assert "dateLogged" not in found.document


def test_a_line_cannot_swell_by_its_problems() -> None:
    document = event(RECORD | {f"a.{number}": 1 for number in range(1_000)}).document
    assert document["problems"] == [f"a.{number}:unusable_name" for number in range(MOST_PROBLEMS)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from([*PROPERTIES, *COMMON_PROPERTIES, *DROPPED]) | st.text()


@given(st.binary())
def test_arbitrary_bytes_never_raise(line: bytes) -> None:
    assert len(parse(line, PLACE, 0, None)) == 1


@given(st.dictionaries(NAMES, JSON))
def test_arbitrary_json_gives_a_document_that_can_be_written(record: dict[str, Any]) -> None:
    line = msgspec.json.encode(record | {"id": "a"})
    document = event(line).document
    assert orjson.loads(orjson.dumps(document)) == document
    assert isinstance(document["tags"], list)
    assert all(isinstance(document.get(name, ""), str) for name in ("pid", "event", "userAgent") if document.get(name) is not None)


def test_real_and_generated_lines_have_the_expected_ids_times_and_clients(shared: Path) -> None:
    folder = shared / "dataone" / "samples"
    expected = {row["id"]: row for row in map(json.loads, (folder / "generated.expected.jsonl").read_text().splitlines())}
    found = {found.id: found for found in map(event, (folder / "generated.jsonl").read_bytes().splitlines())}
    assert {id_: (one.kind, one.client, one.time) for id_, one in found.items()} == {
        id_: (row["event"], row["client"], row["ms"]) for id_, row in expected.items()
    }


def test_real_lines_keep_their_values(shared: Path) -> None:
    for line in (shared / "dataone" / "events.jsonl").read_bytes().splitlines():
        record, document = json.loads(line), event(line).document
        assert {name: document.get(name) for name in record if name not in DROPPED} == {
            name: value for name, value in record.items() if name not in DROPPED
        }
        assert "problems" not in document
