"""`tailrace sink` on a real Kafka and a real Elasticsearch."""

import subprocess
import sys
from typing import Any

import orjson
import pytest

from schemas.envelope import EventEnvelope, Patch, Summary
from schemas.place import Place, key
from tests.helpers import eventually
from tests.sinks.proxy import Answer, Forward, Proxy, Trouble, error, push_back
from tests.sinks.stage import NOVEMBER_2016, OCTOBER_2016, Stage, as_indexed, event

pytestmark = pytest.mark.servers


def expected(records: list[EventEnvelope | Patch]) -> dict[str, dict[str, object]]:
    """What the index must hold: the last word on each document."""
    found: dict[str, dict[str, object]] = {}
    for record in records:
        if isinstance(record, Patch):
            found[record.id] = {**found[record.id], "sessionId": record.session}
        else:
            found[record.id] = as_indexed(record)
    return found


def load(events: int) -> list[EventEnvelope | Patch]:
    """Events of some clients in two months, repeated and patched here and there."""
    records: list[EventEnvelope | Patch] = []
    for number in range(events):
        time = (OCTOBER_2016, NOVEMBER_2016)[number % 2] + number
        one = event(f"f-{number}", session=number % 50 + 1, client="client", time=time, n=number)
        records.append(one)
        if number % 7 == 0:
            records.append(Patch(one.id, time, number + 1_000))
        if number % 11 == 0:
            records.append(one._replace(session=number + 5_000))
    return records


def test_events_become_documents_of_their_months(stage: Stage) -> None:
    late = event("known", session=9, n=9)._replace(late=True)
    records = [
        event("october", n=1),
        event("november", time=NOVEMBER_2016, n=2),
        event("undated", time=None, session=-1),
        event("without session", session=None),
        event('odd "id" \\ é', message="line\nbreak", unknown="kept"),
        event("known", session=1, n=1),
        late,
        event("gap", session=4)._replace(late=True),
    ]
    stage.carry(records)
    assert stage.documents() == expected([record for record in records if record is not late])
    indices = {
        hit["_id"]: hit["_index"].removeprefix(stage.prefix) for hit in stage.search.search(index=f"{stage.prefix}*")["hits"]["hits"]
    }
    assert indices["october"] == "own-2016.10"
    assert indices["november"] == "own-2016.11"
    assert indices["undated"] == "own-undated"
    assert stage.dead() == []


def test_summaries_stand_beside_the_events_and_not_among_them(stage: Stage) -> None:
    long_day = {"@timestamp": "2016-10-01T00:00:00.000Z", "client": "client", "events": 3}
    stage.carry(
        [
            event("a"),
            Summary("7", OCTOBER_2016, "sessions", b'{"events":1}'),
            Summary("7", OCTOBER_2016, "sessions", orjson.dumps(long_day)),
            Summary("8", OCTOBER_2016, "sessions", b'{"events":1}'),
            Summary("8", OCTOBER_2016, "sessions", None),
            Summary("never there", NOVEMBER_2016, "sessions", None),
        ]
    )
    assert stage.dead() == []
    assert set(stage.documents()) == {"a"}, "the index pattern finds events only"
    stage.search.indices.refresh(index=f"{stage.prefix}own-sessions")
    found = stage.search.search(index=f"{stage.prefix}own-sessions")["hits"]["hits"]
    assert [(hit["_id"], hit["_source"], hit["_index"]) for hit in found] == [("7", long_day, f"{stage.prefix}own-sessions-2016.10")]
    mapping = stage.search.indices.get_mapping(index=f"{stage.prefix}own-sessions")[f"{stage.prefix}own-sessions-2016.10"]
    assert mapping["mappings"]["properties"]["client"]["type"] == "keyword"


@pytest.mark.faults
def test_a_killed_sink_goes_on_where_it_was(stage: Stage) -> None:
    records = load(20_000)
    stage.put(records)
    sink = stage.start()
    eventually(lambda: stage.search.indices.exists(index=f"{stage.prefix}own-2016.10"), "the first documents")
    sink.kill()
    sink.wait(10)
    assert stage.lag() > 0, "killed too late to show anything"
    sink = stage.start()
    stage.wait_settled()
    stage.finish(sink)
    assert stage.documents() == expected(records)
    assert stage.dead() == []


@pytest.mark.faults
def test_two_sinks_share_the_partitions_and_hand_them_over(stage: Stage) -> None:
    first, second = stage.start(), stage.start()
    records = [
        record._replace(client=f"client-{number % 50}") for number, record in enumerate(load(3_000)) if isinstance(record, EventEnvelope)
    ]
    unrepeated = list({record.id: record for record in records}.values())
    stage.put(unrepeated[:1_500])
    stage.wait_settled()
    stage.finish(first)
    stage.put(unrepeated[1_500:])
    stage.wait_settled()
    stage.finish(second)
    assert stage.documents() == expected(list(unrepeated))


def test_what_the_index_refuses_is_kept_with_its_reason(stage: Stage) -> None:
    conflict = event("conflict", n=1, user={"not": "a keyword"})
    records: list[EventEnvelope | Patch | tuple[str, bytes]] = [
        event("before"),
        conflict,
        Patch("conflict", OCTOBER_2016, 5),
        Patch("never seen", NOVEMBER_2016, 6),
        ("client", b"no envelope"),
        event("x" * 600),
        event("broken")._replace(document=b'{"user": "a", '),
        event("after"),
    ]
    stage.carry(records)
    assert set(stage.documents()) == {"before", "after"}
    dead = {(letter.reason, letter.payload): letter for letter in stage.dead()}
    refused = dead["document_parsing_exception", conflict.document]
    assert refused.stage == "sink"
    assert refused.key == key(Place("f", "h", "/log"), 7)
    assert "failed to parse field [user] of type [keyword]" in refused.message
    assert refused.topic == stage.topic
    patch = orjson.dumps({"id": "conflict", "time": OCTOBER_2016, "session": 5})
    assert dead["patch_without_document", patch].key == b"client"
    assert sorted(letter.reason for letter in stage.dead()) == [
        "document_parsing_exception",
        "document_parsing_exception",
        "illegal_id",
        "patch_without_document",
        "patch_without_document",
        "undecodable",
    ]


