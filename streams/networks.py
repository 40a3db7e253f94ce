"""Lists of addresses and networks, compiled so that one look-up is one bisection whatever the list's length."""

import logging
from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_network
from pathlib import Path

from schemas.address import Address
from tailrace.watched import listed

log = logging.getLogger("tailrace.networks")

_MAPPED = IPv6Network("::ffff:0:0/96")


class Networks:
    """A set of networks; `address in networks` costs about 1 us.

    Networks that are written as IPv4 mapped into IPv6 count as IPv4, as addresses do (`schemas.address`).
    """

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        plain = [_unmapped(network) for network in networks]
        self._v4 = _ranges(collapse_addresses(net for net in plain if isinstance(net, IPv4Network)))
        self._v6 = _ranges(collapse_addresses(net for net in plain if isinstance(net, IPv6Network)))

    @property
    def ranges(self) -> tuple[tuple[list[int], list[int]], ...]:
        """First and last addresses, as numbers, of IPv4 and of IPv6."""
        return self._v4, self._v6

    def __contains__(self, address: Address) -> bool:
        firsts, lasts = self._v6 if isinstance(address, IPv6Address) else self._v4
        number = int(address)
        at = bisect_right(firsts, number) - 1
        return at >= 0 and number <= lasts[at]


def read_networks(path: Path) -> Networks:
    """The networks of a file with an address or a network in CIDR notation a line; # begins a comment.

    A line that is neither is skipped with a warning; host bits may be set (`192.0.2.7/24`). Raises OSError, and ValueError where no
    line is left.
    """
    networks = []
    for number, line in listed(path):
        text = line.partition("#")[0].strip()
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            log.warning("%s, line %d: %r is neither an address nor a network; the line is skipped", path, number, text)
    if not networks:
        raise ValueError("no line of it is an address or a network")
    return Networks(networks)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network


def _ranges(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[list[int], list[int]]:
    """First and last addresses of disjoint networks, in ascending order."""
    disjoint = sorted((int(net.network_address), int(net.broadcast_address)) for net in networks)
    return [first for first, _ in disjoint], [last for _, last in disjoint]
