"""A client that a secured Elasticsearch does not let in: one clear error, at once."""

import msgspec
import pytest

from tailrace import search
from tailrace.errors import Refused
from tests.secured import SecuredElasticsearch

pytestmark = pytest.mark.timeout(600)  # the first test's includes the start of the server


def test_a_user_and_an_api_key_are_let_in(secured_elasticsearch: SecuredElasticsearch) -> None:
    role = {"cluster": ["monitor"]}
    secured_elasticsearch.add_user("guest", role)
    own = secured_elasticsearch.settings("guest")
    key = msgspec.structs.replace(own, username=None, password=None, api_key=secured_elasticsearch.add_key("guest", role))
    for settings in (own, key):
        with search.connect(settings) as client:
            assert client.info()["version"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"password": "not-the-password"}, r"refused the connection \(401\).*elasticsearch.username and its password"),
        ({"username": None, "password": None}, r"refused the connection \(401\).*elasticsearch.username"),
        ({"username": None, "api_key": "bm90OmFrZXk="}, r"refused the connection \(401\).*elasticsearch.api_key"),
        ({"ca_certs": __file__}, r"no secure connection.*elasticsearch.ca_certs"),
        ({"ca_certs": None}, r"certificate.*elasticsearch.ca_certs"),
    ],
)
def test_who_is_not_let_in_is_told_why(secured_elasticsearch: SecuredElasticsearch, change: dict[str, str | None], named: str) -> None:
    settings = msgspec.structs.replace(secured_elasticsearch.settings(), **change)
    with pytest.raises(Refused, match=named) as refused:
        search.connect(settings, wait_s=10)
    assert "not-the-password" not in refused.value.message


def test_the_privilege_to_ask_who_answers_is_named(secured_elasticsearch: SecuredElasticsearch) -> None:
    secured_elasticsearch.add_user("nobody", {})
    with pytest.raises(Refused, match=r"\(403\).*cluster privilege monitor"):
        search.connect(secured_elasticsearch.settings("nobody"))
