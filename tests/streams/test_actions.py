"""Actions that an operator adds while the worker runs."""

import logging
from pathlib import Path

import pytest

from schemas.event import Event
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import Source, SourceSettings
from schemas.sources import build
from streams import actions
from streams.actions import following
from tailrace.errors import ConfigError

LINE = b"2018-04-05-20:13:23 | s1d | 192.0.2.7 | user1 | 3 | room_enter | H1302"
PLAY = b"2018-04-05-20:13:23 | s1d | 192.0.2.7 | user1 | 4 | video_play_time | INFO-pub | a | One | cam | 0 | 30"
ROOMS = '[types]\nkeyword = ["room"]\ninteger = ["seats"]\n[actions]\nroom_enter = ["room"]\n'


def ezcast(file: Path) -> Source:
    return build("ezcast", SourceSettings(format="ezcast", actions=str(file)))


def parse(source: Source, line: bytes) -> Event:
    (event,) = source.parse(line, Place("f", "h", "p"), 0, LocalClock("UTC"))
    assert isinstance(event, Event)
    return event


def is_usual(source: Source, line: bytes) -> bool:
    assert source.usual is not None
    read = source.usual(Place("f", "h", "p"), LocalClock("UTC"))
    return read is not None and read(line, 0) is not None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "actions.toml"


def test_a_source_without_a_file_is_left_as_it_is() -> None:
    source = build("ezcast", SourceSettings(format="ezcast"))
    assert following(source) is source


def test_a_file_adds_actions_while_the_worker_runs(file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(actions, "LOOK_EVERY_S", 0.0)
    file.write_text("[actions]\n")
    source = following(ezcast(file))
    assert parse(source, LINE).document["tags"] == ["_unknown_action"]
    assert not is_usual(source, LINE)
    file.write_text(ROOMS)
    assert is_usual(source, LINE)
    assert (parse(source, LINE).document["room"], parse(source, LINE).document["tags"]) == ("H1302", [])
    file.write_text(ROOMS + "nonsense")
    with caplog.at_level(logging.WARNING):
        assert parse(source, LINE).document["room"] == "H1302"
    assert "what was read before stays in force: it is not TOML" in caplog.text
    file.write_text(ROOMS.replace('room_enter = ["room"]', 'room_enter = ["room", "seats"]'))
    assert parse(source, LINE + b" | 40").document["seats"] == 40
    assert parse(source, LINE).document["tags"] == ["_field_count"]


def test_a_new_version_of_an_action_leaves_the_older_ones_readable(file: Path) -> None:
    fields = '"album", "asset", "asset_name", "type", "start", "play_time", "buffering"'
    file.write_text(f'[types]\ninteger = ["buffering"]\n[actions]\nvideo_play_time = [{fields}]\n')
    source = following(ezcast(file))
    assert parse(source, PLAY).document["play_time"] == 30
    found = parse(source, PLAY + b" | 7").document
    assert (found["play_time"], found["buffering"], found["tags"]) == (30, 7, [])


def test_a_file_is_looked_at_once_in_a_while(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(actions.time, "monotonic", lambda: now[0])
    file.write_text("[actions]\n")
    source = following(ezcast(file))
    file.write_text(ROOMS)
    now[0] += actions.LOOK_EVERY_S / 2
    assert parse(source, LINE).document["tags"] == ["_unknown_action"]
    now[0] += actions.LOOK_EVERY_S / 2
    assert parse(source, LINE).document["tags"] == []


def test_a_missing_file_is_an_error_that_names_the_key(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources\.ezcast\.actions = .*cannot read it"):
        following(ezcast(file))
