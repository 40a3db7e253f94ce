"""Pseudonyms: the same person always has the same one, and without the key nobody finds out who it is.

An address becomes an address of the private range fd00::/8 (RFC 4193), so that the mapping `ip`, queries for one client and counts of
different ones work as before, and so that nobody takes it for a real one; an integer becomes another integer, other text `p-` and 20
hex digits (80 bits).
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any

from msgspec.structs import replace

from schemas.address import canonical_address
from schemas.event import Document, Event
from schemas.keyed import Keyed

COARSE = ("continent_code", "country_code2", "country_code3", "country_name", "region_code", "region_name")
"""Geography that is kept: nothing finer than a region, nor the operator of the network, which may be a household."""

_CACHED = 65_536


class Pseudonyms:
    """Hides the people of one source's documents.

    `fields` name people; values in `nobody` (`nologin`) name none and stay. `client_of` says who, from a document, as
    `schemas.source.Source`.
    """

    def __init__(self, hashes: Keyed, fields: Iterable[str], nobody: frozenset[str], client_of: Callable[[Document], str | None]) -> None:
        self._hashes = hashes
        self._fields = tuple(dict.fromkeys(fields))
        self._nobody = nobody
        self._client_of = client_of
        self._number = hashes.numbers(b"number")
        self._of_text = lru_cache(_CACHED)(self._hash_text)

    def hide(self, event: Event) -> Event:
        """The event with pseudonyms in its document, which is changed in place, and a client made of them."""
        document = event.document
        for field in self._fields:
            value = document.get(field)
            if value is not None:
                document[field] = self.of(value)
        if event.client is None:
            return event
        return replace(event, client=self._client_of(document) or self._of_text(event.client))

    def of(self, value: Any) -> Any:
        """The pseudonym of a value of JSON, of the same type; of lists and objects, those of what they hold."""
        if isinstance(value, str):
            return value if value in self._nobody else self._of_text(value)
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, dict):
            return {name: self.of(item) for name, item in value.items()}
        if isinstance(value, bool) or value is None:
            return value
        number = self._number(repr(value))
        return float(number) if isinstance(value, float) else number

    def _hash_text(self, text: str) -> str:
        address = canonical_address(text)
        if address is not None:
            return str(IPv6Address(b"\xfd" + self._hashes.digest(b"address", address, 15)))
        return f"p-{self._hashes.digest(b'text', text, 10).hex()}"


def coarse(geoip: dict[str, Any]) -> dict[str, Any]:
    """The fields of `geoip` that say no more than the region."""
    return {name: geoip[name] for name in COARSE if name in geoip}
