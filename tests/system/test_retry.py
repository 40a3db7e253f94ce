"""An event that the index refused, sent again when it would take it: as if nothing had failed, whatever came in between."""

import json
from pathlib import Path

import pytest

from tests.system.conftest import MakePipeline

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

OCTOBER_2016 = 1_475_300_000_000
MINUTE = 60_000


def line(identity: str, time: int, **fields: object) -> str:
    return json.dumps({"id": identity, "time": time, "who": "ann", **fields}) + "\n"


def test_a_retried_event_joins_the_session_that_it_belongs_to_by_then(pipeline: MakePipeline, logs: Path) -> None:
    run = pipeline(
        clicks={
            "format": "json",
            "paths": [f"{logs}/*.jsonl"],
            "id": "id",
            "types": {"id": "keyword", "time": "integer", "who": "keyword"},
            "time": "time",
            "time_format": "epoch_ms",
            "client": ["who"],
        }
    )
    index = f"{run.settings.elasticsearch.index_prefix}clicks-2016.10"
    run.search.indices.create(index=index, mappings={"dynamic": "strict"})
    (logs / "1.jsonl").write_text(line("a", OCTOBER_2016, odd=1) + line("b", OCTOBER_2016 + MINUTE))
    run.backfill()
    (logs / "2.jsonl").write_text(line("c", OCTOBER_2016 - MINUTE))
    run.backfill()
    assert set(run.documents("clicks")) == {"b", "c"}
    assert {letter.reason for letter in run.dead("clicks")} == {"strict_dynamic_mapping_exception", "patch_without_document"}

    run.search.indices.put_mapping(index=index, dynamic="true")
    said = run.run("dead", "retry").stdout
    assert said.startswith("1 sent again\n1 not, since newer patches")
    run.run("dead", "drop", "--yes")
    run.backfill()
    found = run.documents("clicks")
    assert set(found) == {"a", "b", "c"}
    assert {document["sessionId"] for document in found.values()} == {found["c"]["sessionId"]}
    assert not any("late_session" in document for document in found.values())
    run.run("sessions", "repair", "--dry-run")  # computes sessions once more, and finds no difference
    assert run.audit()["clean"]
