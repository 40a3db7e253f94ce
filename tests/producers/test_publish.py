"""What deliveries decide, where a real broker cannot be made to answer so on demand."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from confluent_kafka import KafkaError

from producers.publish import Batch, Publisher
from producers.reader import Records
from tailrace.errors import Refused, TailraceError
from tailrace.settings import Kafka


class Refusal(NamedTuple):
    """The part of a Kafka message that a refusal is judged by."""

    name: str

    def topic(self) -> str:
        return self.name


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """Of a broker that does not answer."""
    publisher = Publisher(Kafka(bootstrap_servers="127.0.0.1:1"), lambda: False)
    yield publisher
    publisher.close()


def send(publisher: Publisher) -> Batch:
    return publisher.send("trace", 0, b"{}@", Records(100, b"one\ntwo\n", [4, 8]))


def test_a_batch_covers_its_bytes_and_is_acknowledged_by_each_of_its_records(publisher: Publisher) -> None:
    batch = send(publisher)
    assert (batch.end, batch.count, batch.left) == (108, 2, 2)
    batch.delivered(None, None)
    assert batch.left == 1
    batch.delivered(None, None)
    assert batch.left == 0


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Refused, "ask for write access"),
        (KafkaError._UNKNOWN_TOPIC, TailraceError, "does not exist any more"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TailraceError, "does not exist any more"),
        (KafkaError.UNKNOWN, TailraceError, "cannot be written"),
    ],
)
def test_27_a_topic_that_is_gone_or_forbidden_ends_delivery_and_acknowledges_nothing(
    publisher: Publisher, code: int, kind: type[TailraceError], says: str
) -> None:
    batch = send(publisher)
    batch.delivered(KafkaError(code), Refusal("trace.raw"))
    with pytest.raises(kind, match=rf"topic trace\.raw of Kafka at 127\.0\.0\.1:1.*{says}"):
        publisher.poll(0)
    assert batch.left == 2


def test_23_a_failure_of_one_record_holds_its_batch_back(publisher: Publisher) -> None:
    batch = send(publisher)
    batch.delivered(KafkaError(KafkaError.UNKNOWN), Refusal("trace.raw"))
    batch.delivered(None, None)
    assert batch.left == 1


def test_what_is_dropped_at_the_end_is_no_failure_and_not_acknowledged(publisher: Publisher) -> None:
    batch = send(publisher)
    publisher.close()
    publisher.check()
    assert batch.left == 2
