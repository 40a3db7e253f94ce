"""Faust's settings from ours."""

import ssl
from pathlib import Path

import pytest
from faust.auth import SASLCredentials, SSLCredentials

from streams.app import credentials, make_app
from streams.transport import BatchTransport
from tailrace.errors import ConfigError
from tailrace.settings import Kafka, Settings


def test_a_plain_connection_has_no_credentials() -> None:
    assert credentials(Kafka()) is None


@pytest.mark.parametrize(("protocol", "encrypted"), [("SASL_PLAINTEXT", False), ("SASL_SSL", True)])
def test_sasl_takes_mechanism_name_and_password(tmp_path: Path, protocol: str, encrypted: bool) -> None:
    secret = tmp_path / "password"
    secret.write_text("hush\n")
    found = credentials(
        Kafka(security_protocol=protocol, sasl_mechanism="SCRAM-SHA-256", sasl_username="me", sasl_password_file=str(secret))  # type: ignore[arg-type]
    )
    assert isinstance(found, SASLCredentials)
    assert (found.username, found.password, found.mechanism.value, found.protocol.value) == ("me", "hush", "SCRAM-SHA-256", protocol)
    assert isinstance(found.ssl_context, ssl.SSLContext) is encrypted


def test_tls_alone_verifies_the_broker() -> None:
    found = credentials(Kafka(security_protocol="SSL"))
    assert isinstance(found, SSLCredentials)
    assert found.context.verify_mode == ssl.CERT_REQUIRED


def test_the_app_is_the_group_of_its_role_on_our_transport(tmp_path: Path) -> None:
    kafka = Kafka(topic_prefix="mine-", bootstrap_servers="one:9092, two:9093")
    app = make_app(Settings(state_dir=str(tmp_path), kafka=kafka), "parse")
    assert app.conf.id == "mine-tailrace-parse"
    assert [str(url) for url in app.conf.broker] == ["kafka://one:9092", "kafka://two:9093"]
    assert isinstance(app.transport, BatchTransport)
    assert not app.conf.web_enabled


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="state_dir: cannot make the folder"):
        make_app(Settings(state_dir=str(tmp_path / "file")), "parse")
