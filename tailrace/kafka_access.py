"""What each role needs of Kafka, and no more: checked when it starts, and printed for administrators by `tailrace access kafka`."""

import shlex
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Literal, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient

from tailrace import generations
from tailrace import kafka as names
from tailrace.errors import Refused, TailraceError, Unreachable
from tailrace.kafka import Kind
from tailrace.settings import Kafka

Role = Literal["ship", "parse", "sessionize", "sink", "audit", "operator"]
Operation = Literal["Read", "Write", "Create", "Describe", "Delete"]

TOPICS: dict[Role, dict[Kind, Operation]] = {
    "ship": {"raw": "Write", "files": "Write", "dead": "Write"},
    "parse": {"raw": "Read", "events": "Write", "dead": "Write"},
    "sessionize": {"events": "Read", "enriched": "Write", "sessions": "Write", "dead": "Write"},
    "sink": {"enriched": "Read", "dead": "Write"},
    "audit": dict.fromkeys(names.KINDS, "Read"),
}
"""What services and the audit do with a source's topics. Both include Describe. `ship` stands for `harvest` too."""

OF_GENERATIONS: frozenset[Kind] = frozenset({"events", "enriched", "sessions", "dead"})
"""Topics whose names go on with a dot and a later generation's name, so rights on them are given by prefix."""

OF_GROUPS: tuple[Role, ...] = ("parse", "sessionize", "sink")
"""Roles that read as members of a consumer group, whose name begins with `tailrace.kafka.group`."""

_UNAUTHORIZED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}

ANSWER_S = 10.0


class Grant(NamedTuple):
    """An ACL without the one it is for."""

    operations: tuple[Operation, ...]
    resource: Literal["topic", "group", "transactional-id"]
    names: tuple[str, ...]
    prefixed: bool = False
    """Of all that begins with the names."""


def grants(kafka: Kafka, role: Role, sources: Iterable[str]) -> Iterator[Grant]:
    """All that a role needs, in whatever generation: `kafka` has the first one's names.

    With Create a role makes its topics where they are missing; leave that out where somebody else makes them.
    """
    sources = list(sources)
    if role == "operator":
        yield from _of_operator(kafka, sources)
        return
    for operation in dict.fromkeys(TOPICS[role].values()):
        for prefixed in (False, True):
            kinds = [kind for kind, its in TOPICS[role].items() if its == operation and prefixed == _has_generations(role, kind)]
            if kinds:
                found = tuple(names.topic(kafka, source, kind) for source in sources for kind in kinds)
                yield Grant((operation,) if role == "audit" else (operation, "Create"), "topic", found, prefixed)
    if role != "ship":  # which generation is current
        yield Grant(("Read",), "topic", (generations.topic_name(kafka),))
    if role in OF_GROUPS:
        yield Grant(("Read",), "group", (names.group(kafka, role),), prefixed=True)
        yield Grant(("Describe",), "group", (names.group(kafka, "audit"),))  # readers of a topic's whole name it
    if role == "sessionize":  # its state: topics and transactions are named after the group
        yield Grant(("Read", "Write", "Create"), "topic", (names.group(kafka, role),), prefixed=True)
        yield Grant(("Write",), "transactional-id", (names.group(kafka, role),), prefixed=True)
    if role == "audit":
        yield Grant(("Describe",), "group", tuple(names.group(kafka, reader) for reader in (*OF_GROUPS, role)), prefixed=True)


def _of_operator(kafka: Kafka, sources: Iterable[str]) -> Iterator[Grant]:
    """For `tailrace replay` and the workers that it starts, `dead` and `sessions`."""
    sessionize = names.group(kafka, "sessionize")
    yield Grant(
        ("Read", "Write", "Create", "Delete"), "topic", (*(f"{kafka.topic_prefix}{source}." for source in sources), sessionize), True
    )
    yield Grant(("Read", "Write", "Create"), "topic", (generations.topic_name(kafka),))
    yield Grant(("Write",), "transactional-id", (sessionize,), prefixed=True)
    yield Grant(("Read", "Delete"), "group", tuple(names.group(kafka, worker) for worker in OF_GROUPS), prefixed=True)
    yield Grant(("Describe",), "group", tuple(names.group(kafka, reader) for reader in ("audit", "progress", "retry")), prefixed=True)


