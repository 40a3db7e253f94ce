"""Sessions and views repaired from the index: what came later than the stream's memory reaches, and nothing else."""

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import orjson
import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from schemas.envelope import EventEnvelope, SessionSummary, decode, encode_event
from schemas.source import SourceSettings
from schemas.sources import build
from schemas.timeformat import iso
from sinks import repair, sorted_scan, templates
from sinks.bulk import Splicer
from sinks.repair import Found, Repair
from sinks.sessions_cli import check_alone
from sinks.view import View
from sinks.writer import HEADERS
from streams.clock import DAY_MS
from streams.sessionize import Sessionizer, Topics
from streams.state import State
from streams.store import MemoryPartition
from tailrace import generations, search
from tailrace.errors import ConfigError
from tailrace.generations import FIRST
from tailrace.settings import Settings
from tests.streams.records import Record
from tests.streams.test_oracle import hours_late, oracle, week

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
        self.client.indices.refresh(index=f"{self.prefix}*", expand_wildcards="all")

    def is_late(self, event: EventEnvelope) -> bool:
        assert event.time is not None
        return self._state.is_late(event.time)

    def repair(self, dry_run: bool = False, start: int | None = None, end: int | None = None) -> Found:
        whole = Repair(self.client, f"{self.prefix}ezcast-*", f"{self.prefix}ezcast", SOURCE, (start, end))
        return whole.run(lambda *_: None, dry_run)

    def documents(self, of: str = "ezcast-*") -> dict[str, dict[str, Any]]:
        self.client.indices.refresh(index=f"{self.prefix}*", expand_wildcards="all")
        hits = scan(self.client, index=f"{self.prefix}{of}", query={"query": {"match_all": {}}, "version": True})
        return {hit["_id"]: hit["_source"] | {"_version": hit["_version"]} for hit in hits}

    def everything(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = {family: self.documents(f"ezcast-{family}") for family in ("*", "sessions", "views")}
        return {(family, id): document for family, its in found.items() for id, document in its.items()}

    def check(self, events: Sequence[EventEnvelope]) -> None:
        """Everything is as if all had come in time."""
        expected = oracle(events)
        said = {id: (document["sessionId"], document.get("session_browser")) for id, document in self.documents().items()}
        assert said == expected.events
        assert not any(document.get("late_session") for document in self.documents().values())
        for family in ("sessions", "views"):
            found = {id: without(document, "_version") for id, document in self.documents(f"ezcast-{family}").items()}
            assert found == {id: document for (its, id), document in expected.summaries.items() if its == family}

    def said(self) -> dict[str, tuple[Any, ...]]:
        names = ("sessionId", "session_browser", "session_os", "late_session")
        return {id: tuple(document.get(name) for name in names) for id, document in self.documents().items()}


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


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
    monkeypatch.setattr(sorted_scan, "PAGE", 100)
    events = busy(days=12)
    late = [one for one in events if one.time is not None and one.time < T0 + 3 * DAY_MS][::4]
    site.ship([*[one for one in events if one not in late], *late])
    marks = [said[3] for said in site.said().values()]
    assert 0 < marks.count(True) <= len(late)
    found = site.repair(dry_run=True)
    assert found.events == len(events)
    assert found.differing_events >= marks.count(True)
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
    site.client.delete_by_query(index=f"{site.prefix}ezcast-sessions", query={"match_all": {}}, refresh=True)
    found = site.repair(start=T0 + 2 * DAY_MS, end=T0 + 3 * DAY_MS)
    assert (found.repaired, found.uncertain) == (0, 48)
    assert site.repair().repaired == 201


def shuffled_history(seed: int) -> list[EventEnvelope]:
    """Weeks of logins, clicks and playing time, in any order and some of it twice; the first days come last, and so too late."""
    draw = random.Random(seed)
    blocks = [[placed(one, block) for one in week(seed + block, count=200, clients=6)] for block in range(8)]
    first, rest = [one for block in blocks[:3] for one in block], [one for block in blocks[3:] for one in block]
    begun = draw.sample(first, len(first) // 2)
    return [*hours_late([*begun, *rest], draw), *draw.sample(first, len(first)), *draw.sample(rest, 200)]


def placed(one: EventEnvelope, block: int) -> EventEnvelope:
    """An event of one of several stretches of time, each with clients of its own, whom the state so forgets."""
    assert one.time is not None
    time, client = one.time + 3 * block * DAY_MS, f"{one.client} of {block}"
    document = {"@timestamp": iso(time), "action": one.kind, **orjson.loads(one.document), "timestamp": iso(time)[:10], "session": client}
    return one._replace(id=f"{block}-{one.id}", time=time, client=client, document=orjson.dumps(document))


@pytest.mark.parametrize("page", [70, 5_000])
def test_a_shuffled_history_with_late_events_ends_equal_to_a_sorted_scan(site: Site, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(sorted_scan, "PAGE", page)
    events = shuffled_history(page)
    site.ship(events, size=100)
    assert sum("late_session" in document for document in site.documents().values()) > 50
    found = site.repair(dry_run=True)
    assert min(found.differing_events, found.differing_sessions, found.differing_views) > 20
    assert site.repair().repaired == found.differing
    site.check(events)
    repaired = site.everything()
    assert site.repair()[3:] == (0,) * 6, "once is enough"
    assert site.everything() == repaired


def test_a_repair_that_was_killed_is_completed_by_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    events = shuffled_history(5)
    site.ship(events, size=100)
    monkeypatch.setattr(repair, "WRITE_BYTES", 4_000)
    written = Repair._write
    for requests in (0, 1, 3, 7):
        left = iter(range(requests))

        def killed(self: Repair, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            written(self)

        monkeypatch.setattr(Repair, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            site.repair()
    monkeypatch.setattr(Repair, "_write", written)
    site.repair()
    site.check(events)


def test_documents_are_written_removed_and_left_where_their_events_are_gone(site: Site) -> None:
    site.ship(
        [
            watched("a", T0, "anna", 30),
            watched("b", T0 + HOUR // 2, "anna", 40),
            watched("c", T0 + 3 * HOUR, "anna", 50),
            event("d", T0 + 40 * DAY_MS, "bob"),
        ]
    )
    month, later = (SOURCE.index_for(T0 + days * DAY_MS) for days in (0, 40))
    whole = site.everything()
    site.client.indices.delete(index=site.prefix + later)
    assert site.repair().differing == 0, "the session of bob is all that is left of him"
    (view,) = site.documents("ezcast-views")
    site.client.update(index=f"{site.prefix}ezcast-views-{month[-7:]}", id=view, doc={"viewed": False})
    for start in (T0 + HOUR, T0 - HOUR // 2):
        body = {"@timestamp": iso(start), "client": "anna"}
        site.client.index(index=f"{site.prefix}ezcast-sessions-{month[-7:]}", id=f"at {start}", document=body)
    real = min(id for id, its in site.documents("ezcast-sessions").items() if its["@timestamp"] == iso(T0))
    site.client.delete(index=f"{site.prefix}ezcast-sessions-{month[-7:]}", id=real)
    found = site.repair()
    assert (found.differing_events, found.differing_sessions, found.differing_views) == (0, 3, 1)
    assert {place: without(its, "_version") for place, its in site.everything().items()} == {
        place: without(its, "_version") for place, its in whole.items() if place != ("*", "d")
    }


def test_a_document_that_somebody_writes_meanwhile_is_left_as_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.ship([watched("a", T0, "anna", 30)])
    (session,) = site.documents("ezcast-sessions")
    (view,) = site.documents("ezcast-views")
    month = SOURCE.index_for(T0)[-7:]
    site.client.update(index=f"{site.prefix}ezcast-sessions-{month}", id=session, doc={"events": 9})
    site.client.delete(index=f"{site.prefix}ezcast-views-{month}", id=view)
    written = Repair._write

    def beside(self: Repair) -> None:
        """What the sink writes comes in between."""
        site.client.update(index=f"{site.prefix}ezcast-sessions-{month}", id=session, doc={"events": 10})
        site.client.index(index=f"{site.prefix}ezcast-views-{month}", id=view, document={"play_time": 99})
        written(self)

    monkeypatch.setattr(Repair, "_write", beside)
    found = site.repair()
    assert (found.differing, found.repaired, found.changed_meanwhile) == (2, 0, 2)
    assert site.documents("ezcast-sessions")[session]["events"] == 10
    assert site.documents("ezcast-views")[view]["play_time"] == 99


def test_what_users_see_of_a_later_generation_is_repaired_where_it_stands(settings: Settings) -> None:
    users = settings.elasticsearch.index_prefix
    new = msgspec.structs.replace(settings.elasticsearch, index_prefix=generations.index_prefix(settings.elasticsearch, "v2"))
    with search.connect(settings.elasticsearch, 10) as client:
        templates.install(client, settings.elasticsearch, [SOURCE])
        site = Site(msgspec.structs.replace(settings, elasticsearch=new), client)
        site.ship([watched("a", T0, "anna", 30), watched("b", T0 + HOUR, "anna", 40)])
        View(client, settings.elasticsearch, [SOURCE]).switch(FIRST, "v2")
        whole = site.everything()
        for family in ("sessions", "views"):
            client.delete_by_query(index=f"{users}ezcast-{family}", query={"match_all": {}}, refresh=True)
        found = Repair(client, f"{users}ezcast-*", f"{users}ezcast", SOURCE, (None, None)).run(lambda *_: None)
        assert (found.events, found.differing_events, found.repaired) == (2, 0, 2)
        assert {place: without(its, "_version") for place, its in site.everything().items()} == {
            place: without(its, "_version") for place, its in whole.items()
        }
        assert not client.indices.exists(index=f"{users}ezcast-sessions-{SOURCE.index_for(T0)[-7:]}")


def watched(identity: str, time: int, client: str, seconds: int) -> EventEnvelope:
    document = {"@timestamp": iso(time), "session": client, "action": "video_play_time", "timestamp": iso(time)[:10]}
    document |= {"album": "A", "asset": "film", "play_time": seconds}
    return EventEnvelope(identity, time, client, "video_play_time", None, False, orjson.dumps(document), None, 1)


def test_sources_that_share_an_index_cannot_be_told_apart() -> None:
    sources = {name: build(name, SourceSettings(format="ezcast", index="traces")) for name in ("north", "south")}
    with pytest.raises(ConfigError, match=r"sources\.north and sources\.south share the index traces"):
        check_alone(sources["north"], sources.values())
    check_alone(sources["north"], [sources["north"], SOURCE])


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
    assert "0 differ;" not in clean.stdout
    assert clean.stdout.endswith("0 differ\n")
    index = f"{site.prefix}{SOURCE.index_for(T0)}"
    site.client.update(index=index, id="3-00000", doc={"session_browser": "Mosaic"}, refresh=True)
    assert run("--dry-run").returncode == 1
    assert "1 differ (1 events, 0 documents of sessions, 0 of views); 1 repaired" in run().stdout
    site.client.indices.refresh(index=index)
    assert run("--dry-run").returncode == 0
