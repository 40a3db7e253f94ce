"""What a changed configuration changes in a running producer."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from producers.reload import Fresh, Reloader, waits_for_restart
from schemas.source import Source, SourceSettings
from tailrace.errors import ConfigError, Unreachable
from tailrace.settings import Kafka, Settings, Ship, Sink, Stream
from tests.producers.conftest import make_source


def settings(*paths: str, timezone: str = "UTC", ship: Ship | None = None, **more: object) -> Settings:
    block = SourceSettings(format="ezcast", paths=list(paths), timezone=timezone)
    return Settings(sources={"trace": block}, ship=ship or Ship(), **more)  # type: ignore[arg-type]


def fresh(new: Settings) -> Fresh:
    return Fresh(new, list(new.sources), lambda names: [make_source(*new.sources[name].paths, name=name) for name in names])


def reload(old: Settings, new: Callable[[], Settings]) -> "tuple[list[Source], Ship] | None":
    found = Reloader(old, lambda: fresh(new()))([make_source("/old/*")])
    return (found.sources, found.ship) if found else None


def test_paths_and_rates_are_taken_over_and_the_rest_waits(caplog: pytest.LogCaptureFixture) -> None:
    new = settings("/new/*", timezone="Asia/Tokyo", ship=Ship(bytes_per_second=7, monitor="127.0.0.1:1"), kafka=Kafka(compression="zstd"))
    found = reload(settings("/old/*"), lambda: new)
    assert found
    [source], ship = found
    assert (source.settings.paths, source.settings.timezone) == (["/new/*"], "UTC")
    assert (ship.bytes_per_second, ship.monitor) == (7, None)
    assert "wait for a restart: kafka.compression, ship.monitor, sources.trace.timezone" in caplog.text


def test_a_wrong_configuration_is_refused_whole(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Settings:
        raise ConfigError("tailrace.toml: unknown key ship.bytes")

    assert reload(settings("/old/*"), broken) is None
    assert reload(settings("/old/*"), lambda: settings("/new/*", ship=Ship(seal_after="soon"))) is None
    assert reload(settings("/old/*"), lambda: settings("/new/*", ship=Ship(close_inactive="late"))) is None
    assert "the old one stays: tailrace.toml: unknown key ship.bytes" in caplog.text
    assert 'ship.seal_after = "soon"' in caplog.text


def test_sources_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    old, other = settings("/old/*"), SourceSettings(format="ezcast", paths=["/other/*"])
    both, only = Settings(sources={"other": other, **old.sources}), Settings(sources={"other": other})
    now = [both]
    reloader = Reloader(old, lambda: fresh(now[0]))
    first = reloader([make_source("/old/*")])
    assert first
    assert [(source.name, source.settings.paths) for source in first.sources] == [("trace", ["/old/*"]), ("other", ["/other/*"])]
    now[0] = only
    second = reloader(first.sources)
    assert second
    assert [source.name for source in second.sources] == ["other"]
    assert "added: other" in caplog.text
    assert "removed: trace" in caplog.text
    assert "wait for a restart" not in caplog.text


def test_a_source_that_cannot_be_made_refuses_the_whole() -> None:
    def fails(_: object) -> list[Source]:
        raise Unreachable("Kafka does not answer")

    both = settings("/new/*")
    found = Reloader(settings("/old/*"), lambda: Fresh(both, ["trace", "other"], fails))([make_source("/old/*")])
    assert found is None


def test_what_has_been_taken_over_is_no_change_the_next_time(caplog: pytest.LogCaptureFixture) -> None:
    new = settings("/new/*", timezone="Asia/Tokyo")
    reloader = Reloader(settings("/old/*"), lambda: fresh(new))
    for _ in range(2):
        reloader([make_source("/old/*")])
    assert caplog.text.count("sources.trace.timezone") == 2, "what waits is said each time"
    assert "sources.trace.paths" not in caplog.text


def test_the_log_level_follows_and_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", root.level)
    root.setLevel("INFO")
    levels = iter([Ship(log_level="debug"), Ship()])
    reloader = Reloader(settings("/old/*"), lambda: fresh(settings("/old/*", ship=next(levels))))
    reloader([])
    assert root.level == logging.DEBUG
    reloader([])
    assert root.level == logging.INFO


def test_harmless_sections_do_not_wait(tmp_path: Path) -> None:
    old = settings("/old/*")
    new = settings(
        "/old/*", state_dir=str(tmp_path), max_dead_share=0.9, sink=Sink(monitor="127.0.0.1:9466"), stream=Stream(store="rocksdb")
    )
    assert waits_for_restart(old, new, ["trace"]) == {"state_dir"}
