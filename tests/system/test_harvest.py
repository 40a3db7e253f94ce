"""DataONE's events from a Solr core to the index: late ones too, and each once, whatever is killed on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.checkpoint import peek
from tests.helpers import eventually
from tests.producers.harvest.solr import SolrServer, event
from tests.system.conftest import MakePipeline
from tests.system.pipeline import Pipeline

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture
def solr() -> Iterator[SolrServer]:
    server = SolrServer()
    yield server
    server.close()


def acknowledged(run: Pipeline) -> int:
    """The highest version that the checkpoint covers."""
    return max((entry.offset for entry in peek(Path(run.settings.state_dir) / "harvest")), default=0)


def test_late_events_and_a_kill_in_mid_harvest_leave_one_document_for_each_event(pipeline: MakePipeline, solr: SolrServer) -> None:
    for first in range(0, 3000, 100):
        solr.now_ms += 1000
        solr.add(*(event(number) for number in range(first, first + 100)))
        solr.commit()
    run = pipeline(
        dataone={"format": "dataone", "index": "eventlog", "solr_url": solr.url, "solr_rows": 20, "solr_overlap": "5s", "solr_poll": "1s"}
    )
    solr.answer_after_s = 0.03
    harvester = run.start("harvest")
    try:
        eventually(lambda: acknowledged(run) > 0, "a checkpoint")
    finally:
        harvester.kill()
        harvester.wait()
    assert acknowledged(run) < max(document["_version_"] for document in solr.documents()), "it was killed after the end"
    solr.answer_after_s = 0
    solr.now_ms += 30 * 86_400_000
    solr.add(*(event(number, dateLogged=f"2012-02-0{number % 9 + 1}T10:00:00Z") for number in range(3000, 3050)))
    solr.add(event(7, size=123_456))  # indexed again
    solr.commit()
    run.backfill()
    documents = run.documents("dataone")
    assert documents.keys() == {f"urn:node:KNB.{number}" for number in range(3050)}
    assert documents["urn:node:KNB.7"]["size"] == 123_456
    assert documents["urn:node:KNB.3001"]["dateLogged"].startswith("2012-02-0")
    assert {document["offset"] for document in documents.values()} == {document["_version_"] for document in solr.documents()}
    found = run.audit()
    assert found["clean"], found
    assert found["totals"]["events"] == 3050
