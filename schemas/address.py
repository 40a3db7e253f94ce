"""Addresses in the one spelling that Elasticsearch's `ip` type folds them to, so that one client stays one client."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, inet_pton

Address = IPv4Address | IPv6Address

LONGEST = 64
"""Characters; the longest IPv6 spelling has 45, and a zone after it may take a few more."""


def parse_address(text: str) -> Address | None:
    """The address that a text spells, or None for a blank, a host name or anything else.

    As Elasticsearch 9.4 was seen to do: an IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) is IPv4, a zone
    (`fe80::1%eth0`) is dropped, octets with leading zeros, networks and surrounding blanks are refused.
    """
    if len(text) > LONGEST:
        return None
    try:
        if ":" not in text:
            return IPv4Address(inet_pton(AF_INET, text))  # a third of the price of having ipaddress read it
        address = IPv6Address(text.partition("%")[0])
    except (OSError, ValueError):
        return None
    return address.ipv4_mapped or address


def canonical_address(text: str) -> str | None:
    """The address in lower case and shortest form (RFC 5952), or None. Cached: a new one costs 1 us, of IPv6 10, a repeated one 0.1."""
    return _canonical(text) if len(text) <= LONGEST else None


@lru_cache(maxsize=65_536)
def _canonical(text: str) -> str | None:
    address = parse_address(text)
    if address is None:
        return None
    return str(address) if ":" in text else text  # IPv4 has but one spelling
