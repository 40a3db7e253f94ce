"""Where an address is, by MaxMind's databases, in the words of Logstash's geoip filter."""

from pathlib import Path
from typing import Any

from maxminddb import InvalidDatabaseError, Reader, open_database


def open_city(path: Path) -> Reader:
    return _open(path, "City")


def open_asn(path: Path) -> Reader:
    return _open(path, "ASN")


def locate(city: Reader, address: str) -> dict[str, Any] | None:
    """The fields of `geoip` that are known; None for an address that is not in the database, or there without coordinates.

    The region is the most specific subdivision; `country_code3` repeats the two letters, as Logstash's does since MaxMind has no
    three-letter codes any more.
    """
    found = _look_up(city, address)
    location = found.get("location", {})
    latitude, longitude = location.get("latitude"), location.get("longitude")
    if latitude is None or longitude is None:
        return None
    country, region = found.get("country", {}), (found.get("subdivisions") or [{}])[-1]
    fields = {
        "ip": address,
        "city_name": _name(found.get("city", {})),
        "continent_code": found.get("continent", {}).get("code"),
        "country_code2": country.get("iso_code"),
        "country_code3": country.get("iso_code"),
        "country_name": _name(country),
        "dma_code": location.get("metro_code"),
        "latitude": latitude,
        "longitude": longitude,
        "location": {"lat": latitude, "lon": longitude},
        "postal_code": found.get("postal", {}).get("code"),
        "region_code": region.get("iso_code"),
        "region_name": _name(region),
        "timezone": location.get("time_zone"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def operator(asn: Reader, address: str) -> dict[str, Any]:
    """The autonomous system that announces the address: `asn` and `as_org`, each if known."""
    found = _look_up(asn, address)
    if not found:
        return {}
    fields = {"ip": address, "asn": found.get("autonomous_system_number"), "as_org": found.get("autonomous_system_organization")}
    return {name: value for name, value in fields.items() if value is not None}


def _look_up(database: Reader, address: str) -> dict[str, Any]:
    """The database's record; to make the models of the package `geoip2` from it would take twice as long as the look-up."""
    try:
        found: Any = database.get(address)
    except (InvalidDatabaseError, ValueError):  # ValueError: IPv6 in a database of IPv4
        return {}
    return found if isinstance(found, dict) else {}


def _name(place: dict[str, Any]) -> str | None:
    name: str | None = place.get("names", {}).get("en")
    return name


def _open(path: Path, kind: str) -> Reader:
    """Raises OSError, and ValueError for a file that is no MaxMind database of this kind.

    The file is mapped into memory, so replace it by renaming a new one over it, as `geoipupdate` does.
    """
    try:
        reader = open_database(path)
    except InvalidDatabaseError as error:
        raise ValueError(f"it is no MaxMind database: {error}") from None
    found = reader.metadata().database_type
    if kind not in found:
        reader.close()
        raise ValueError(f"it is a {found} database where a {kind} database is needed")
    return reader
