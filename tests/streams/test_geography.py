import json
from pathlib import Path

import pytest
from maxminddb import Reader
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from streams.geography import locate, open_asn, open_city, operator


@pytest.fixture(scope="module")
def city(city_database: Path) -> Reader:
    return open_city(city_database)


def test_everything_that_is_known_of_a_university(city: Reader) -> None:
    assert locate(city, "128.111.54.80") == {
        "ip": "128.111.54.80",
        "city_name": "Santa Barbara",
        "continent_code": "NA",
        "country_code2": "US",
        "country_code3": "US",
        "country_name": "United States",
        "dma_code": 855,
        "latitude": 34.4329,
        "longitude": -119.8371,
        "location": {"lat": 34.4329, "lon": -119.8371},
        "postal_code": "93106",
        "region_code": "CA",
        "region_name": "California",
        "timezone": "America/Los_Angeles",
    }


def test_only_what_is_known_stands(city: Reader) -> None:
    found = locate(city, "1.0.4.1")
    assert found is not None
    assert found["country_code2"] == "AU"
    assert found["location"] == {"lat": found["latitude"], "lon": found["longitude"]}
    assert not {"city_name", "region_name", "region_code", "dma_code"} & found.keys()


def test_an_address_without_coordinates_is_not_located(city: Reader) -> None:
    assert city.get("5.145.149.142")["registered_country"]["iso_code"] == "US"
    assert locate(city, "5.145.149.142") is None


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"])
def test_an_address_of_nowhere_has_no_geography(city: Reader, text: str) -> None:
    assert locate(city, text) is None


def test_real_events_are_where_they_were(city: Reader, shared: Path) -> None:
    expected = json.loads((shared / "dataone/samples/events.expected.json").read_text())["events"]
    records = map(json.loads, (shared / "dataone/events.jsonl").read_text().splitlines())
    for record in records:
        found = locate(city, record["ipAddress"]) or {}
        wanted = expected[record["id"]]["geoip"]
        assert {name: found[name] for name in wanted} == wanted


def test_the_operator_of_a_network(asn_database: Path) -> None:
    asn = open_asn(asn_database)
    assert operator(asn, "192.0.2.1") == {"ip": "192.0.2.1", "asn": 64_496, "as_org": "Example University"}
    assert operator(asn, "2001:db8::1") == {"ip": "2001:db8::1", "asn": 64_497}
    assert operator(asn, "198.51.100.1") == {}


def test_a_database_of_somebody_s_own_may_say_little(tmp_path: Path) -> None:
    writer = MMDBWriter(ip_version=4, database_type="Own-City")
    location = {"latitude": 0.5, "longitude": 1.5}
    for network, record in {
        "192.0.2.0/24": {"location": location, "subdivisions": []},
        "198.51.100.0/24": "nothing",
        "203.0.113.0/24": {},
    }.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(tmp_path / "City.mmdb"))
    own = open_city(tmp_path / "City.mmdb")
    known = {"ip": "192.0.2.1", "latitude": 0.5, "longitude": 1.5, "location": {"lat": 0.5, "lon": 1.5}}
    addresses = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"]
    assert [locate(own, address) for address in addresses] == [known, None, None, None]


def test_a_database_of_operators_is_no_database_of_cities(asn_database: Path) -> None:
    with pytest.raises(ValueError, match="it is a GeoLite2-ASN database where a City database is needed"):
        open_city(asn_database)


def test_a_database_of_another_kind_is_refused(city_database: Path) -> None:
    with pytest.raises(ValueError, match="it is a GeoLite2-City database where a ASN database is needed"):
        open_asn(city_database)


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "GeoLite2-City.mmdb"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="no MaxMind database"):
        open_city(file)


def test_a_missing_database_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        open_city(tmp_path / "none.mmdb")
