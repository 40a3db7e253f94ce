import logging
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streams.networks import Networks, read_networks

Network = IPv4Network | IPv6Network


@st.composite
def networks(draw: st.DrawFn) -> Network:
    address = draw(st.ip_addresses())
    return ip_network((int(address) if address.version == 4 else address, draw(st.integers(0, address.max_prefixlen))), strict=False)


@st.composite
def crowded(draw: st.DrawFn) -> tuple[list[Network], IPv4Address | IPv6Address]:
    """Networks and an address inside, beside or just behind one of them."""
    found = draw(st.lists(networks(), min_size=1, max_size=12))
    edge = draw(st.sampled_from(found))
    number = draw(st.sampled_from([int(edge.network_address), int(edge.broadcast_address)])) + draw(st.integers(-1, 1))
    kind = IPv4Address if edge.version == 4 else IPv6Address
    return found, kind(min(max(number, 0), 2**edge.max_prefixlen - 1))


@given(crowded())
def test_membership_is_that_of_the_networks_one_by_one(case: tuple[list[Network], IPv4Address | IPv6Address]) -> None:
    found, address = case
    assume(getattr(address, "ipv4_mapped", None) is None)  # parse_address has made IPv4 of those
    assert (address in Networks(found)) == any(address in network for network in found)


def test_no_networks_hold_nothing() -> None:
    assert ip_address("192.0.2.1") not in Networks([])
    assert ip_address("::1") not in Networks([])


def test_a_network_mapped_into_ipv6_is_an_ipv4_network() -> None:
    mapped = Networks([ip_network("::ffff:192.0.2.0/120")])
    assert ip_address("192.0.2.255") in mapped
    assert ip_address("192.0.3.0") not in mapped


def test_a_list_with_comments_blanks_crlf_and_host_bits(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf# hosts\r\n\r\n192.0.2.7/29\r\n  198.51.100.1  # one\r\n2001:db8::/32\r\n192.0.2.6")
    found = read_networks(file)
    inside = ["192.0.2.0", "192.0.2.7", "198.51.100.1", "2001:db8:ffff::1"]
    assert [text for text in [*inside, "192.0.2.8", "198.51.100.2", "2001:db9::"] if ip_address(text) in found] == inside


def test_a_bad_line_is_skipped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "list.txt"
    file.write_text("192.0.2.1\n192.0.2.300\n198.51.100.0/33\n192.0.2.2\n")
    with caplog.at_level(logging.WARNING):
        found = read_networks(file)
    assert ip_address("192.0.2.1") in found
    assert ip_address("192.0.2.2") in found
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}, line 2: '192.0.2.300' is neither an address nor a network; the line is skipped",
        f"{file}, line 3: '198.51.100.0/33' is neither an address nor a network; the line is skipped",
    ]


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "nonsense\n"])
def test_a_list_of_nothing_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"lists nothing|no line of it"):
        read_networks(file)


def test_the_real_list_of_robots(shared: Path) -> None:
    found = read_networks(shared / "dataone" / "robot_ips.txt")
    assert sum(last - first + 1 for first, last in zip(*found._v4, strict=True)) == 62_240
    assert len(found._v4[0]) <= 153
