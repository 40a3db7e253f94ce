"""Nothing is lost however commits, clocks, failures and restarts fall, as long as the overlap is longer than they differ."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.checkpoint import Entry, Store
from producers.harvest.core import Core
from producers.harvest.harvester import Harvester
from producers.harvest.window import Window
from producers.publish import Batch
from schemas.heartbeat import HostBeat, decode_any
from schemas.source import SourceSettings
from schemas.sources import build
from tailrace.solr import version_of
from tests.producers.harvest.solr import SolrServer, event

OVERLAP_MS = 60_000
COMMIT_MS = 20_000
"""How long a document waits for its commit, at most."""
SKEW_MS = 15_000
"""How far the clocks of two shards are apart, at most."""


class Memory:
    """Stands for the publisher: remembers what was sent, delivers when asked to."""

    queued = 0

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.batches: list[Batch] = []
        self.beats: list[object] = []

    def partitions(self, source: str) -> int:
        return 1

    def send_pairs(self, source: str, partition: int, pairs: Iterable[tuple[bytes, bytes]], end: int) -> Batch:
        pairs = list(pairs)
        self.sent += pairs
        self.batches.append(Batch(end, len(pairs), _never_refused))
        return self.batches[-1]

    def send_heartbeats(self, source: str, heartbeats: Iterable[tuple[bytes, bytes]]) -> None:
        self.beats += [decode_any(*beat) for beat in heartbeats]

    def poll(self, timeout_s: float) -> None:
        self.deliver()

    def flush(self, timeout_s: float) -> int:
        self.deliver()
        return 0

    def deliver(self) -> None:
        for batch in self.batches:
            batch.left = 0


def _never_refused(*_: object) -> None:
    raise AssertionError


def source(url: str, **more: Any) -> Any:
    return build("dataone", SourceSettings(format="dataone", solr_url=url, solr_overlap=f"{OVERLAP_MS}ms", **more))


class Harvesting:
    """Runs of `tailrace harvest --once`, with a checkpoint between them or a crash in place of it."""

    def __init__(self, url: str, folder: Path, **more: Any) -> None:
        self.source = source(url, **more)
        self.folder = folder
        self.memory = Memory()
        self.core = Core(self.source, None)

    def once(self) -> list[str]:
        """The ids that were sent."""
        before = len(self.memory.sent)
        self.core.due_s = 0
        store = Store(self.folder)
        try:
            Harvester([self.core], self.memory, store, [], once=True, wait_s=5).run()  # type: ignore[arg-type]
        finally:
            store.close()
        return [value.split(b'"id": "')[1].split(b'"')[0].decode() for _, value in self.memory.sent[before:]]

    def restart(self) -> None:
        """All that is remembered is the checkpoint."""
        store = Store(self.folder)
        [entry] = store.load() or [None]  # type: ignore[list-item]
        store.close()
        self.core = Core(self.source, entry)


@pytest.fixture
def harvesting(solr: SolrServer, tmp_path: Path) -> Harvesting:
    return Harvesting(solr.url, tmp_path / "harvest", solr_rows=2)


def ids(*numbers: int) -> list[str]:
    return [f"urn:node:KNB.{number}" for number in numbers]


def test_versions_are_times() -> None:
    assert version_of(1526699223130) <= 1600860164592762887 < version_of(1526699223131)  # a real event's, 29 s after its dateAggregated


def test_each_event_is_sent_once_for_as_long_as_nothing_restarts(solr: SolrServer, harvesting: Harvesting) -> None:
    solr.add(*(event(number) for number in range(5)))
    solr.commit()
    assert harvesting.once() == ids(0, 1, 2, 3, 4)
    assert harvesting.once() == []
    solr.add(event(5))
    assert harvesting.once() == []
    solr.commit()
    assert harvesting.once() == ids(5)
    assert harvesting.once() == []


def test_what_is_quiet_is_asked_for_by_ids_only(solr: SolrServer, harvesting: Harvesting) -> None:
    solr.add(*(event(number) for number in range(5)))
    solr.commit()
    harvesting.once()
    solr.requests.clear()
    harvesting.once()
    assert [request["fl"] for request in solr.requests[:-1]] == ["id,_version_"] * 2
    assert solr.select(list(solr.requests[-1].items()))["response"]["docs"] == []


def test_an_event_of_years_ago_is_new_when_it_is_indexed_now(solr: SolrServer, harvesting: Harvesting) -> None:
    solr.add(event(1))
    solr.commit()
    harvesting.once()
    solr.now_ms += 90 * 86_400_000
    solr.add(event(2, dateLogged="2012-01-01T00:00:00Z", dateAggregated="2012-01-01T01:00:00Z"))
    solr.commit()
    assert harvesting.once() == ids(2)


def test_an_event_that_comes_to_light_behind_newer_ones_is_found(solr: SolrServer, harvesting: Harvesting) -> None:
    solr.add(event(1), shard=0)
    solr.now_ms += COMMIT_MS
    solr.add(event(2), shard=1)
    solr.commit(1)
    assert harvesting.once() == ids(2)
    solr.commit(0)
    assert harvesting.once() == ids(1)


def test_without_an_overlap_it_would_be_lost(solr: SolrServer, tmp_path: Path) -> None:
    """So the test before tells something."""
    harvesting = Harvesting(solr.url, tmp_path / "harvest")
    harvesting.core.window = Window(0, 0)
    solr.add(event(1), shard=0)
    solr.now_ms += COMMIT_MS
    solr.add(event(2), shard=1)
    solr.commit(1)
    harvesting.once()
    solr.commit(0)
    assert harvesting.once() == []


def test_two_events_of_one_version_are_two(solr: SolrServer, harvesting: Harvesting) -> None:
    assert solr.add(event(1), shard=0) == solr.add(event(2), shard=1)
    solr.commit(0)
    assert harvesting.once() == ids(1)
    solr.commit(1)
    assert harvesting.once() == ids(2)


def test_an_event_that_is_indexed_again_is_sent_again_under_its_new_version(solr: SolrServer, harvesting: Harvesting) -> None:
    solr.add(event(1), event(2))
    solr.commit()
    harvesting.once()
    [version] = solr.add(event(1, size=99))
    solr.commit()
    assert harvesting.once() == ids(1)
    key, value = harvesting.memory.sent[-1]
    assert key.endswith(b"@%d" % version)
    assert b'"size": 99' in value


def test_a_restart_repeats_the_overlap_with_the_same_keys(solr: SolrServer, harvesting: Harvesting) -> None:
    solr.add(event(1))
    solr.now_ms += OVERLAP_MS + 1
    solr.add(event(2))
    solr.commit()
    assert harvesting.once() == ids(1, 2)
    harvesting.restart()
    assert harvesting.once() == ids(2)
    assert harvesting.memory.sent[-1] == harvesting.memory.sent[-2]


def test_going_back_reads_again(solr: SolrServer, harvesting: Harvesting) -> None:
    began_ms = solr.now_ms
    for number in range(3):
        solr.add(event(number))
        solr.now_ms += 10 * OVERLAP_MS
    solr.commit()
    harvesting.once()
    harvesting.restart()
    harvesting.core.go_back(version_of(began_ms + 10 * OVERLAP_MS))
    assert harvesting.once() == ids(1, 2)


def test_the_checkpoint_stays_before_what_is_not_delivered(
    solr: SolrServer, harvesting: Harvesting, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = solr.add(*(event(number) for number in range(6)))
    solr.commit()
    core, memory = harvesting.core, harvesting.memory
    for page in range(3):
        core.batches.append(memory.send_pairs("dataone", 0, [(b"k", b"v")] * 2, versions[2 * page + 1]))
    memory.batches[0].left = memory.batches[2].left = 0
    assert core.settle() == 2
    assert core.entry().offset == versions[1]
    memory.batches[1].left = 0
    assert core.settle() == 4
    assert core.entry().offset == versions[5]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 1), st.integers(0, 30)),
        st.tuples(st.just("commit"), st.integers(0, 1)),
        st.tuples(st.just("pass"), st.integers(1, 40_000)),
        st.tuples(st.just("harvest")),
        st.tuples(st.just("restart")),
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=60)
@given(actions=ACTIONS, skew_ms=st.integers(-SKEW_MS, SKEW_MS))
def test_whatever_happens_every_version_that_stands_in_the_core_arrives(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[Any, ...]], skew_ms: int
) -> None:
    solr = SolrServer()
    solr.skew_ms[1] = skew_ms
    harvesting = Harvesting(solr.url, tmp_path_factory.mktemp("harvest"), solr_rows=3)
    waiting_ms = {0: 0, 1: 0}

    def elapse(ms: int) -> None:
        while ms > 0:
            step = min(ms, *(COMMIT_MS - waited for waited in waiting_ms.values()), 5_000)
            ms -= step
            solr.now_ms += step
            for shard in waiting_ms:
                waiting_ms[shard] += step
                if waiting_ms[shard] >= COMMIT_MS:  # commits come by themselves, after COMMIT_MS at the latest
                    solr.commit(shard)
                    waiting_ms[shard] = 0

    try:
        for action, *operands in actions:
            elapse(1)
            if action == "add":
                shard, number = operands
                solr.add(event(2 * number + shard), shard=shard)  # an id belongs to one shard
            elif action == "commit":
                solr.commit(operands[0])
                waiting_ms[operands[0]] = 0
            elif action == "pass":
                elapse(operands[0])
            elif action == "harvest":
                harvesting.once()
            else:
                harvesting.restart()
        elapse(COMMIT_MS)
        harvesting.once()
    finally:
        solr.close()
    for document in solr.documents():
        assert any(
            key.endswith(b"@%d" % document["_version_"]) and b'"id": "%s"' % document["id"].encode() in value
            for key, value in harvesting.memory.sent
        ), document


def test_heartbeats_say_before_when_everything_is_shipped_by_what_a_poll_could_see(solr: SolrServer, harvesting: Harvesting) -> None:
    before_ms = time.time_ns() // 1_000_000
    solr.add(event(1))
    solr.commit()
    harvesting.once()
    after_ms = time.time_ns() // 1_000_000
    last = harvesting.memory.beats[-1]
    assert isinstance(last, HostBeat)
    assert (last.host, last.stopped, last.unreadable) == (solr.url, True, 0)
    assert before_ms <= last.shipped_ms + OVERLAP_MS <= after_ms


def test_heartbeats_promise_nothing_while_something_is_not_acknowledged(harvesting: Harvesting) -> None:
    core = harvesting.core
    core.swept_ms = 10 * OVERLAP_MS
    core.batches.append(Batch(7, 1, _never_refused))
    assert decode_any(*core.beat(0, stopped=False)).shipped_ms == 0  # type: ignore[union-attr]
    core.batches.clear()
    assert decode_any(*core.beat(0, stopped=False)).shipped_ms == 9 * OVERLAP_MS  # type: ignore[union-attr]
    core.swept_ms = 5 * OVERLAP_MS  # a clock that was put back takes nothing back
    assert decode_any(*core.beat(0, stopped=False)).shipped_ms == 9 * OVERLAP_MS  # type: ignore[union-attr]


def test_entries_of_other_sources_stay_in_the_checkpoint(solr: SolrServer, tmp_path: Path) -> None:
    other = Entry(source="other", file="f", path="p", offset=7, signed=0, signature="")
    store = Store(tmp_path)
    Harvester([Core(source(solr.url), None)], Memory(), store, [other], once=True, wait_s=5).run()  # type: ignore[arg-type]
    assert other in store.load()
    store.close()
