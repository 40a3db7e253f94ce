"""With `pseudonymize`, nothing that leaves the parse stage names a person, and people can still be told apart."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import sources
from schemas.address import canonical_address
from schemas.event import Event
from schemas.localtime import LocalClock
from schemas.place import Place, key
from schemas.source import Source, SourceSettings
from streams.enrich import Enricher
from streams.outbox import Output
from streams.parse import Parser
from tailrace.errors import ConfigError
from tests.streams.records import Record

KEY = b"an example of a key"
EZCAST = SourceSettings(format="ezcast", timezone="UTC", pseudonymize=True)
DATAONE = SourceSettings(format="dataone", pseudonymize=True)
SHOP = SourceSettings(
    format="json", client=["customer"], types={"customer": "integer"}, personal_fields=["card"], address="from", pseudonymize=True
)


def hidden(settings: SourceSettings, record: bytes) -> Event:
    source = build(settings)
    (event,) = source.parse(record, Place("f", "h", "p"), 0, LocalClock("UTC"))
    assert isinstance(event, Event)
    return Enricher(source, KEY).enrich(event)


def build(settings: SourceSettings) -> Source:
    return sources.build("own", settings)


def line(session: str, ip: str, netid: str, rest: str) -> bytes:
    return f"2016-04-05-20:13:23 | {session} | {ip} | {netid} | {rest}".encode()


def test_ezcast() -> None:
    event = hidden(EZCAST, line("s3cretsession", "192.0.2.7", "student1", "1 | login | Firefox | 49 | Linux | Mozilla | s3cretsession"))
    document = event.document
    assert event.client == document["session"] == document["session_id"]
    assert canonical_address(document["ip"]) == document["ip"]
    written = orjson.dumps(document).decode()
    for word in ("s3cretsession", "192.0.2.7", "student1"):
        assert word not in written
    assert document["client_class"] == "public"
    assert (document["browser_name"], document["action"]) == ("Firefox", "login")


def test_what_an_unknown_action_says_is_hidden_too() -> None:
    document = hidden(EZCAST, line("s3cretsession", "192.0.2.7", "student1", "1 | friend_add | student2 | 192.0.2.8 | ")).document
    assert document["elem1"].startswith("p-")
    assert document["elem2"].startswith("fd")
    assert document["elem3"] == ""
    assert (document["action"], document["tags"]) == ("friend_add", ["_unknown_action"])


@pytest.mark.parametrize(("ip", "netid"), [("192.0.2.7", "student1"), ("192.0.2.7", "nologin"), ("noip", "student1")])
def test_ezcast_without_a_session(ip: str, netid: str) -> None:
    event = hidden(EZCAST, line("", ip, netid, "1 | view_help"))
    assert event.client == f"{event.document.get('ip', 'noip')}|{event.document['netid']}"
    assert event.client == hidden(EZCAST, line("", ip, netid, "1 | logout")).client
    assert (netid == "nologin") is (event.document["netid"] == "nologin")
    assert ip not in event.client or ip == "noip"


def test_dataone(city_database: Path, tmp_path: Path) -> None:
    (tmp_path / "admins").write_text("CN=Some Admin,O=Example\n")
    settings = SourceSettings(format="dataone", pseudonymize=True, geoip_city=str(city_database), admin_subjects=str(tmp_path / "admins"))
    record = {"id": "a", "ipAddress": "128.111.54.80", "subject": "CN=Some Admin,O=Example", "event": "read", "userAgent": "curl/8.0"}
    event = hidden(settings, orjson.dumps(record))
    document = event.document
    assert event.client == document["ipAddress"] != "128.111.54.80"
    assert document["subject"].startswith("p-")
    assert document["tags"] == ["d1_admin_subject"]
    assert document["counter"]["excluded"] == "admin_subject"
    assert document["geoip"] == {
        "continent_code": "NA",
        "country_code2": "US",
        "country_code3": "US",
        "country_name": "United States",
        "region_code": "CA",
        "region_name": "California",
    }
    assert "128.111" not in orjson.dumps(document).decode()
    assert hidden(DATAONE, orjson.dumps({**record, "subject": "public"})).document["subject"] == "public"


def test_a_source_of_ones_own() -> None:
    event = hidden(SHOP, orjson.dumps({"customer": 4711, "card": "4111-1111", "from": "host.example.org", "price": 3}))
    document = event.document
    assert document["customer"] not in (4711, None)
    assert isinstance(document["customer"], int)
    assert event.client == str(document["customer"])
    assert document["card"].startswith("p-")
    assert document["from"].startswith("p-")
    assert document["price"] == 3


PEOPLE = st.tuples(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=20, max_size=26),
    st.ip_addresses().map(str).filter(lambda text: len(text) > 7),
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=7, max_size=10).map("q{}q".format),  # no word that documents hold anyway
)


@given(PEOPLE, st.booleans())
def test_nothing_on_the_topics_names_the_person(person: tuple[str, str, str], has_session: bool) -> None:
    session, ip, netid = person
    enricher = Enricher(build(EZCAST), KEY)
    outputs: list[Output] = []
    value = line(session if has_session else "", ip, netid, "1 | view_help")
    record = Record(key(Place("file", "host", "/path"), 0), value)
    parser = Parser(build(EZCAST), "events", "dead", enricher.enrich)
    assert parser.clocks is not None
    parser.clocks.set((record.partition, "file"), LocalClock("UTC"))
    parser.run([record], 0, outputs)  # type: ignore[list-item]
    (output,) = outputs
    assert output.topic == "events"
    for name in person:
        assert name.encode() not in (output.key or b"") + (output.value or b"")


def test_without_a_key_there_are_no_pseudonyms() -> None:
    with pytest.raises(ConfigError, match=r"sources\.own\.pseudonymize needs a key: set TAILRACE_HASH_KEY, or hash_key_file"):
        Enricher(build(EZCAST))