def _has_generations(role: Role, kind: Kind) -> bool:
    return role != "ship" and kind in OF_GENERATIONS


def _topic(kafka: Kafka, role: Role, source: str, kind: Kind) -> str:
    """A topic of the role's generation; those of dead letters differ by stage."""
    if kind != "dead" or role == "audit" or role == "operator":
        return names.topic(kafka, source, kind)
    return names.dead_topic(kafka, source, role)


def command(grant: Grant, user: str, bootstrap_servers: str) -> str:
    """The call of Kafka's own tool that grants it."""
    words = ["kafka-acls.sh", "--bootstrap-server", bootstrap_servers, "--add", "--allow-principal", f"User:{user}"]
    words += [word for operation in grant.operations for word in ("--operation", operation)]
    words += [word for name in grant.names for word in (f"--{grant.resource}", name)]
    if grant.prefixed:
        words += ["--resource-pattern-type", "prefixed"]
    return shlex.join(words)


def require(admin: AdminClient, kafka: Kafka, role: Role, sources: Iterable[str]) -> None:
    """Create what is missing of the role's topics, and see that it may do with them what it will.

    Raises Refused naming every right that is missing, Unreachable where the broker does not say. One that knows no rights allows all.
    """
    needed: dict[str, tuple[Kind | None, Operation]] = {
        _topic(kafka, role, source, kind): (kind, operation) for source in sources for kind, operation in TOPICS[role].items()
    }
    if role != "ship":  # a topic that may not be read looks like one that is not there, and the first generation would seem current
        needed[generations.topic_name(kafka)] = (None, "Read")
    lacking: dict[str, list[str]] = {}
    missing: dict[str, Kind] = {}
    for name, future in admin.describe_topics(
        TopicCollection(list(needed)), include_authorized_operations=True, request_timeout=ANSWER_S
    ).items():
        kind, operation = needed[name]
        try:
            allowed = future.result().authorized_operations
        except KafkaException as failure:
            code = failure.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                if kind is not None:
                    missing[name] = kind
                continue
            if code != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise Unreachable(f"Kafka at {kafka.bootstrap_servers} does not describe {name}: {failure.args[0].str()}") from None
            allowed = [AclOperation.UNKNOWN]
        if allowed and AclOperation[operation.upper()] not in allowed:
            lacking.setdefault(operation, []).append(name)
    found = [f"{operation} on {'topic' if len(its) == 1 else 'topics'} {', '.join(sorted(its))}" for operation, its in lacking.items()]
    group = names.group(kafka, role)
    if role in OF_GROUPS and _locked(kafka, group, next(iter(needed))):
        found.append(f"Read on group {group}")
    if found:
        raise Refused(in_words(kafka, found))
    names.create_topics(admin, kafka, missing)


def _locked(kafka: Kafka, group: str, topic: str) -> bool:
    """Whether the group is closed to this user. Asked beforehand, since Faust would wait for ever to be let in.

    Asked by a consumer that never joins it, not by an AdminClient: one whose question about a group had no answer in time, as on a
    broker that has just been set up, aborts the process when the connection breaks and comes back, however much later (librdkafka 2.16).
    """
    deadline = time.monotonic() + ANSWER_S
    with closing(Consumer(names.client_config(kafka, group_id=group, enable_auto_commit=False))) as consumer:
        while time.monotonic() < deadline:
            refusal = consumer.poll(0)  # of who asks for the group's coordinator
            if refusal is not None and refusal.error().code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return True
            try:
                consumer.committed([TopicPartition(topic, 0)], timeout=1)
            except KafkaException as failure:
                if failure.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                    return True
            else:
                return False
    return False  # what else is wrong with a group passes


def explained(kafka: Kafka, error: KafkaError, otherwise: TailraceError, *lacking: str) -> TailraceError:
    """A refusal names the rights that it is about, which the broker does not; any other error is `otherwise`."""
    return Refused(in_words(kafka, lacking)) if error.code() in _UNAUTHORIZED else otherwise


def in_words(kafka: Kafka, lacking: Iterable[str]) -> str:
    """What to grant: `Read on topic ezcast.raw`."""
    what = "; ".join(lacking)
    return (
        f"Kafka at {kafka.bootstrap_servers} does not let {kafka.sasl_username or 'this client'} do its work: "
        f"grant {what}, and create what does not exist (`tailrace access kafka` prints the commands)"
    )
