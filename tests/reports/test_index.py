"""Asking the index: errors in words, ids page after page."""

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, AuthorizationException, BadRequestError, ConnectionTimeout

from reports import index, queries
from reports.queries import Period
from tailrace.errors import Refused, TailraceError, Unreachable
from tests.reports.stage import Stage

META = ApiResponseMeta(403, "1.1", HttpHeaders(), 0.1, NodeConfig("http", "localhost", 9200))


@pytest.mark.parametrize(
    ("failure", "kind", "said"),
    [
        (AuthorizationException("security_exception", META, {}), Refused, "grant the privilege read"),
        (
            BadRequestError("bad", META, {"error": {"root_cause": [{"reason": "Text fields"}]}}),
            TailraceError,
            "Text fields",
        ),
        (ConnectionTimeout("slow"), Unreachable, "ConnectionTimeout"),
    ],
)
def test_errors_name_the_index_and_what_to_do(failure: Exception, kind: type[TailraceError], said: str) -> None:
    with pytest.raises(kind, match=said) as raised, index.in_words("ezcast-*"):
        raise failure
    assert "ezcast-*" in raised.value.format_message()
    assert type(raised.value) is kind


def test_an_answer_without_all_shards_is_no_answer() -> None:
    class Client:
        def search(self, **_: Any) -> dict[str, Any]:
            return {"_shards": {"failed": 1}}

    with pytest.raises(TailraceError, match="too low"):
        index.search(Client(), "ezcast-*", {})  # type: ignore[arg-type]


def test_too_many_groups_for_one_answer_are_asked_for_in_pages() -> None:
    class Client:
        def search(self, aggs: dict[str, Any], **_: Any) -> dict[str, Any]:
            if queries.GROUPS not in aggs:
                raise ApiError("no", META, {"error": {"caused_by": {"type": "too_many_buckets_exception"}}})
            return {"_shards": {"failed": 0}, "aggregations": {queries.GROUPS: {"buckets": [{"key": {"album": "A", "asset": "1"}}]}}}

    ask = index.asker(Client(), "ezcast-*")  # type: ignore[arg-type]
    assert list(ask(queries.play_time(Period(None, None, "UTC")), nested=True)) == [{"key": {"album": "A", "asset": "1"}}]


@pytest.mark.servers
def test_ids_of_all_pages_of_all_indices(ezcast: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "IDS_PAGE", 2)
    pattern = index.pattern(ezcast.settings, "ezcast")
    assert list(index.ids(ezcast.client, pattern)) == []
    wanted = {(str(number), f"ezcast-2016.0{number % 3 + 1}") for number in range(7)}
    for id, name in wanted:
        ezcast.put(name, id)
    found = list(index.ids(ezcast.client, pattern))
    assert len(found) == 7
    assert {(id, name.removeprefix(ezcast.prefix)) for id, name in found} == wanted