def test_odd_values_are_indexed_without_their_index_entry(stage: Stage) -> None:
    odd = event("odd", n="no number", message="m" * 40_000, geoip={"ip": "nowhere"}, date="2016-02-30", long="x" * 40_000)
    fields: dict[str, Any] = {f"field{number}": number for number in range(1_500)}
    many = event("many", **fields)
    stage.carry([odd, many])
    assert stage.documents() == expected([odd, many])
    assert stage.dead() == []


def push_back_some(number: int, body: bytes, forward: Forward) -> Answer:
    """Every third operation of every other request."""
    return push_back(body, forward, lambda position: position % 3 == 0) if number % 2 else forward(body)


def busy(number: int, body: bytes, forward: Forward) -> Answer | None:
    return error(429, "es_rejected_execution_exception", **{"retry-after": "1"}) if number <= 2 else forward(body)


def starting(number: int, body: bytes, forward: Forward) -> Answer | None:
    return Answer(503, b"<html>no server is available</html>", {"content-type": "text/html"}) if number <= 2 else forward(body)


def small(number: int, body: bytes, forward: Forward) -> Answer | None:
    return Answer(413, b"", {}) if len(body) > 20_000 else forward(body)


def deaf(number: int, body: bytes, forward: Forward) -> Answer | None:
    """The server does what it was asked, and its answer is lost."""
    answer = forward(body)
    return None if number <= 3 else answer


@pytest.mark.parametrize("trouble", [push_back_some, busy, starting, small, deaf])
def test_passing_trouble_loses_and_reorders_nothing(stage: Stage, trouble: Trouble) -> None:
    records = load(600)
    with Proxy(stage.url, trouble).running() as proxy:
        stage.url = proxy.url
        stage.carry(records)
    assert len(proxy.bulks) > 1
    assert stage.documents() == expected(records)
    assert stage.dead() == []


def test_a_document_too_large_for_the_server_is_kept_and_its_neighbours_go_on(stage: Stage) -> None:
    records = [event("before"), event("large", message="m" * 30_000), event("after")]
    with Proxy(stage.url, small).running() as proxy:
        stage.url = proxy.url
        stage.carry(records)
    assert set(stage.documents()) == {"before", "after"}
    (letter,) = stage.dead()
    assert (letter.reason, letter.payload) == ("refused_by_elasticsearch", records[1].document)
    assert letter.message.startswith("413")


def test_a_stop_in_trouble_is_clean_and_loses_nothing(stage: Stage) -> None:
    records = load(200)
    stage.put(records)
    with Proxy(stage.url, lambda *_: error(429, "es_rejected_execution_exception")).running() as proxy:
        url, stage.url = stage.url, proxy.url
        sink = stage.start()
        eventually(lambda: len(proxy.bulks) >= 2, "a second try")
        said = stage.finish(sink)
    assert "Elasticsearch does not take everything yet" in said
    assert "es_rejected_execution_exception" in said
    assert stage.lag() == len(records)
    stage.url = url
    sink = stage.start()
    stage.wait_settled()
    stage.finish(sink)
    assert stage.documents() == expected(records)


def test_a_lost_privilege_ends_it_with_one_line(stage: Stage) -> None:
    stage.put([event("first")])
    with Proxy(stage.url, lambda *_: error(403, "security_exception")).running() as proxy:
        stage.url = proxy.url
        sink = stage.start()
        assert sink.wait(30) == 77
    last = stage.log.read_text().splitlines()[-1]
    assert last.startswith("error: Elasticsearch at")
    assert "403 security_exception" in last
    assert stage.lag() == 1


def run_sink(stage: Stage, **environment: str) -> tuple[int, str]:
    sink = stage.start("--wait", "0s", **environment)
    return sink.wait(30), stage.log.read_text()


def test_a_wrong_password_ends_it_with_one_line(stage: Stage) -> None:
    class Locked(Proxy):
        def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
            return error(401, "security_exception")

    with Locked(stage.url, lambda *_: None).running() as locked:
        stage.url = locked.url
        code, said = run_sink(stage, TAILRACE_ELASTICSEARCH_USERNAME="sink", TAILRACE_ELASTICSEARCH_PASSWORD="not-the-password")
    assert (code, len(said.splitlines())) == (77, 1), said
    assert "refused the connection (401)" in said
    assert "not-the-password" not in said


def test_an_unreachable_elasticsearch_ends_it_with_one_line(stage: Stage) -> None:
    stage.url = "http://127.0.0.1:9"
    code, said = run_sink(stage)
    assert (code, len(said.splitlines())) == (69, 1), said
    assert "Elasticsearch does not answer at http://127.0.0.1:9" in said


def test_the_help_needs_no_server() -> None:
    done = subprocess.run([sys.executable, "-m", "tailrace.cli", "sink", "--help"], capture_output=True, text=True, timeout=30, check=True)
    assert "--source" in done.stdout
    assert "--wait" in done.stdout
