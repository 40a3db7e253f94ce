"""Index templates: what they say, when they are put, and that EZCast's users' queries work on them unchanged."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import orjson
import pytest
from elasticsearch import Elasticsearch

from schemas.envelope import EventEnvelope
from schemas.event import Event
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import Source, SourceSettings
from schemas.sources import build
from sinks import templates
from sinks.bulk import Splicer
from sinks.writer import HEADERS
from tailrace import search
from tailrace.errors import ConfigError
from tailrace.settings import Elasticsearch as Own
from tailrace.settings import Settings
from tests.sinks.test_bulk import SOURCE

LONG, KEYWORD = {"type": "long"}, {"type": "keyword"}


def with_fields(name: str, index: str, **properties: Any) -> Source:
    return replace(SOURCE, name=name, index=index, properties=properties)


def test_sources_that_share_an_index_share_a_template() -> None:
    found = templates.index_templates(Own(index_prefix="p-"), [with_fields("a", "log", x=LONG), with_fields("b", "log", x=LONG, y=KEYWORD)])
    (name,) = found
    assert name == "p-tailrace-a"
    assert found[name]["index_patterns"] == ["p-log-*"]
    assert found[name]["template"]["mappings"]["properties"] == {"x": LONG, "y": KEYWORD}


def test_sources_that_share_an_index_must_agree_on_types() -> None:
    with pytest.raises(ConfigError, match="share the index log but not the type of the field x"):
        templates.index_templates(Own(), [with_fields("a", "log", x=LONG), with_fields("b", "log", x=KEYWORD)])


@pytest.fixture
def client(settings: Settings) -> Iterator[Elasticsearch]:
    with search.connect(settings.elasticsearch, 10) as found:
        yield found


def installed(client: Elasticsearch, own: Own, name: str = "own") -> dict[str, Any]:
    (found,) = client.indices.get_index_template(name=f"{own.index_prefix}tailrace-{name}")["index_templates"]
    template: dict[str, Any] = found["index_template"]
    return template


@pytest.mark.servers
def test_templates_are_put_where_they_differ(client: Elasticsearch, settings: Settings) -> None:
    own = settings.elasticsearch
    templates.install(client, own, [SOURCE])
    first = installed(client, own)["modified_date_millis"]
    templates.install(client, own, [SOURCE])
    assert installed(client, own)["modified_date_millis"] == first
    templates.install(client, own, [with_fields("own", "own", x=LONG)])
    assert installed(client, own)["template"]["mappings"]["properties"] == {"x": {"type": "long"}}


@pytest.mark.servers
def test_the_templates_of_a_newer_tailrace_stay(client: Elasticsearch, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    own = settings.elasticsearch
    monkeypatch.setattr(templates, "VERSION", templates.VERSION + 1)
    templates.install(client, own, [with_fields("own", "own", x=LONG)])
    monkeypatch.undo()
    templates.install(client, own, [SOURCE])
    assert installed(client, own)["template"]["mappings"]["properties"] == {"x": {"type": "long"}}


@pytest.mark.servers
def test_the_more_specific_of_two_patterns_wins(client: Elasticsearch, settings: Settings) -> None:
    own = settings.elasticsearch
    templates.install(client, own, [with_fields("log", "log", x=LONG), with_fields("web", "log-web", x=KEYWORD)])
    client.indices.create(index=f"{own.index_prefix}log-web-2026.11")
    mapping = client.indices.get_mapping(index=f"{own.index_prefix}log-web-2026.11")
    assert mapping[f"{own.index_prefix}log-web-2026.11"]["mappings"]["properties"]["x"] == KEYWORD


@pytest.mark.servers
def test_settings_reach_the_index_and_no_source_explodes_its_mapping(client: Elasticsearch, settings: Settings) -> None:
    own = msgspec.structs.replace(settings.elasticsearch, number_of_shards=2, refresh_interval="7s", codec="best_compression")
    templates.install(client, own, [SOURCE])
    index = f"{own.index_prefix}own-2016.10"
    document = {"text": "words", "number": 1, "fraction": 0.5, "tags": ["a"], **{f"field{number}": "x" for number in range(2_000)}}
    client.index(index=index, id="1", document=document, refresh=True)
    made = client.indices.get_settings(index=index, flat_settings=True)[index]["settings"]
    assert (made["index.number_of_shards"], made["index.refresh_interval"]) == ("2", "7s")
    assert made["index.codec"] == "best_compression"
    fields = client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
    assert (fields["number"]["type"], fields["fraction"]["type"]) == ("long", "double")
    assert fields["text"] == templates.UNKNOWN_STRING
    assert len(fields) < templates.FIELD_LIMIT
    assert client.get(index=index, id="1")["_source"] == document


TRACE = b"""\
2016-10-03-08:00:00 | sessionone | 164.15.1.1 | student001 | 1 | login | Firefox | 49.0 | Linux | Mozilla/5.0
2016-10-03-08:02:00 | sessionone | 164.15.1.1 | student001 | 4 | video_play_time | INFO-F-101-pub | 2016_09_20_10h00 | One | cam | 0 | 30
2016-10-03-08:03:00 | sessionone | 164.15.1.1 | student001 | 4 | video_play_time | INFO-F-101-pub | 2016_09_20_10h00 | One | cam | 30 | 12
2016-10-10-08:01:00 | sessiontwo | 10.0.0.2 | nologin | 1 | login_as_anonymous | Chrome | 53.0 | Linux | UA
2016-10-11-08:01:00 | sessiontri | 10.0.0.3 | nologin | 1 | login_as_anonymous | Chrome | 53.0 | Windows | UA
"""


@pytest.fixture
def ezcast(client: Elasticsearch, settings: Settings) -> str:
    """The pattern of an EZCast index that holds TRACE."""
    own = settings.elasticsearch
    source = build("ezcast", SourceSettings(format="ezcast", timezone="Europe/Brussels"))
    templates.install(client, own, [source])
    clock, splicer = LocalClock("Europe/Brussels"), Splicer(source, own.index_prefix)
    operations, offset = [], 0
    for line in TRACE.splitlines(keepends=True):
        (event,) = source.parse(line.removesuffix(b"\n"), Place("f", "h", "/t.trace"), offset, clock)
        assert isinstance(event, Event)
        operations.append(
            splicer.operation(EventEnvelope(event.id, event.time, event.client, event.kind, 1, False, orjson.dumps(event.document)))
        )
        offset += len(line)
    answer = client.perform_request("POST", "/_bulk", params={"refresh": "true"}, headers=HEADERS, body=b"".join(operations))
    assert not answer.body["errors"]
    return f"{own.index_prefix}ezcast-*"


@pytest.mark.servers
def test_ezcast_users_page_through_an_action(client: Elasticsearch, ezcast: str) -> None:
    found = client.search(
        index=ezcast,
        query={"term": {"action": "video_play_time"}},
        sort=[{"start": "desc"}],
        from_=1,
        size=1,
        source_includes=["start", "album"],
    )
    assert [hit["_source"] for hit in found["hits"]["hits"]] == [{"start": 0, "album": "INFO-F-101-pub"}]


@pytest.mark.servers
def test_ezcast_users_compute_the_end_of_what_was_watched(client: Elasticsearch, ezcast: str) -> None:
    script = {"end_time": {"script": "doc['start'].value + doc['play_time'].value"}}
    found = client.search(index=ezcast, query={"range": {"play_time": {"gte": 20}}}, script_fields=script)
    assert [hit["fields"]["end_time"] for hit in found["hits"]["hits"]] == [[30]]


@pytest.mark.servers
def test_ezcast_users_count_browsers_and_systems_of_both_kinds_of_logins(client: Elasticsearch, ezcast: str) -> None:
    weekly = {"date_histogram": {"field": "@timestamp", "calendar_interval": "week"}}
    found = client.search(
        index=ezcast,
        size=0,
        query={"terms": {"action": ["login", "login_as_anonymous"]}},
        aggs={
            "browsers": {"terms": {"field": "browser_name.keyword"}},
            "systems": {"terms": {"field": "user_os.keyword"}, "aggs": {"weeks": weekly}},
        },
    )["aggregations"]
    assert {bucket["key"]: bucket["doc_count"] for bucket in found["browsers"]["buckets"]} == {"Chrome": 2, "Firefox": 1}
    weeks = {bucket["key"]: [week["doc_count"] for week in bucket["weeks"]["buckets"]] for bucket in found["systems"]["buckets"]}
    assert weeks == {"Linux": [1, 1], "Windows": [1]}
