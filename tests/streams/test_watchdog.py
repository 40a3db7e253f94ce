"""The watchdog asks Kafka."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from streams import watchdog
from streams.watchdog import Watchdog
from tailrace import kafka
from tailrace.errors import TailraceError
from tailrace.settings import Kafka, Settings
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
    dog = Watchdog(settings.kafka, app, pytest.fail)
    dog.start()
    assert dog.look() == [(raw, 1)]
    app.consumer.assignment = set
    assert dog.look() == []
    dog.stop()
    assert not dog.is_alive()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "Read on group tailrace-parse"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "Read on topics raw"),
        (KafkaError._TRANSPORT, None),
    ],
)
def test_a_right_that_is_taken_away_fails_the_worker(monkeypatch: pytest.MonkeyPatch, code: int, said: str | None) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.01)
    looked = threading.Event()

    def look(_: Watchdog) -> None:
        looked.set()
        raise KafkaException(KafkaError(code))

    monkeypatch.setattr(Watchdog, "look", look)
    app: Any = SimpleNamespace(conf=SimpleNamespace(id="tailrace-parse"), consumer=SimpleNamespace(assignment=lambda: {TP("raw", 0)}))
    failures: list[TailraceError] = []
    dog = Watchdog(Kafka(), app, failures.append)
    dog.start()
    assert looked.wait(10)
    dog.stop()
    assert [failure.exit_code for failure in failures[:1]] == ([77] if said else [])
    assert all(said and said in failure.message for failure in failures)
