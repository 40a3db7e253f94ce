import os
from collections.abc import Iterator

import pytest

from tests.producers.harvest.solr import RealSolr, SolrServer


@pytest.fixture
def solr() -> Iterator[SolrServer]:
    """An empty core."""
    server = SolrServer()
    yield server
    server.close()


@pytest.fixture(params=["ours", "real"])
def either(request: pytest.FixtureRequest) -> Iterator[SolrServer | RealSolr]:
    """An empty core, ours and a real one: what holds for both."""
    url = os.environ.get("SOLR_CORE_URL")
    if request.param == "real" and not url:
        pytest.skip("no real Solr: set SOLR_CORE_URL to a core that may be emptied")
    server = RealSolr(url or "") if request.param == "real" else SolrServer()
    yield server
    server.close()
