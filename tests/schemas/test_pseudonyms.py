"""Pseudonyms: the same for the same, different for the different, and of a type that the mapping takes."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Event
from schemas.keyed import Keyed
from schemas.pseudonyms import Pseudonyms, coarse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def make(key: bytes = b"an example of a key") -> Pseudonyms:
    return Pseudonyms(Keyed(key), ["ip", "netid", "netid"], frozenset({"nologin"}), lambda document: document.get("netid"))


@pytest.mark.parametrize("text", ["192.0.2.1", "2001:db8::1", "::1", "fd00::1"])
def test_an_address_becomes_a_private_one(text: str) -> None:
    found = make().of(text)
    assert ip_address(found) in ip_network("fd00::/8")
    assert found != text
    assert str(ip_address(found)) == found


def test_spellings_of_one_address_have_one_pseudonym() -> None:
    assert len({make().of(text) for text in ("192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201")}) == 1
    assert len({make().of(text) for text in ("2001:db8::1", "2001:DB8:0:0::1")}) == 1


def test_other_text_becomes_a_word_and_nobody_stays_nobody() -> None:
    pseudonyms = make()
    assert pseudonyms.of("student1").startswith("p-")
    assert len(pseudonyms.of("student1")) == 22
    assert pseudonyms.of("student1") == make().of("student1") != pseudonyms.of("student2")
    assert pseudonyms.of("nologin") == "nologin"


def test_another_key_gives_other_pseudonyms() -> None:
    for value in ("192.0.2.1", "student1", 7):
        assert make().of(value) != make(b"another key of some length").of(value)


@given(JSON)
def test_a_value_keeps_its_type(value: Any) -> None:
    found = make().of(value)
    assert type(found) is type(value)
    assert found == make().of(value)
    if isinstance(value, list):
        assert list(map(type, found)) == list(map(type, value))


def test_an_event_is_hidden_with_its_client() -> None:
    document = {"ip": "192.0.2.1", "netid": "student1", "action": "login"}
    event = make().hide(Event("id", 0, "student1", "login", document))
    assert event.client == event.document["netid"] == make().of("student1")
    assert event.document == {"ip": make().of("192.0.2.1"), "netid": event.client, "action": "login"}
    assert (event.id, event.time, event.kind) == ("id", 0, "login")


def test_a_client_that_the_document_does_not_tell_is_hidden_all_the_same() -> None:
    assert make().hide(Event("id", 0, "somebody", "", {})).client == make().of("somebody")
    assert make().hide(Event("id", 0, None, "", {"netid": "x"})).client is None


def test_geography_ends_at_the_region() -> None:
    region = {"country_code2": "BE", "region_name": "Brussels Capital"}
    assert coarse({"ip": "192.0.2.1", **region, "city_name": "Brussels", "latitude": 50.8, "asn": 1}) == region
