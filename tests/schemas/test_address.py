from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.address import canonical_address, parse_address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:C000:0201", "192.0.2.1"),
        ("2001:0DB8:0000:0000:0000:0000:0000:00AB", "2001:db8::ab"),
        ("::192.0.2.1", "::c000:201"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.000.002.001", None),
        (" 192.0.2.1", None),
        ("192.0.2.1/32", None),
        ("192.0.2.1%eth0", None),
        ("[::1]", None),
        ("proxy.example.org", None),
        ("", None),
        ("::" + "0" * 100, None),
        ("fe80::1%" + "x" * 10_000, None),
    ],
)
def test_an_address_has_one_spelling(text: str, canonical: str | None) -> None:
    assert canonical_address(text) == canonical


@given(st.ip_addresses())
def test_every_spelling_of_an_address_is_the_same_client(address: IPv4Address | IPv6Address) -> None:
    spellings = {str(address), address.exploded, address.exploded.upper()}
    if isinstance(address, IPv4Address):
        spellings.add(f"::ffff:{address}")
    assert len({canonical_address(text) for text in spellings}) == 1


@given(st.text() | st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,4}){3}", fullmatch=True))
def test_ipv4_is_read_as_the_standard_library_does(text: str) -> None:
    try:
        expected = IPv4Address(text)
    except ValueError:
        expected = None
    assert (parse_address(text) if ":" not in text else None) == expected


@given(st.text())
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = parse_address(text)
    assert found is None or ip_address(canonical_address(text)) == found
