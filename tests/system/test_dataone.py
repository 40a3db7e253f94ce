"""DataONE's events from the log to the 25 queries, whatever the order, number of copies and restarts on the way."""

import json
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import MakePipeline, dataone
from tests.system.pipeline import Pipeline

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

PLACE = {"source", "file", "offset", "host", "beat"}
"""Fields that say where a line stood, which differ when the same lines stand in other files."""


def block(logs: Path, shared: Path, city_database: Path) -> dict[str, Any]:
    lists = shared / "dataone"
    return dataone(
        logs,
        own_networks=str(lists / "dataone_ips.txt"),
        robot_networks=str(lists / "robot_ips.txt"),
        machine_user_agents=str(lists / "machine_user_agents.txt"),
        robot_user_agents=str(lists / "robot_user_agents.txt"),
        geoip_city=str(city_database),
    )


def check_queries(run: Pipeline, shared: Path, golden: str) -> None:
    search, prefix = run.settings.elasticsearch.url, run.settings.elasticsearch.index_prefix
    script = str(shared / "dataone" / "check_queries.py")
    done = subprocess.run(
        [sys.executable, script, "--es", search, "--prefix", prefix, "--set", golden],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("PASS 25 queries") or "PASS 25 queries" in done.stdout, done.stdout


def test_real_events_answer_the_25_queries(pipeline: MakePipeline, logs: Path, shared: Path, city_database: Path) -> None:
    (logs / "d1logagg.log").write_bytes((shared / "dataone" / "events.jsonl").read_bytes())
    run = pipeline(dataone=block(logs, shared, city_database))
    run.backfill()
    assert run.audit()["clean"]
    check_queries(run, shared, "golden")


def test_generated_events_answer_the_25_queries_in_any_order(
    pipeline: MakePipeline, logs: Path, shared: Path, city_database: Path, tmp_path: Path
) -> None:
    lines = (shared / "dataone" / "samples" / "generated.jsonl").read_bytes().splitlines(keepends=True)
    expected = {row["id"]: row for row in map(json.loads, (shared / "dataone/samples/generated.expected.jsonl").read_bytes().splitlines())}
    (logs / "d1logagg.log").write_bytes(b"".join(lines))
    run = pipeline(dataone=block(logs, shared, city_database))
    run.backfill()
    in_order = run.documents("dataone")
    assert in_order.keys() == expected.keys()
    sessions: dict[Any, set[str]] = defaultdict(set)
    for id, document in in_order.items():
        want = expected[id]
        assert set(document["tags"]) >= set(want["tags"]), id
        assert {tag for tag in document["tags"] if not tag.startswith(("_", "d1_", "beats_"))} == set(want["tags"]), id
        _check_session(document, want, id)
        sessions[document.get("sessionId")].add(id)
    wanted: dict[Any, set[str]] = defaultdict(set)
    for id, row in expected.items():
        wanted[row["session"]].add(id)
    assert {frozenset(members) for sid, members in sessions.items() if sid not in (None, -1)} == {
        frozenset(members) for sid, members in wanted.items() if sid not in (None, "-1")
    }
    assert run.audit()["clean"]
    check_queries(run, shared, "golden_generated")

    shuffled = [line for line in lines for _ in range(2)]
    random.Random(7).shuffle(shuffled)
    other = tmp_path / "other"
    other.mkdir()
    again = Pipeline(_elsewhere(run), other, {"dataone": block(other, shared, city_database)})
    try:
        third = len(shuffled) // 3
        for number in range(3):
            part = shuffled[number * third : (number + 1) * third if number < 2 else None]
            (other / f"part{number}.log").write_bytes(b"".join(part))
            again.backfill()
        assert {id: _content(document) for id, document in again.documents("dataone").items()} == {
            id: _content(document) for id, document in in_order.items()
        }
        assert again.audit()["clean"]
        again.run("sessions", "repair", "--dry-run")  # computes sessions once more, and finds no difference
    finally:
        again.search.indices.delete(index=",".join({hit["_index"] for hit in again.hits("dataone")}) or "none", ignore_unavailable=True)


def _check_session(document: dict[str, Any], want: dict[str, Any], id: str) -> None:
    if want["session"] is None:
        assert "sessionId" not in document, id
    elif want["session"] == "-1":
        assert document["sessionId"] == -1, id
    else:
        assert 0 < document["sessionId"] < 2**53, id


def _elsewhere(run: Pipeline) -> Any:
    import msgspec

    kafka = msgspec.structs.replace(run.settings.kafka, topic_prefix=f"{run.settings.kafka.topic_prefix}again-")
    search = msgspec.structs.replace(run.settings.elasticsearch, index_prefix=f"{run.settings.elasticsearch.index_prefix}again-")
    return msgspec.structs.replace(run.settings, kafka=kafka, elasticsearch=search, state_dir=f"{run.settings.state_dir}-again")


def _content(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in PLACE}
