"""A whole run with pseudonyms: what stands after the raw topics names nobody, and people are counted as without."""

import json
from pathlib import Path

import pytest

from tailrace import kafka
from tests.helpers import read_topic
from tests.system.conftest import MakePipeline, ezcast
from tests.system.pipeline import Pipeline

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

PEOPLE = (
    ("s1verysecret", "164.15.1.17", "student0001"),
    ("s2verysecret", "2001:db8:17::18", "student0002"),
    ("", "203.0.113.99", "nologin"),
)
AFTER_RAW: tuple[kafka.Kind, ...] = ("events", "enriched", "sessions", "files", "dead")


def trace() -> str:
    lines = []
    for minute in range(30):
        session, ip, netid = PEOPLE[minute % 3]
        action = "login | Firefox | 49.0 | Linux | Mozilla" if minute < 6 else "view_help"
        lines.append(f"2016-10-03-08:{minute:02}:00 | {session} | {ip} | {netid} | 1 | {action}")
    return "\n".join(lines) + "\n"


def run(pipeline: Pipeline, **environ: str) -> str:
    pipeline.run("run", "--once", "--wait", "30s", **environ)
    assert pipeline.audit()["clean"]
    return pipeline.run("report", "ezcast", "logins", "--format", "json").stdout


def test_pseudonyms_from_end_to_end(pipeline: MakePipeline, logs: Path) -> None:
    (logs / "2016-10-03.trace").write_text(trace())
    hiding = pipeline(ezcast=ezcast(logs, pseudonymize=True))
    refused = hiding.run("run", "--once", "--wait", "30s", check=False)
    assert refused.returncode == 78
    assert "sources.ezcast.pseudonymize needs a key: set TAILRACE_HASH_KEY" in refused.stderr
    (logins,) = json.loads(run(hiding, TAILRACE_HASH_KEY="a key for this test alone"))["logins"]
    assert (logins["logins"], logins["logged_in_users"], logins["anonymous_addresses"]) == (6, 2, 1)

    documents = hiding.documents("ezcast")
    written = json.dumps([[hit["_id"], hit["_source"]] for hit in hiding.hits("ezcast")])
    on_topics = b"".join(
        (record.key or b"") + (record.value or b"") for kind in AFTER_RAW for record in read_topic(hiding.settings, "ezcast", kind)
    )
    for word in (name for person in PEOPLE for name in person if name not in ("", "nologin")):
        assert word not in written
        assert word.encode() not in on_topics
    assert len({document["sessionId"] for document in documents.values()}) == 3
    own = {"term": {"ip": "fd00::/8"}}
    assert hiding.search.count(index=hiding.pattern("ezcast"), query=own)["count"] == len(documents) == 30
    assert hiding.search.count(index=hiding.pattern("ezcast"), query={"exists": {"field": "_ignored"}})["count"] == 0
