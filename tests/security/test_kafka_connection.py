"""A client that a secured broker does not let in: one clear error, at once."""

import msgspec
import pytest

from tailrace import kafka
from tailrace.errors import Refused, Unreachable
from tests.secured import SecuredKafka

pytestmark = pytest.mark.timeout(600)  # the first test's includes the start of the server


def test_a_user_is_let_in(secured_kafka: SecuredKafka) -> None:
    secured_kafka.add_user("guest")
    assert kafka.connect(secured_kafka.settings("guest")).list_topics(timeout=10).topics == {}


def test_a_wrong_password_is_told(secured_kafka: SecuredKafka) -> None:
    settings = msgspec.structs.replace(secured_kafka.settings(), sasl_password="not-the-password")
    with pytest.raises(Refused, match=r"invalid credentials.*check kafka.sasl_username and its password") as refused:
        kafka.connect(settings, wait_s=10)
    assert "not-the-password" not in refused.value.message


def test_an_unknown_authority_is_told(secured_kafka: SecuredKafka) -> None:
    settings = msgspec.structs.replace(secured_kafka.settings(), ssl_ca_location=None)
    with pytest.raises(Refused, match=r"certificate.*check kafka.ssl_ca_location"):
        kafka.connect(settings, wait_s=10)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"])
def test_another_protocol_gets_no_answer_and_the_key_is_named(secured_kafka: SecuredKafka, protocol: str) -> None:
    settings = msgspec.structs.replace(secured_kafka.settings(), security_protocol=protocol)
    with pytest.raises(Unreachable, match=r"kafka.security_protocol"):
        kafka.connect(settings)
