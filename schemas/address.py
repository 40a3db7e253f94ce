"""Addresses in the one spelling that Elasticsearch's `ip` type folds them to, so that one client stays one client."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

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
    if ":" in text:
        text = text.partition("%")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def canonical_address(text: str) -> str | None:
    """The address in lower case and shortest form (RFC 5952), or None. Cached: it costs 3 us, a repeated one 0.1 us."""
    return _canonical(text) if len(text) <= LONGEST else None


@lru_cache(maxsize=65_536)
def _canonical(text: str) -> str | None:
    address = parse_address(text)
    return str(address) if address is not None else None
