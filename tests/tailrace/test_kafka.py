"""What Kafka's clients are told, and what they are not allowed to repeat."""

import logging
import re
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import ConfigResource

from tailrace.errors import ConfigError, Unreachable
from tailrace.kafka import client_config, connect, ensure_topics, producer_config, topic
from tailrace.settings import Kafka, Settings
from tests.conftest import REPOSITORY
from tests.helpers import eventually


def test_a_producer_loses_and_reorders_nothing_by_default() -> None:
    conf = producer_config(Kafka())
    assert (conf["enable.idempotence"], conf["acks"], conf["message.timeout.ms"]) == (True, "all", 0)


@pytest.mark.parametrize("given", [{}, {"sasl_username": "tail"}, {"sasl_password": "secret"}])
def test_missing_credentials_are_named(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="TAILRACE_KAFKA_SASL_PASSWORD"):
        client_config(Kafka(security_protocol="SASL_SSL", **given))


def test_credentials_reach_the_client(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    conf = client_config(Kafka(security_protocol="SASL_SSL", sasl_username="tail", sasl_password="secret", ssl_ca_location=str(ca)))
    assert (conf["sasl.username"], conf["sasl.password"], conf["ssl.ca.location"]) == ("tail", "secret", str(ca))


def test_certificates_that_are_none_are_named(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    settings = Kafka(security_protocol="SSL", ssl_ca_location=str(ca))
    with pytest.raises(ConfigError, match=r"kafka.ssl_ca_location: cannot read .*ca.pem"):
        connect(settings)
    ca.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"ssl.ca.location"):
        connect(settings)


def test_a_broker_that_does_not_answer_is_one_error_without_a_flood_of_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tailrace.kafka"), pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        connect(Kafka(bootstrap_servers="127.0.0.1:1"))
    assert caplog.records == []


def test_librdkafka_may_say_a_thing_once(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("tailrace.kafka")
    for after_ms in (3, 14, 159):
        log.error("FAIL [test] connection lost (after %dms in state UP)", after_ms)
    log.error("FAIL [test] something else")
    assert [record.getMessage()[:26] for record in caplog.records] == ["FAIL [test] connection los", "FAIL [test] something else"]


@pytest.mark.servers
def test_topics_with_original_bytes_have_the_retention_of_raw(settings: Settings) -> None:
    own = msgspec.structs.replace(settings.kafka, raw_retention="30d")
    admin = connect(own, 10)
    ensure_topics(admin, settings.kafka, ["old"])
    ensure_topics(admin, own, ["old", "shop"])
    kinds = ("raw", "events", "enriched", "dead")
    names = [topic(own, source, kind) for source in ("shop", "old") for kind in kinds]
    eventually(lambda: admin.list_topics(timeout=10).topics.keys() >= set(names), "the broker knows the topics")
    found = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in names])
    kept = {resource.name: future.result(timeout=20)["retention.ms"].value for resource, future in found.items()}
    month = str(30 * 86_400_000)
    assert [kept[name] for name in names] == [month, "-1", "-1", month, "-1", "-1", "-1", "-1"]


def test_only_commands_that_end_ask_an_admin_client_about_groups() -> None:
    """Such a question without an answer in time aborts the process at the next connection (librdkafka 2.16, `kafka_access._locked`)."""
    asks = re.compile(r"\.(describe_consumer_groups|list_consumer_group_offsets|delete_consumer_groups|alter_consumer_group_offsets)\(")
    rooms = ("tailrace", "producers", "streams", "sinks", "reports")
    modules = [module for room in rooms for module in (REPOSITORY / room).rglob("*.py")]
    assert [str(module.relative_to(REPOSITORY)) for module in modules if asks.search(module.read_text())] == ["sinks/replay_cli.py"]
