"""A server that takes nothing for a while: the sink reads no more than it can hold, keeps its partitions, and goes on."""

import logging
import threading

import pytest

from schemas.sources import build
from sinks import bulk, consume, templates
from sinks.consume import Sink
from tailrace import search, settings
from tests.helpers import eventually
from tests.sinks.proxy import Answer, Forward, Proxy, error
from tests.sinks.stage import Stage, as_indexed, event

EVENTS = 4_000


@pytest.mark.servers
def test_partitions_are_paused_while_nothing_is_taken(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bulk, "MAX_OPERATIONS", 100)
    monkeypatch.setattr(consume, "FETCH", 100)
    monkeypatch.setattr(consume, "PATIENCE_S", 0.2)
    caplog.set_level(logging.INFO, "tailrace.sink")
    records = [event(f"f-{number}", client=f"client-{number % 20}", n=number) for number in range(EVENTS)]
    stage.put(records)
    closed = threading.Event()

    def shut(number: int, body: bytes, forward: Forward) -> Answer:
        return error(503, "unavailable_shards_exception") if closed.is_set() else forward(body)

    closed.set()
    source = build("own", settings.load(stage.config, {}).sources["own"])
    stop = threading.Event()
    with Proxy(stage.url, shut).running() as proxy, search.connect(settings.Elasticsearch(url=proxy.url)) as client:
        templates.install(client, stage.settings.elasticsearch, [source])
        sink = Sink(stage.settings, [source], client)
        loop = threading.Thread(target=sink.run, args=[stop])
        loop.start()
        try:
            eventually(lambda: "paused" in caplog.text, "a pause")
            assert sink.counts.total()["documents"] == 0
            assert max(proxy.bulks) < EVENTS * 10, "batches stay small"
            closed.clear()
            eventually(lambda: sink.counts.total()["documents"] == EVENTS, "everything written")
        finally:
            stop.set()
            loop.join(30)
    assert stage.documents() == {record.id: as_indexed(record) for record in records}
    assert stage.lag() == 0
