"""Fields that come later: a newer Tailrace's, or those of an operator's actions, in templates and in indices that are there."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from schemas.source import SourceSettings
from schemas.sources import build
from sinks import fields
from sinks.fields import Fields, compare
from tailrace import search
from tailrace.errors import ConfigError
from tailrace.settings import Settings
from tests.helpers import eventually

FIRST = '[types]\nkeyword = ["room"]\n[actions]\nroom_enter = ["room"]\n'
SECOND = FIRST + "[types2]\n"
THIRD = (
    '[types]\nkeyword = ["room"]\ntext = ["remark"]\nboolean = ["loud"]\nfloat = ["temperature"]\n'
    '[actions]\nroom_enter = ["room", "remark", "loud", "temperature"]\n'
)
WORD = {"type": "keyword", "fields": {"keyword": {"type": "keyword"}}}


@pytest.fixture
def client(settings: Settings) -> Iterator[Elasticsearch]:
    with search.connect(settings.elasticsearch, 10) as found:
        yield found


@pytest.fixture
def actions(tmp_path: Path) -> Path:
    file = tmp_path / "actions.toml"
    file.write_text(FIRST)
    return file


@pytest.fixture
def ezcast(settings: Settings, actions: Path) -> Fields:
    return Fields(settings.elasticsearch, [build("ezcast", SourceSettings(format="ezcast", actions=str(actions)))])


def types(client: Elasticsearch, index: str) -> dict[str, str]:
    found = client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
    return {name: mapping.get("type", "object") for name, mapping in found.items()}


def test_what_is_lacking_and_what_differs() -> None:
    held = {"a": {"type": "long"}, "b": {"type": "keyword"}, "o": {"properties": {"x": {"type": "long"}}}, "s": {"type": "long"}}
    wanted: dict[str, Any] = {
        "a": {"type": "long", "ignore_malformed": True},
        "b": WORD,
        "c": {"type": "date"},
        "o": {"properties": {"x": {"type": "ip"}, "y": {"type": "long"}}},
        "s": {"properties": {"z": {"type": "long"}}},
    }
    assert compare(held, wanted) == (
        {"b": WORD, "c": {"type": "date"}, "o": {"properties": {"y": {"type": "long"}}}},
        ["o.x is long, not ip", "s is long, not object"],
    )
    assert compare(wanted, wanted) == ({}, [])


@pytest.mark.servers
def test_new_actions_reach_templates_and_indices(client: Elasticsearch, settings: Settings, ezcast: Fields, actions: Path) -> None:
    prefix = settings.elasticsearch.index_prefix
    ezcast.install(client)
    client.indices.create(index=f"{prefix}ezcast-2016.10")
    assert types(client, f"{prefix}ezcast-2016.10")["room"] == "keyword"
    stop = threading.Event()
    with ezcast.followed(client, stop):
        actions.write_text(SECOND)  # no catalogue
        actions.with_suffix(".new").write_text(THIRD)
        actions.with_suffix(".new").replace(actions)
        eventually(lambda: "temperature" in types(client, f"{prefix}ezcast-2016.10"), "the fields are in the index")
    wanted = {"room": "keyword", "remark": "text", "loud": "boolean", "temperature": "double"}
    assert types(client, f"{prefix}ezcast-2016.10").items() >= wanted.items()
    client.index(index=f"{prefix}ezcast-2016.11", id="1", document={"temperature": 1, "remark": "two words"})
    assert types(client, f"{prefix}ezcast-2016.11").items() >= wanted.items()


@pytest.mark.servers
def test_an_index_that_has_a_field_with_another_type_keeps_it_and_gets_the_rest(
    client: Elasticsearch, settings: Settings, actions: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = settings.elasticsearch.index_prefix
    index, other = f"{prefix}ezcast-2016.10", f"{prefix}ezcast-rooms-2016.10"
    for name in (index, other):
        client.indices.create(
            index=name, mappings={"properties": {"room": {"type": "long"}, "geoip": {"properties": {"asn": {"type": "ip"}}}}}
        )
    with caplog.at_level(logging.INFO, "tailrace.sink"):
        Fields(settings.elasticsearch, [build("ezcast", SourceSettings(format="ezcast", actions=str(actions)))]).install(client)
    assert types(client, index).items() >= {"room": "long", "album": "keyword", "geoip": "object", "tags": "keyword"}.items()
    assert types(client, other) == {"room": "long", "geoip": "object"}
    (warning,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert "geoip.asn is ip, not long, room is long, not keyword" in warning


@pytest.mark.servers
def test_indices_of_views_and_sessions_get_what_they_lack(client: Elasticsearch, settings: Settings, ezcast: Fields) -> None:
    """As those of an older release do."""
    prefix = settings.elasticsearch.index_prefix
    views, sessions = f"{prefix}ezcast-views-2016.10", f"{prefix}ezcast-sessions-2016.10"
    for name in (views, sessions):
        client.indices.create(index=name, mappings={"dynamic": False, "properties": {"client": {"type": "keyword"}}})
    ezcast.install(client)
    assert types(client, views).items() >= {"day": "date", "album": "keyword", "play_time": "long", "session_os": "keyword"}.items()
    assert types(client, sessions).items() >= {"duration": "float", "events": "long", "session_os": "keyword"}.items()
    assert "album" not in types(client, sessions)


@pytest.mark.servers
def test_what_fails_is_tried_again(client: Elasticsearch, settings: Settings, ezcast: Fields, monkeypatch: pytest.MonkeyPatch) -> None:
    ezcast.install(client)
    installed: list[object] = []
    monkeypatch.setattr(fields.templates, "install", lambda *_: installed.append(1))
    ezcast.refresh(client)
    assert not installed

    def fail(*_: object) -> None:
        raise ConfigError("two sources disagree")

    monkeypatch.setattr(fields.templates, "install", fail)
    with pytest.raises(ConfigError):
        ezcast.install(client)
    ezcast.refresh(client)
    monkeypatch.setattr(fields.templates, "install", lambda *_: installed.append(1))
    ezcast.refresh(client)
    assert installed


def test_a_file_that_cannot_be_used_is_said_at_the_start(settings: Settings, actions: Path) -> None:
    actions.write_text('[types]\ninteger = ["album"]\n')
    with pytest.raises(ConfigError, match=r"sources\.ezcast\.actions = .*album is both keyword and integer"):
        Fields(settings.elasticsearch, [build("ezcast", SourceSettings(format="ezcast", actions=str(actions)))])
