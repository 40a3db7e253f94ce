"""What Kafka's clients are told, and what they are not allowed to repeat."""

import logging
from pathlib import Path

import pytest

from tailrace.errors import ConfigError, Unreachable
from tailrace.kafka import client_config, connect, producer_config
from tailrace.settings import Kafka


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
