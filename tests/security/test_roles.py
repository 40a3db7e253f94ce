"""Each role with exactly the rights that `tailrace access` prints: enough for its work, and missed where one is taken away."""

import pytest

from tailrace import kafka_access
from tests.helpers import eventually
from tests.security.stage import SOURCE, Stage


def test_the_whole_way_with_no_right_too_many(stage: Stage) -> None:
    stage.carry()
    audit = stage.start("audit")
    assert audit.end() == 0, audit.said
    retention = stage.start("retention", "--dry-run", "--force-merge")
    assert retention.end() == 0, retention.said
    assert "there are 2 indices" in retention.said, "events and sessions"


pytestmark = pytest.mark.timeout(600)  # the first test's includes the start of both servers


def test_an_operator_replays_and_every_role_goes_on_in_the_new_generation(stage: Stage) -> None:
    stage.carry()
    for words in (
        ["start", "v2", "--once"],
        ["status"],
        ["compare", "v2"],
        ["switch", "v2"],
        ["rollback"],
        ["switch", "v2"],
        ["drop", "--yes"],
        ["start", "v3", "--of", "enriched", "--once"],
        ["abandon", "v3"],
    ):
        done = stage.start("operator", *words, command="replay")
        assert done.end() == 0, (words, done.said)
    for words in (["list"], ["retry"], ["drop", "--yes"]):
        done = stage.start("operator", *words, command="dead")
        assert done.end() == 0, (words, done.said)
    repair = stage.start("operator", "repair", command="sessions")
    assert repair.end() == 0, repair.said
    assert "3 events in 2 sessions, 0 views; 0 differ; 0 repaired" in repair.said
    stage.append('{"id": "d", "time": 1475500000000, "who": "ann", "n": 4}', '{"id": "e", "time": 1478200000000, "who": "ann", "n": 5}')
    stage.carry("a", "b", "c", "d", "e")
    audit = stage.start("audit")
    assert audit.end() == 0, audit.said


def test_a_role_that_may_not_know_the_current_generation_ends(stage: Stage) -> None:
    take(stage, "sink", "Read", "topic", stage.generations)
    stage.start("sink").refused(f"Read on topic {stage.generations}")


def take(stage: Stage, role: kafka_access.Role, operation: kafka_access.Operation, resource: str, name: str) -> None:
    """Take one right away."""
    for grant in stage.grants(role):
        if grant.resource == resource and operation in grant.operations and name in grant.names:
            stage.kafka.forbid(stage.user(role), [grant._replace(operations=(operation,), names=(name,))])
            return
    raise AssertionError(f"{role} has no such right: {operation} {name}")


@pytest.mark.parametrize(
    ("role", "operation", "kind"),
    [
        ("ship", "Write", "raw"),
        ("ship", "Write", "dead"),
        ("parse", "Read", "raw"),
        ("parse", "Write", "events"),
        ("sessionize", "Read", "events"),
        ("sessionize", "Write", "sessions"),
        ("sink", "Read", "enriched"),
        ("sink", "Write", "dead"),
    ],
)
def test_a_topic_that_may_not_be_used_is_named_at_the_start(
    stage: Stage, role: kafka_access.Role, operation: kafka_access.Operation, kind: str
) -> None:
    take(stage, role, operation, "topic", stage.topic(kind))
    stage.start(role).refused(stage.user(role), f"{operation} on topic {stage.topic(kind)}")


def test_a_topic_that_may_not_be_made_is_named(stage: Stage) -> None:
    take(stage, "ship", "Create", "topic", stage.topic("files"))
    stage.start("ship").refused(stage.user("ship"), f"grant Create on topic {stage.topic('files')}")


@pytest.mark.parametrize("role", ["parse", "sessionize", "sink"])
def test_a_group_that_may_not_be_joined_is_named(stage: Stage, role: kafka_access.Role) -> None:
    group = f"{stage.mark}tailrace-{role}"
    take(stage, role, "Read", "group", group)
    stage.start(role).refused(stage.user(role), f"Read on group {group}")


def test_the_state_of_sessions_that_may_not_be_kept_is_named(stage: Stage) -> None:
    changelogs = f"{stage.mark}tailrace-sessionize"
    for operation in ("Read", "Write", "Create"):
        take(stage, "sessionize", operation, "topic", changelogs)
    stage.start("sessionize").refused(f"{changelogs}-{SOURCE}-sessions-changelog")


def test_a_right_that_is_taken_from_a_running_worker_ends_it(stage: Stage) -> None:
    parse = stage.start("parse")
    eventually(lambda: "starts" in parse.said or parse.ended(), "its start")
    take(stage, "parse", "Write", "topic", stage.topic("events"))
    assert stage.start("ship", "--once").end() == 0
    parse.refused(stage.user("parse"), f"Write on topic {stage.topic('events')}")


def test_a_right_that_is_taken_from_a_running_sink_ends_it(stage: Stage) -> None:
    sink = stage.start("sink")
    eventually(lambda: "writing" in sink.said or sink.ended(), "its partitions")
    take(stage, "sink", "Read", "topic", stage.topic("enriched"))
    sink.refused(stage.user("sink"), f"Read on topic {stage.topic('enriched')}")
