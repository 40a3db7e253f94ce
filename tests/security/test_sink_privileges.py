"""The sink against a real Elasticsearch with security: its role suffices exactly, by password and by API key."""

from typing import Any

import pytest
from confluent_kafka import Producer

from schemas.envelope import encode_event
from tailrace import kafka, search_access
from tests.helpers import eventually
from tests.security.stage import SOURCE, Stage
from tests.sinks.stage import event

pytestmark = pytest.mark.timeout(600)


def put(stage: Stage, *ids: str) -> None:
    """Events on the topic that the sink reads."""
    admin = stage.kafka.settings(topic_prefix=stage.mark)
    kafka.ensure_topics(stage.kafka.admin, admin, [SOURCE])
    producer = Producer(kafka.producer_config(admin))
    for each in ids:
        producer.produce(stage.topic("enriched"), key="client", value=encode_event(event(each)))
    assert producer.flush(30) == 0


def role(stage: Stage, without: str | None = None) -> dict[str, Any]:
    whole = search_access.role("sink", [f"{stage.mark}{SOURCE}-*"])
    (indices,) = whole["indices"]
    return {
        "cluster": [privilege for privilege in whole["cluster"] if privilege != without],
        "indices": [{**indices, "privileges": [privilege for privilege in indices["privileges"] if privilege != without]}],
    }


@pytest.mark.parametrize(
    ("without", "named"),
    [
        ("monitor", "the cluster privilege monitor"),
        ("manage_index_templates", "the cluster privilege manage_index_templates"),
        ("index", "403 security_exception"),
        ("auto_configure", "403 security_exception"),
    ],
)
def test_a_privilege_that_is_missing_ends_it_and_is_named(stage: Stage, without: str, named: str) -> None:
    put(stage, "a")
    stage.search.add_user(stage.user("sink"), role(stage, without))
    stage.start("sink").refused(named)


def test_an_api_key_does_and_ends_it_when_it_is_revoked(stage: Stage) -> None:
    put(stage, "a")
    name = stage.user("sink-key")
    key = stage.search.add_key(name, role(stage))
    sink = stage.start("sink", TAILRACE_ELASTICSEARCH_API_KEY=key, TAILRACE_ELASTICSEARCH_USERNAME="")
    eventually(lambda: sink.ended() or stage.documents() == {"a"}, "the document")
    stage.search.admin.security.invalidate_api_key(name=name)
    put(stage, "b")
    sink.refused("401", "elasticsearch.api_key")
    assert key not in sink.said
