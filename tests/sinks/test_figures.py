"""Metrics and health of a sink, on real servers."""

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas.envelope import Patch
from schemas.sources import build
from sinks import figures, templates
from sinks.consume import Sink
from sinks.figures import Figures
from tailrace import search, settings
from tailrace.metrics import expose
from tests.helpers import eventually, free_address, get
from tests.sinks.proxy import Answer, Forward, Proxy, error
from tests.sinks.stage import OCTOBER_2016, Stage, event

pytestmark = pytest.mark.servers


def series(text: str) -> dict[str, float]:
    """The values of Prometheus' text, by name and labels."""
    return {name: float(value) for name, value in re.findall(r"^([^#\n]\S*) (\S+)$", text, re.MULTILINE)}


def test_a_sink_tells_what_became_of_every_record(stage: Stage) -> None:
    first = event("a")
    stage.put(
        [
            first,
            event("b"),
            first,
            event("a", session=3)._replace(late=True),
            Patch("a", OCTOBER_2016, 2),
            Patch("never seen", OCTOBER_2016, 6),
            event("bad", user={"not": "a keyword"}),
            ("client", b"no envelope"),
        ]
    )
    sink = stage.start(TAILRACE_SINK_MONITOR=(address := free_address()))
    stage.wait_settled()
    told = series(get(address, "/metrics")[1])
    outcomes = {"indexed": 2, "repeated": 2, "patched": 1, "deleted": 0}
    assert {name: told[f'tailrace_sink_documents_total{{outcome="{name}"}}'] for name in outcomes} == outcomes
    dead = {name: value for name, value in told.items() if name.startswith("tailrace_sink_dead_letters_total")}
    assert dead == {
        f'tailrace_sink_dead_letters_total{{reason="{reason}"}}': 1
        for reason in ("document_parsing_exception", "patch_without_document", "undecodable")
    }
    requests = told['tailrace_sink_bulk_requests_total{status="200"}']
    assert requests == told["tailrace_sink_bulk_seconds_count"] == told['tailrace_sink_bulk_seconds_bucket{le="+Inf"}'] >= 1
    assert told["tailrace_sink_bulk_seconds_sum"] > 0
    assert told["tailrace_sink_bulk_bytes_total"] > 500
    assert told["tailrace_sink_retried_operations_total"] == 0
    lags = [value for name, value in told.items() if name.startswith(f'tailrace_sink_lag_records{{topic="{stage.topic}",partition="')]
    assert lags == [0] * stage.settings.kafka.partitions
    in_hand = ("oldest_event", "oldest_record", "waiting_since")
    assert [told[f"tailrace_sink_{name}_seconds"] for name in in_hand] == [0, 0, 0]
    status, body = get(address, "/health")
    assert (status, json.loads(body)) == (200, {"status": "ok", "lag_records": 0, "waiting_s": 0.0})
    stage.finish(sink, signal.SIGHUP)


@contextmanager
def running(stage: Stage, url: str) -> Iterator[Sink]:
    """A sink in this process, which reaches Elasticsearch by way of `url`."""
    source = build("own", settings.load(stage.config, {}).sources["own"])
    stop = threading.Event()
    with search.connect(settings.Elasticsearch(url=url)) as client:
        templates.install(client, stage.settings.elasticsearch, [source])
        sink = Sink(stage.settings, [source], client)
        loop = threading.Thread(target=sink.run, args=[stop])
        loop.start()
        try:
            yield sink
        finally:
            stop.set()
            loop.join(30)


def test_a_sink_that_waits_for_elasticsearch_is_not_well_until_it_goes_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "STUCK_S", 0.3)
    shut = threading.Event()
    shut.set()

    def door(number: int, body: bytes, forward: Forward) -> Answer:
        return error(503, "unavailable_shards_exception") if shut.is_set() else forward(body)

    stage.put([event("old", time=OCTOBER_2016), event("new", time=OCTOBER_2016 + 5_000), Patch("old", 1_000, 7)])
    with Proxy(stage.url, door).running() as proxy, running(stage, proxy.url) as sink:
        mine = Figures(sink)
        assert mine.health().status == "ok"
        eventually(lambda: "has taken nothing" in mine.health().status, "it is not well")
        health = mine.health()
        assert "503 unavailable_shards_exception" in health.status
        assert (health.lag_records, health.waiting_s >= 0.3) == (3, True)
        told = series(expose(mine.samples()))
        assert told["tailrace_sink_oldest_event_seconds"] == OCTOBER_2016 / 1000, "a patch is no event"
        since, put = told["tailrace_sink_waiting_since_seconds"], told["tailrace_sink_oldest_record_seconds"]
        assert since > put > OCTOBER_2016 / 1000
        assert told['tailrace_sink_bulk_requests_total{status="503"}'] >= 1
        assert told["tailrace_sink_retried_operations_total"] >= 3
        shut.clear()
        eventually(lambda: mine.health() == figures.SinkHealth(status="ok", lag_records=0, waiting_s=0.0), "it is well again")


def test_work_left_without_progress_is_not_well(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server neither answers nor refuses."""
    monkeypatch.setattr(figures, "STUCK_S", 0.3)
    silent = threading.Event()

    def deaf(number: int, body: bytes, forward: Forward) -> Answer:
        silent.wait(20)
        return forward(body)

    stage.put([event("a")])
    with Proxy(stage.url, deaf).running() as proxy, running(stage, proxy.url) as sink:
        mine = Figures(sink)
        try:
            eventually(lambda: mine.health().status.startswith("no progress for"), "it is not well")
            assert mine.health().lag_records == 1
        finally:
            silent.set()
        eventually(lambda: mine.health().status == "ok", "it is well again")
