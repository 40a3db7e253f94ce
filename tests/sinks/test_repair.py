"""Sessions repaired from the index: what came later than the stream's memory reaches, and nothing else."""

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from schemas.envelope import EventEnvelope, SessionSummary, decode, encode_event
from schemas.source import SourceSettings
from schemas.sources import build
from schemas.timeformat import iso
from sinks import repair, templates
from sinks.bulk import Splicer
from sinks.repair import Found, Repair
from sinks.writer import HEADERS
from streams.clock import DAY_MS
from streams.sessionize import Sessionizer, Topics
from streams.state import State
from streams.store import MemoryPartition
from tailrace import search
from tailrace.settings import Settings
from tests.streams.records import Record

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

SOURCE = build("ezcast", SourceSettings(format="ezcast"))
T0 = 16_800 * DAY_MS
HOUR = 3_600_000


class Site:
    """An index that is written by a sessionizer of a short memory."""

    def __init__(self, settings: Settings, client: Elasticsearch) -> None:
        self.client = client
        self.prefix = settings.elasticsearch.index_prefix
        self._splicer = Splicer(SOURCE, self.prefix)
        self._sessionizer = Sessionizer(SOURCE, Topics("enriched", "sessions", "dead"))
        templates.install(client, settings.elasticsearch, [SOURCE])
        self.forget_all()

    def forget_all(self) -> None:
        self._data = MemoryPartition()
        self._state = State(self._data, SOURCE.session_gap_ms, days=2, active_events=1, reach_ms=25 * HOUR)

    def ship(self, events: Sequence[EventEnvelope], size: int = 50) -> None:
        for begin in range(0, len(events), size):
            records = [Record(b"key", encode_event(event)) for event in events[begin : begin + size]]
            outputs, writes = self._sessionizer.run(records, self._state)  # type: ignore[arg-type]
            self._data.change(writes)
            enriched = [decode(output.value or b"") for output in outputs if output.topic == "enriched"]
            body = b"".join(self._splicer.operation(found) for found in enriched if not isinstance(found, SessionSummary))
            self.client.perform_request("POST", "/_bulk", headers=HEADERS, body=body)
        self.client.indices.refresh(index=f"{self.prefix}*")

    def is_late(self, event: EventEnvelope) -> bool:
        assert event.time is not None
        return self._state.is_late(event.time)

    def repair(self, dry_run: bool = False, start: int | None = None, end: int | None = None) -> Found:
        self.client.indices.refresh(index=f"{self.prefix}*")
        return Repair(self.client, f"{self.prefix}ezcast-*", SOURCE, (start, end)).run(lambda *_: None, dry_run)

    def documents(self) -> dict[str, dict[str, Any]]:
        self.client.indices.refresh(index=f"{self.prefix}*")
        hits = scan(self.client, index=f"{self.prefix}ezcast-*", query={"query": {"match_all": {}}, "version": True})
        return {hit["_id"]: hit["_source"] | {"_version": hit["_version"]} for hit in hits}

    def said(self) -> dict[str, tuple[Any, ...]]:
        names = ("sessionId", "session_browser", "session_os", "late_session")
        return {id: tuple(document.get(name) for name in names) for id, document in self.documents().items()}


def event(identity: str, time: int, client: str, browser: str | None = None) -> EventEnvelope:
    action = "view_albums" if browser is None else "login"
    document = {"@timestamp": iso(time), "session": client, "action": action, "netid": "anna", "timestamp": iso(time)[:10]}
    if browser is not None:
        document |= {"browser_name": browser, "user_os": f"{browser} OS"}
    return EventEnvelope(identity, time, client, action, None, False, orjson.dumps(document), None, 1)


