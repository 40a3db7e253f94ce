"""The watchdog asks Kafka."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import watchdog
from streams.watchdog import Watchdog
from tailrace import kafka
from tailrace.settings import Settings
from tests.streams.cluster import Cluster


@pytest.mark.servers
def test_it_asks_kafka_and_waits_while_tables_recover(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "STUCK_S", 0.0)
    cluster = Cluster(settings, tmp_path)
    cluster.publish("clicks", [(b"key", b"value", 1)])
    cluster.close()
    raw = cluster.topic("clicks", "raw")
    offsets = {TP("changelog", 0): 5}
    app: Any = SimpleNamespace(
        conf=SimpleNamespace(id=kafka.group(settings.kafka, "parse")),
        tables=SimpleNamespace(changelog_topics={"changelog"}, recovery=SimpleNamespace(active_offsets=offsets)),
        consumer=SimpleNamespace(assignment=lambda: {TP(raw, 0), TP(raw, 1), TP("changelog", 0)}),
        rebalancing_count=1,
    )
    dog = Watchdog(settings.kafka, app)
    dog.start()
    assert dog.look() == [(raw, 1)]
    app.consumer.assignment = set
    assert dog.look() == []
    dog.stop()
    assert not dog.is_alive()
