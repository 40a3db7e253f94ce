"""A broker that refuses, on a real one with access lists. Numbers are those of the table in producers/README.md."""

import os
import threading
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AclBinding, AclBindingFilter, AclOperation, AclPermissionType, NewTopic, ResourcePatternType, ResourceType

from tailrace import kafka
from tailrace.dead import from_record
from tailrace.errors import Refused
from tailrace.settings import Settings
from tests.helpers import eventually, read_topic
from tests.producers.conftest import Ship, append, event, lines, make_source, records, shipped
from tests.secured import SecuredKafka

pytestmark = pytest.mark.timeout(180)  # the first of them starts the broker


class User:
    """One who ships, with a prefix of topics and rights of its own; and the administrator's view of what came."""

    def __init__(self, broker: SecuredKafka, state: Path) -> None:
        self.name = f"shipper-{uuid4().hex[:8]}"
        self.broker = broker
        broker.add_user(self.name)
        prefix = f"{self.name}-"
        self.settings = Settings(state_dir=str(state), kafka=broker.settings(self.name, prefix))
        self.everything = Ship(msgspec.structs.replace(self.settings, kafka=broker.settings(topic_prefix=prefix)))
        """Makes the topics, too."""

    def topic(self, kind: kafka.Kind) -> str:
        return kafka.topic(self.settings.kafka, "trace", kind)

    def rule(self, kind: kafka.Kind, operation: AclOperation) -> AclBinding:
        return AclBinding(
            ResourceType.TOPIC, self.topic(kind), ResourcePatternType.LITERAL, f"User:{self.name}", "*", operation, AclPermissionType.ALLOW
        )

    def allow(self, operation: AclOperation, *kinds: kafka.Kind) -> None:
        for future in self.broker.admin.create_acls([self.rule(kind, operation) for kind in kinds]).values():
            future.result(timeout=20)
        eventually(lambda: all(self.may(operation, kind) for kind in kinds), "the rights are known to the broker")

    def forbid(self, operation: AclOperation, kind: kafka.Kind) -> None:
        rule = AclBindingFilter(
            ResourceType.TOPIC, self.topic(kind), ResourcePatternType.LITERAL, f"User:{self.name}", "*", operation, AclPermissionType.ALLOW
        )
        self.broker.admin.delete_acls([rule])[rule].result(timeout=20)

    def may(self, operation: AclOperation, kind: kafka.Kind) -> bool:
        """As the broker tells the user."""
        asked = kafka.connect(self.settings.kafka, 5)
        [told] = asked.describe_topics(TopicCollection([self.topic(kind)]), include_authorized_operations=True).values()
        try:
            return operation in (told.result(timeout=20).authorized_operations or [])
        except KafkaException:  # it may not even be described
            return False


@pytest.fixture
def user(secured_kafka: SecuredKafka, tmp_path: Path) -> User:
    """May see the topics, and nothing else."""
    user = User(secured_kafka, tmp_path / "state")
    user.allow(AclOperation.DESCRIBE, *kafka.KINDS)
    return user


def test_27_access_that_is_revoked_ends_it_with_the_reason_and_acknowledges_nothing(user: User, logs: Path) -> None:
    user.allow(AclOperation.WRITE, "raw", "files", "dead")
    ship, path = Ship(user.settings), logs / "a.log"
    path.write_bytes(lines(0, 3))
    with pytest.raises(Refused, match=rf"{user.topic('raw')} .*ask for write access"):
        _forbid_while_shipping(ship, user, path)
    assert ship.checkpoint()["a.log"].offset == len(lines(0, 3))
    user.allow(AclOperation.WRITE, "raw")
    ship.once(make_source(path))
    shipped(user.everything, lines(0, 4))


def _forbid_while_shipping(ship: Ship, user: User, path: Path) -> None:
    with ship.running(make_source(path)) as shipper:
        shipped(user.everything, lines(0, 3))
        eventually(lambda: next(iter(shipper.files())).acknowledged == len(lines(0, 3)), "all is acknowledged")
        user.forbid(AclOperation.WRITE, "raw")
        append(path, event(3))
        eventually(lambda: "shipper" not in {thread.name for thread in threading.enumerate()}, "shipping ends")


def test_27_topics_that_may_not_be_written_are_said_at_the_start(user: User, logs: Path) -> None:
    (logs / "a.log").write_bytes(lines(0, 3))
    ship = Ship(user.settings)
    with pytest.raises(Refused, match="ask for write access"):
        ship.once(make_source(logs / "*.log"))
    assert ship.checkpoint()["a.log"].offset == 0
    assert user.everything.values() == []


def test_23_later_records_are_acknowledged_an_earlier_one_is_not_and_the_checkpoint_stays_before_it(user: User, logs: Path) -> None:
    """The topic does not take the record, and the topic of dead letters may not be written."""
    user.allow(AclOperation.WRITE, "raw", "files")
    _narrow(user, 100_000)
    path, refused = logs / "a.log", os.urandom(150_000).hex().encode() + b"\n"
    before, after = (b"".join(event(number, "x" * 1000) for number in range(first, first + 300)) for first in (0, 1000))
    path.write_bytes(before + refused + after)
    source, ship = make_source(path, start=None, ordered_by_file=False), Ship(user.settings)
    with pytest.raises(Refused, match=rf"{user.topic('dead')} .*ask for write access"):
        ship.once(source, **{"linger.ms": 1000})  # so that all is on its way before the broker answers
    sent = user.everything.values()
    assert records(after)[-1] in sent
    assert refused[:-1] not in sent
    assert ship.checkpoint()["a.log"].offset <= len(before)
    user.allow(AclOperation.WRITE, "dead")
    ship.once(source)
    assert ship.checkpoint()["a.log"].offset == path.stat().st_size
    assert sorted(user.everything.places().values()) == records(before + after), "what was sent twice is the same"
    [record] = read_topic(user.everything.settings, "trace", "dead")
    assert from_record(record.key, record.value, record.headers).reason == "record_refused"
    assert record.value == refused[:-1]


def _narrow(user: User, record_bytes: int) -> None:
    """The raw topic anew, for records of at most so many bytes."""
    admin, name = user.broker.admin, user.topic("raw")
    admin.delete_topics([name], operation_timeout=10)[name].result(timeout=20)
    narrow = NewTopic(name, num_partitions=4, config={"max.message.bytes": str(record_bytes)})

    def created() -> bool:
        return admin.create_topics([narrow])[name].exception(timeout=20) is None

    eventually(created, "the topic is there anew")