def busy(days: int, seed: int = 3) -> list[EventEnvelope]:
    """Ten clients, others every day, in the order of time; every seventh event a login."""
    draw = random.Random(seed)
    times = sorted(draw.randrange(days * DAY_MS // 60_000) * 60_000 for _ in range(days * 60))
    return [
        event(
            f"{seed}-{n:05}",
            T0 + time,
            f"client{draw.randrange(10)} of day {time // DAY_MS}",
            draw.choice(["Firefox", "Safari"]) if n % 7 == 0 else None,
        )
        for n, time in enumerate(times)
    ]


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    with search.connect(settings.elasticsearch, 10) as client:
        yield Site(settings, client)


def test_what_came_too_late_is_marked_repaired_and_then_like_the_rest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "PAGE", 100)
    events = busy(days=12)
    late = [one for one in events if one.time is not None and one.time < T0 + 3 * DAY_MS][::4]
    site.ship([*[one for one in events if one not in late], *late])
    marks = [said[3] for said in site.said().values()]
    assert 0 < marks.count(True) <= len(late)
    found = site.repair(dry_run=True)
    assert found.events == len(events)
    assert found.differing >= marks.count(True)
    assert site.repair().repaired == found.differing
    repaired = site.said()
    assert site.repair(dry_run=True).differing == 0
    other = Site.__new__(Site)
    other.__dict__ |= site.__dict__
    site.client.delete_by_query(index=f"{site.prefix}ezcast-*", query={"match_all": {}}, refresh=True)
    other.forget_all()
    other.ship(events)
    assert repaired == other.said(), "as if nothing had been late"


def test_last_years_log_shipped_again_changes_no_document(site: Site) -> None:
    events = busy(days=12)
    site.ship(events)
    before = site.documents()
    old = [one for one in events if one.time is not None and one.time < T0 + 7 * DAY_MS]
    assert all(site.is_late(one) for one in old)
    site.ship(random.Random(1).sample(old, len(old)))
    assert site.documents() == before
    assert site.repair(dry_run=True).differing == 0


def test_a_period_looks_at_whole_sessions_only(site: Site) -> None:
    site.ship(
        [event("before", T0 - HOUR // 2, "a"), event("in", T0, "a"), event("other", T0 + HOUR, "b"), event("out", T0 + 9 * HOUR, "b")]
    )
    for document in ("before", "in", "other", "out"):
        index = f"{site.prefix}{SOURCE.index_for(T0)}"
        site.client.update(index=index, id=document, doc={"sessionId": 1, "late_session": True})
    found = site.repair(start=T0, end=T0 + 2 * HOUR)
    assert (found.events, found.sessions, found.repaired) == (2, 2, 3), "the session of `in` began before"
    assert site.said()["out"][:1] + site.said()["out"][3:] == (1, True)
    assert {said[3] for said in site.said().values()} == {None, True}


def test_sessions_that_reach_further_than_the_scan_are_left_alone(site: Site) -> None:
    site.ship([event(f"{n:03}", T0 + n * HOUR // 2, "a") for n in range(200)])
    site.client.update_by_query(index=f"{site.prefix}ezcast-*", script="ctx._source.sessionId = 1", refresh=True)
    found = site.repair(start=T0 + 2 * DAY_MS, end=T0 + 3 * DAY_MS)
    assert (found.repaired, found.uncertain) == (0, 48)
    assert site.repair().repaired == 200


def test_the_command_exits_with_1_where_something_differs(site: Site, settings: Settings) -> None:
    site.ship(busy(days=2))

    def run(*options: str) -> "subprocess.CompletedProcess[str]":
        own = {
            "TAILRACE_ELASTICSEARCH_URL": settings.elasticsearch.url,
            "TAILRACE_ELASTICSEARCH_INDEX_PREFIX": site.prefix,
            "TAILRACE_SOURCES_EZCAST_FORMAT": "ezcast",
        }
        command = [sys.executable, "-m", "tailrace.cli", "sessions", "repair", "--source", "ezcast", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=own, check=False)

    clean = run("--dry-run")
    assert clean.returncode == 0, clean.stderr
    assert "120 events" in clean.stdout
    assert "0 differ" in clean.stdout
    index = f"{site.prefix}{SOURCE.index_for(T0)}"
    site.client.update(index=index, id="3-00000", doc={"session_browser": "Mosaic"}, refresh=True)
    assert run("--dry-run").returncode == 1
    assert "1 differ, 1 repaired" in run().stdout
    site.client.indices.refresh(index=index)
    assert run("--dry-run").returncode == 0
