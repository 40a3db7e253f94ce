"""EZCast's own sample traces, from the files to the index: every entry as expected, and nothing else."""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from schemas.place import split_key
from tests.system.conftest import MakePipeline, ezcast

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

SMALL_TRACE = b"".join(
    [
        b"2016-10-03-08:00:00 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 1 | login | Firefox | 49.0 | Linux | Mozilla/5.0\n",
        b"2016-10-03-08:00:05 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 1 | view_albums\n",
        b"2016-10-03-08:01:00 | another-session-of-26-chars | 10.0.0.2 | nologin | 1 | login_as_anonymous | Chrome | 53.0 | Windows | UA\n",
        b"2016-10-03-08:02:00 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 4 | video_play_time"
        b" | INFO-F-101-pub | 2016_09_20_10h00 | Cours 1 | cam | 0 | 30\n",
        b"2016-10-03-08:02:30 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 4 | video_play_time"
        b" | INFO-F-101-pub | 2016_09_20_10h00 | Cours 1 | cam | 30 | 12\n",
        b"2016-10-03-08:03:00 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 0 | contact_send |  | Q | ligne 1\r\nligne 2\n",
        b"2016-10-03-08:04:00 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 3 | view_help\n",
        b"2016-10-03-09:04:00 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 3 | view_help\n",
        b"2016-10-03-10:04:01 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 3 | view_help\n",
        b"2016-10-03-10:05:00 | too | few\n",
    ]
)


def test_a_small_trace_arrives_typed_with_its_sessions(pipeline: MakePipeline, logs: Path) -> None:
    (logs / "2016-10-03.trace").write_bytes(SMALL_TRACE)
    run = pipeline(ezcast=ezcast(logs))
    run.backfill()
    documents = sorted(run.documents("ezcast").values(), key=lambda document: document["offset"])
    assert [document["action"] for document in documents] == [
        "login", "view_albums", "login_as_anonymous", "video_play_time", "video_play_time", "contact_send", *["view_help"] * 3,
    ]  # fmt: skip
    assert documents[3]["play_time"] == 30
    assert documents[5]["message"] == "ligne 1\r\nligne 2"
    assert documents[0]["@timestamp"] == "2016-10-03T06:00:00.000Z"
    student = [document["sessionId"] for document in documents if document["netid"] == "student001"]
    assert len(set(student[:-1])) == 1, "60 minutes apart is one session"
    assert student[-1] != student[0], "a second more is another"
    assert documents[2]["sessionId"] not in student
    assert [letter.reason for letter in run.dead("ezcast")] == ["too_few_columns"]
    assert run.audit()["clean"]


def test_users_queries(pipeline: MakePipeline, logs: Path) -> None:
    (logs / "2016-10-03.trace").write_bytes(SMALL_TRACE)
    run = pipeline(ezcast=ezcast(logs))
    run.backfill()
    index = run.pattern("ezcast")

    def ask(**body: Any) -> dict[str, Any]:
        return dict(run.search.search(index=index, **body))

    by_start = ask(
        query={"term": {"action": "video_play_time"}}, sort=[{"start": "desc"}], from_=0, size=1, source=["album", "start", "play_time"]
    )
    assert by_start["hits"]["hits"][0]["_source"] == {"album": "INFO-F-101-pub", "start": 30.0, "play_time": 12}
    ends = ask(
        query={"range": {"play_time": {"gte": 12, "lt": 30}}},
        script_fields={"end_time": {"script": "doc['start'].value + doc['play_time'].value"}},
    )
    assert [hit["fields"]["end_time"] for hit in ends["hits"]["hits"]] == [[42.0]]
    logins = ask(
        size=0,
        query={"terms": {"action": ["login", "login_as_anonymous"]}},
        aggs={
            "browsers": {"terms": {"field": "browser_name.keyword"}},
            "systems": {
                "terms": {"field": "user_os.keyword"},
                "aggs": {"weeks": {"date_histogram": {"field": "@timestamp", "calendar_interval": "week"}}},
            },
        },
    )["aggregations"]
    assert {bucket["key"]: bucket["doc_count"] for bucket in logins["browsers"]["buckets"]} == {"Firefox": 1, "Chrome": 1}
    weeks = {system["key"]: [week["doc_count"] for week in system["weeks"]["buckets"]] for system in logins["systems"]["buckets"]}
    assert weeks == {"Linux": [1], "Windows": [1]}


def test_a_trace_shipped_twice_and_by_two_hosts_gives_the_same_documents(pipeline: MakePipeline, logs: Path) -> None:
    (logs / "2016-10-03.trace").write_bytes(SMALL_TRACE)
    run = pipeline(ezcast=ezcast(logs))
    run.backfill()
    before = run.documents("ezcast")
    (logs / "2016-10-03.trace").rename(logs / "renamed.trace")
    run.run("run", "--once", TAILRACE_STATE_DIR=str(logs.parent / "other-state"), TAILRACE_HOST="other-host")
    after = run.documents("ezcast")
    assert after.keys() == before.keys()
    places = {"host", "source"}
    assert {id: _without(document, places) for id, document in after.items()} == {
        id: _without(document, places) for id, document in before.items()
    }
    audit = run.audit()
    assert audit["clean"]


