"""The client that every room asks Elasticsearch with."""

from msgspec.structs import replace

from tailrace import search
from tailrace.settings import Settings
from tests.helpers import free_address


def test_a_node_that_is_gone_is_passed_over(settings: Settings) -> None:
    nodes = replace(settings.elasticsearch, url=f"http://{free_address()},{settings.elasticsearch.url}")
    with search.client(nodes) as client:
        assert all(client.info()["version"] for _ in range(4))
