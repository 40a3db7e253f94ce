"""Where an address is, by MaxMind's databases, in the words of Logstash's geoip filter."""

from pathlib import Path
from typing import Any

from geoip2.database import Reader
from geoip2.errors import AddressNotFoundError
from maxminddb import InvalidDatabaseError

from schemas.address import Address

_LOOK_UP_FAILURES = (AddressNotFoundError, InvalidDatabaseError, ValueError)  # ValueError: IPv6 in a database of IPv4


def open_city(path: Path) -> Reader:
    return _open(path, "City")


def open_asn(path: Path) -> Reader:
    return _open(path, "ASN")


def locate(city: Reader, address: Address) -> dict[str, Any] | None:
    """The fields of `geoip` that are known; None for an address that is not in the database, or there without coordinates.

    The region is the most specific subdivision; `country_code3` repeats the two letters, as Logstash's does since MaxMind has no
    three-letter codes any more.
    """
    try:
        found = city.city(address)
    except _LOOK_UP_FAILURES:
        return None
    latitude, longitude = found.location.latitude, found.location.longitude
    if latitude is None or longitude is None:
        return None
    region = found.subdivisions.most_specific
    fields = {
        "ip": str(address),
        "city_name": found.city.names.get("en"),
        "continent_code": found.continent.code,
        "country_code2": found.country.iso_code,
        "country_code3": found.country.iso_code,
        "country_name": found.country.names.get("en"),
        "dma_code": found.location.metro_code,
        "latitude": latitude,
        "longitude": longitude,
        "location": {"lat": latitude, "lon": longitude},
        "postal_code": found.postal.code,
        "region_code": region.iso_code,
        "region_name": region.names.get("en"),
        "timezone": found.location.time_zone,
    }
    return {name: value for name, value in fields.items() if value is not None}


def operator(asn: Reader, address: Address) -> dict[str, Any]:
    """The autonomous system that announces the address: `asn` and `as_org`, each if known."""
    try:
        found = asn.asn(address)
    except _LOOK_UP_FAILURES:
        return {}
    fields = {"ip": str(address), "asn": found.autonomous_system_number, "as_org": found.autonomous_system_organization}
    return {name: value for name, value in fields.items() if value is not None}


def _open(path: Path, kind: str) -> Reader:
    """Raises OSError, and ValueError for a file that is no MaxMind database of this kind.

    The file is mapped into memory, so replace it by renaming a new one over it, as `geoipupdate` does.
    """
    try:
        reader = Reader(path)
    except InvalidDatabaseError as error:
        raise ValueError(f"it is no MaxMind database: {error}") from None
    found = reader.metadata().database_type
    if kind not in found:
        reader.close()
        raise ValueError(f"it is a {found} database where a {kind} database is needed")
    return reader
