"""A small database of network operators, which there is none of to be had freely."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from msgspec.structs import replace
from netaddr import IPSet

from tailrace.settings import Settings
from tests.streams.cluster import Cluster


@pytest.fixture(scope="session")
def asn_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MaxMind ASN database of two networks that are reserved for documentation."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="GeoLite2-ASN")
    names = {"autonomous_system_number": 64_496, "autonomous_system_organization": "Example University"}
    writer.insert_network(IPSet(["192.0.2.0/24"]), names)
    writer.insert_network(IPSet(["2001:db8::/32"]), {"autonomous_system_number": 64_497})
    file = tmp_path_factory.mktemp("asn") / "GeoLite2-ASN.mmdb"
    writer.to_db_file(str(file))
    return file


@pytest.fixture
def cluster(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Topics and workers of the test's own on a real Kafka. The parameter, if any, is the number of partitions."""
    partitions = getattr(request, "param", settings.kafka.partitions)
    made = Cluster(replace(settings, kafka=replace(settings.kafka, partitions=partitions)), tmp_path)
    yield made
    made.close()
