"""The watchdog asks Kafka."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError
from confluent_kafka import KafkaError, KafkaException
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from streams import watchdog
from streams.watchdog import Watchdog
from tailrace import kafka
from tailrace.errors import TailraceError
from tailrace.settings import Kafka, Settings
from tests.streams.cluster import Click, Cluster, lines


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
    app: Any = SimpleNamespace(
        conf=SimpleNamespace(id="tailrace-parse"), consumer=SimpleNamespace(assignment=lambda: {TP("raw", 0)}, left_group=lambda: None)
    )
    failures: list[TailraceError] = []
    dog = Watchdog(Kafka(), app, failures.append)
    dog.start()
    assert looked.wait(10)
    dog.stop()
    assert [failure.exit_code for failure in failures[:1]] == ([77] if said else [])
    assert all(said and said in failure.message for failure in failures)


@pytest.mark.parametrize(("cause", "code"), [(GroupAuthorizationFailedError("tailrace-parse"), 77), (AssertionError("defect"), 1)])
def test_a_worker_that_left_its_group_says_why(monkeypatch: pytest.MonkeyPatch, cause: Exception, code: int) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(Watchdog, "look", lambda _: [])  # it has no partitions, of which Kafka could refuse to tell
    app: Any = SimpleNamespace(conf=SimpleNamespace(id="tailrace-parse"), consumer=SimpleNamespace(left_group=lambda: cause))
    failed = threading.Event()
    failures: list[TailraceError] = []

    def fail(failure: TailraceError) -> None:
        failures.append(failure)
        failed.set()

    dog = Watchdog(Kafka(), app, fail)
    dog.start()
    assert failed.wait(10)
    dog.stop()
    assert failures[0].exit_code == code
    assert ("Read on group tailrace-parse" if code == 77 else "not in its consumer group any more") in failures[0].message


@pytest.mark.parametrize("error", [ConsumerNotStarted(), RuntimeError("defect")])
def test_a_worker_that_cannot_be_watched_fails_unless_it_has_not_begun(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY_S", 0.01)
    looked = threading.Semaphore(0)
    failures: list[Exception] = []

    def look(_: Watchdog) -> None:
        looked.release()
        raise error

    monkeypatch.setattr(Watchdog, "look", look)
    app: Any = SimpleNamespace(conf=SimpleNamespace(id="tailrace-parse"), consumer=SimpleNamespace(left_group=lambda: None))
    dog = Watchdog(Kafka(), app, failures.append)
    dog.start()
    assert looked.acquire(timeout=10)
    if isinstance(error, ConsumerNotStarted):
        assert looked.acquire(timeout=10), "it looks again"
    dog.stop()
    assert failures == ([] if isinstance(error, ConsumerNotStarted) else [error])


DAMAGED = """
import asyncio, time
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from streams import cli, watchdog
from streams.outbox import Outbox
from tailrace.cli import main

cli.find_spec = bool  # Faust, once it is imported, has none
watchdog.LOOK_EVERY_S, watchdog.STUCK_S = 0.3, 2.0

async def hang(*_):
    await asyncio.sleep(1_000)

async def block(*_):
    time.sleep(1_000)

def fail(*_):
    raise AssertionError("defect")

{damage}
main()
"""


@pytest.mark.servers
@pytest.mark.faults
@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [
        ("Outbox.send = hang", watchdog.EXIT_STUCK, "no progress for 2 s although there is work on"),
        ("Outbox.send = block", watchdog.EXIT_STUCK, "no progress for 2 s although there is work on"),
        ("RoundRobinPartitionAssignor.assign = fail", 1, "not in its consumer group any more"),
    ],
    ids=["an agent that waits for ever", "an event loop that stands still", "a consumer that cannot join its group"],
)
def test_a_worker_that_has_come_to_a_stop_ends(cluster: Cluster, damage: str, code: int, said: str) -> None:
    cluster.program = ["-c", DAMAGED.format(damage=damage)]
    cluster.publish("clicks", lines("file", [Click("a", 1_525_132_800_000, "somebody").line()]))
    with cluster.worker("parse", "--source", "clicks") as worker:
        assert worker.end() == code, worker.said
    assert said in worker.said
    assert sum(cluster.committed("parse", "clicks")) == 0