def test_a_backlog_of_years_keeps_its_sessions(pipeline: MakePipeline, logs: Path) -> None:
    years, clients = range(2014, 2020), 5
    for year in years:
        lines = (
            b"%d-10-03-%02d:%02d:00 | session%018d | 10.0.0.%d | student%03d | 3 | view_help\n"
            % (year, 8 + n // 60, n % 60, n % clients, n % clients + 1, n % clients)
            for n in range(240)
        )
        (logs / f"{year}-10-03.trace").write_bytes(b"".join(lines))
    run = pipeline(ezcast=ezcast(logs))
    run.backfill()
    documents = run.documents("ezcast").values()
    assert len(documents) == len(years) * 240
    sessions = {(document["session"], document["timestamp"][:4], document["sessionId"]) for document in documents}
    assert len(sessions) == len({document["sessionId"] for document in documents}) == len(years) * clients


def test_every_sample_entry_is_found_and_nothing_else(pipeline: MakePipeline, logs: Path, shared: Path) -> None:
    samples = shared / "ezcast" / "samples"
    for trace in samples.glob("*.trace"):
        shutil.copy(trace, logs)
    expected = [json.loads(line) for line in (samples / "expected.jsonl").read_bytes().splitlines()]
    run = pipeline(ezcast=ezcast(logs))
    run.backfill()
    run.run("sessions", "repair", "--dry-run")  # computes sessions and views once more, and finds no difference
    found = {(Path(document["source"]).name, document["offset"]): document for document in run.documents("ezcast").values()}
    wanted = {(entry["file"], entry["offset"]): entry for entry in expected if entry["kind"] != "malformed"}
    assert found.keys() == wanted.keys()
    for place, entry in wanted.items():
        _check(found[place], entry)
    _check_sessions(found.values())
    assets = json.loads((samples / "statistics.json").read_bytes())["assets"]
    _check_views(run.summaries("ezcast", "views"), assets)
    watched = json.loads(run.run("report", "ezcast", "watched", "--format", "json").stdout)["watched"]
    assert {(row["album"], row["asset"], row["views"], row["play_time"]) for row in watched} == {
        (a["album"], a["asset"], a["views"]["total"], a["play_time"]) for a in assets if a["play_time"]
    }
    letters = Counter()
    for letter in run.dead("ezcast"):
        where, offset = split_key(letter.key)
        letters[Path(where.path).name, offset, letter.reason] += 1
    assert letters == Counter((entry["file"], entry["offset"], entry["reason"]) for entry in expected if entry["kind"] == "malformed")


COLUMNS = {
    "@timestamp", "timestamp", "fold", "session", "ip", "netid", "level", "action", "tags", "host", "source", "file", "offset",
    "problems", "sessionId", "session_browser", "session_os", "geoip", "fields", "client_class",
}  # fmt: skip


def _check(document: dict[str, Any], entry: dict[str, Any]) -> None:
    where = f"{entry['file']}:{entry['offset']}"
    assert document["timestamp"] == entry["time"], where
    assert document["@timestamp"] == entry["utc"].replace("Z", ".000Z"), where
    assert document.get("fold") == entry.get("fold"), where
    assert document.get("session") == entry["session_id"], where
    assert document.get("level") == entry["level"], where
    assert document["netid"] == entry["netid"], where
    assert document["action"] == entry["action"], where
    assert document.get("ip") == (None if entry["ip"] == "noip" else entry["ip"]), where
    own = _without(document, COLUMNS)
    tags = set(document.get("tags", []))
    if entry["kind"] == "event":
        fields = {name: value for name, value in entry["fields"].items() if name not in entry.get("problems", {})}
        assert own == fields, where
        assert {name: type(value) for name, value in own.items()} == {name: type(value) for name, value in fields.items()}, where
        named = dict(problem.split(":", 1) for problem in document.get("problems", []))
        assert {name: why for name, why in named.items() if name not in ("ip", "level")} == entry.get("problems", {}), where
        assert not tags & {"_unknown_action", "_field_count"}, where
    else:
        assert own == {f"elem{n}": value for n, value in enumerate(entry["raw"], 1)}, where
        assert f"_{entry['kind']}" in tags, where


def _check_sessions(documents: Iterable[dict[str, Any]]) -> None:
    """Against a scan of all events of each client in order: 60 minutes apart is one session, more is another."""
    clients: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    members: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for document in documents:
        members[document["sessionId"]].append(document)
        client = document.get("session") or f"{document.get('ip')}|{document['netid']}"
        clients[client].append((datetime.fromisoformat(document["@timestamp"]), document["sessionId"]))
    sessions: set[int] = set()
    for events in clients.values():
        events.sort()
        for (before, of_before), (after, of_after) in pairwise([(datetime.min.replace(tzinfo=UTC), 0), *events]):
            assert (of_after == of_before) is (after - before <= timedelta(minutes=60))
        own = {session for _, session in events}
        assert not sessions & own, "no two clients share a session"
        sessions |= own
    for own in members.values():
        _check_fields(own)


def _check_fields(session: list[dict[str, Any]]) -> None:
    """Every event has browser and system of the session's first login."""
    logins = [document for document in session if document["action"].startswith("login") and document.get("browser_name")]
    first = min(logins, key=lambda login: (login["@timestamp"], f"{login['file']}-{login['offset']}"), default={})
    for document in session:
        assert document.get("session_browser") == first.get("browser_name"), document
        assert document.get("session_os") == (first.get("user_os") or None), document


def _check_views(views: list[dict[str, Any]], assets: list[dict[str, Any]]) -> None:
    """Playing time and views of each asset, as EZCast's own rule has them without its errors."""
    seconds: Counter[tuple[str, str]] = Counter()
    viewed: Counter[tuple[str, str]] = Counter()
    for view in views:
        asset = view["album"], view["asset"]
        seconds[asset] += view["play_time"]
        viewed[asset] += view["viewed"]
        assert view["viewed"] is (view["play_time"] >= 60)
    assert +seconds == Counter({(a["album"], a["asset"]): a["play_time"] for a in assets if a["play_time"]})
    assert +viewed == Counter({(a["album"], a["asset"]): a["views"]["total"] for a in assets if a["views"]["total"]})


def _without(document: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
