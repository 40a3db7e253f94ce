"""Progress as a real Kafka and a real Elasticsearch tell it."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tailrace import kafka, search
from tailrace.dead import DeadLetter
from tailrace.errors import Unreachable
from tailrace.letters import Letter
from tailrace.progress import Monitor, Stage
from tailrace.retry import judge
from tailrace.settings import Kafka, Settings


@pytest.fixture
def monitor(settings: Settings) -> Iterator[Monitor]:
    kafka.ensure_topics(kafka.connect(settings.kafka, wait_s=10), settings.kafka, ["ezcast"])
    with Monitor(settings, ["ezcast"]) as found:
        yield found


def publish(settings: Settings, kind: kafka.Kind, *letters: DeadLetter) -> None:
    producer = Producer(kafka.producer_config(settings.kafka))
    for letter in letters:
        producer.produce(
            kafka.topic(settings.kafka, "ezcast", kind), key=letter.key, value=letter.payload, headers=letter.headers(), partition=0
        )
    assert producer.flush(20) == 0


def letter(offset: int, reason: str = "invalid_time") -> DeadLetter:
    return DeadLetter(b"{}@%d" % offset, b"garbage", "parse", reason, "", "ezcast.raw", 0, offset)


def commit(settings: Settings, role: str, kind: kafka.Kind, offset: int) -> None:
    consumer = Consumer(kafka.client_config(settings.kafka, group_id=kafka.group(settings.kafka, role), enable_auto_commit=False))
    consumer.commit(offsets=[TopicPartition(kafka.topic(settings.kafka, "ezcast", kind), 0, offset)], asynchronous=False)
    consumer.close()


def test_nothing_yet(monitor: Monitor) -> None:
    progress = monitor.look()
    assert progress.stages == (Stage("parse", 0, 0), Stage("sessionize", 0, 0), Stage("sink", 0, 0))
    assert progress.documents == 0
    assert progress.drained()


def test_lag_is_what_a_group_has_not_committed(settings: Settings, monitor: Monitor) -> None:
    publish(settings, "raw", *map(letter, range(5)))
    assert monitor.look().stages[0] == Stage("parse", 0, 5)
    commit(settings, "parse", "raw", 3)
    publish(settings, "events", letter(0))
    progress = monitor.look()
    assert progress.stages == (Stage("parse", 3, 5), Stage("sessionize", 0, 1), Stage("sink", 0, 0))
    assert progress.missing() == "parse has 2 of 5 records to go; sessionize has 1 of 1 records to go"
    commit(settings, "parse", "raw", 5)
    commit(settings, "sessionize", "events", 1)
    assert monitor.look().drained()


def test_a_dead_letter_written_twice_counts_once(settings: Settings, monitor: Monitor) -> None:
    publish(settings, "dead", letter(0), letter(7), letter(7), letter(9, "too_few_columns"))
    while (progress := monitor.look()).dead.total() < 3:
        pass
    assert progress.dead == {("ezcast", "parse", "invalid_time"): 2, ("ezcast", "parse", "too_few_columns"): 1}


def test_a_copy_of_a_letter_that_was_retried_or_dropped_counts_no_more(settings: Settings, monitor: Monitor) -> None:
    first, second = letter(0), letter(7)
    publish(settings, "dead", first, second)
    while (progress := monitor.look()).dead.total() < 2:
        pass
    judge(settings.kafka, [waiting(settings, first)], "retried")
    judge(settings.kafka, [waiting(settings, second)], "dropped")
    while (progress := monitor.look()).dead.total() > 0:
        pass
    again = first._replace(offset=first.offset + 1)
    publish(settings, "dead", first, second, again, letter(9, "too_few_columns"))
    while ("ezcast", "parse", "too_few_columns") not in (progress := monitor.look()).dead:
        pass
    assert progress.dead == {("ezcast", "parse", "invalid_time"): 1, ("ezcast", "parse", "too_few_columns"): 1}, "only what failed again"


def waiting(settings: Settings, its: DeadLetter) -> Letter:
    return Letter(its.id, "ezcast", its, kafka.topic(settings.kafka, "ezcast", "dead"), 0, 0)


def test_documents_are_counted_when_searchable(settings: Settings, monitor: Monitor) -> None:
    with search.connect(settings.elasticsearch) as client:
        client.index(index=f"{settings.elasticsearch.index_prefix}ezcast-2016.04", id="a", document={"action": "login"})
    monitor.refresh()
    assert monitor.look().documents == 1


def test_a_server_that_is_away_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.progress.REQUEST_S", 0.2)
    with Monitor(Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1")), ["ezcast"]) as monitor, pytest.raises(Unreachable):
        monitor.look()
