"""`tailrace audit` of a source whose events come from a Solr core: what the core holds has to be in Kafka."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tailrace.solr import place_of
from tests.producers.harvest.solr import SolrServer, event
from tests.reports.conftest import MakeStage
from tests.reports.stage import Record, Stage

pytestmark = pytest.mark.servers


@pytest.fixture
def solr() -> Iterator[SolrServer]:
    server = SolrServer()
    yield server
    server.close()


@pytest.fixture
def core(stage: MakeStage, solr: SolrServer) -> Stage:
    return stage(dataone={"format": "dataone", "paths": [], "index": "eventlog", "solr_url": solr.url, "solr_overlap": "5s"})


def add(solr: SolrServer, *numbers: int) -> None:
    solr.now_ms += 60_000
    solr.add(*map(event, numbers))
    solr.commit()


def carry(core: Stage, solr: SolrServer, *but: int) -> None:
    """Everything of the core but these events to Kafka and the index."""
    place, left = place_of(core.source), {event(number)["id"] for number in but}
    documents = [document for document in solr.documents() if document["id"] not in left]
    records: list[Record] = [(place, document["_version_"], json.dumps(document).encode()) for document in documents]
    core.publish(records)
    core.process(records)


def audit(core: Stage, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(core.run("audit", "--format", "json", "--settle", "0s", *words).stdout)["sources"][0]
    return found


def test_a_core_that_was_harvested_whole(core: Stage, solr: SolrServer) -> None:
    add(solr, 1, 2, 3)
    carry(core, solr)
    assert audit(core)["clean"]


def test_events_that_were_not_harvested_are_named(core: Stage, solr: SolrServer) -> None:
    add(solr, 1, 2)
    add(solr, 3)
    carry(core, solr, 2)
    found = audit(core)
    assert (found["clean"], found["not_harvested"]) == (False, 1)
    (problem,) = found["problems"]
    assert (problem["problem"], problem["id"], problem["path"]) == ("not_harvested", "urn:node:KNB.2", solr.url)
    assert "1 events of the core not harvested" in core.run("audit", "--settle", "0s").stdout
    add(solr, 1)
    assert audit(core)["not_harvested"] == 2, "one that was indexed again is another version"


def test_what_is_newer_than_the_harvest_is_lag(core: Stage, solr: SolrServer) -> None:
    add(solr, 1)
    carry(core, solr)
    add(solr, 2)
    assert audit(core)["not_harvested"] == 1
    assert audit(core, "--allow-lag")["clean"]


def test_a_core_that_does_not_answer_is_told(core: Stage, solr: SolrServer) -> None:
    solr.close()
    found = audit(core)
    assert (found["clean"], found["unreadable"]) == (False, 1)
