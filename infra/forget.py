"""Leave servers that others use as they were: delete what one demo, test or benchmark made there."""

from confluent_kafka import KafkaError, KafkaException

from tailrace import kafka, search
from tailrace.settings import Elasticsearch, Kafka, Settings

_TOLERATED = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND, KafkaError.NON_EMPTY_GROUP)
"""Gone already; or a group whose members were killed, which Kafka itself forgets when it has been empty for a week."""
PATIENCE_S = 20.0


def forget(own: Settings) -> None:
    """Delete the topics, groups, indices and templates whose names begin with the prefixes of these settings, which have to have some.

    What is gone already is no error. Raises KafkaException, ApiError or TransportError for what cannot be deleted.
    """
    if not (own.kafka.topic_prefix and own.elasticsearch.index_prefix):
        raise ValueError("without prefixes this would delete everything")
    _forget_topics(own.kafka)
    _forget_indices(own.elasticsearch)


def _forget_topics(own: Kafka) -> None:
    admin = kafka.connect(own, wait_s=5)
    groups = [found.group_id for found in admin.list_consumer_groups().result().valid if found.group_id.startswith(own.topic_prefix)]
    topics = [name for name in admin.list_topics(timeout=10).topics if name.startswith(own.topic_prefix)]
    futures = {
        **(admin.delete_consumer_groups(groups) if groups else {}),
        **(admin.delete_topics(topics, operation_timeout=10) if topics else {}),
    }
    for future in futures.values():
        try:
            future.result(timeout=PATIENCE_S)
        except KafkaException as error:
            if error.args[0].code() not in _TOLERATED:
                raise


def _forget_indices(own: Elasticsearch) -> None:
    mine = f"{own.index_prefix}*"
    with search.connect(own, wait_s=5).options(ignore_status=404) as client:
        for index in client.indices.get(index=mine, expand_wildcards="all", features="aliases"):
            client.indices.delete(index=index, ignore_unavailable=True)
        for template in client.indices.get_index_template(name=mine).body.get("index_templates", []):
            client.indices.delete_index_template(name=template["name"])
        for template in client.cluster.get_component_template(name=mine).body.get("component_templates", []):
            client.cluster.delete_component_template(name=template["name"])
