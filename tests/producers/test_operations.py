"""A producer as an operator meets it: limits, SIGHUP, metrics, health, a dry run; the command as a process."""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from producers import figures
from producers.figures import ShipHealth
from tailrace.errors import ConfigError, TailraceError
from tailrace.monitor import Answers, Monitor
from tailrace.settings import Settings
from tests.helpers import eventually, free_address, get, read_topic
from tests.producers.conftest import Ship, event, make_source
from tests.producers.test_cli import configure, payloads, process, ship, topic_exists


def lines(first: int, last: int) -> bytes:
    return b"".join(map(event, range(first, last)))


@contextmanager
def running(config: Path) -> "Iterator[tuple[subprocess.Popen[bytes], list[str]]]":
    """The process, and what it has said so far; ended cleanly."""
    said: list[str] = []
    child = process(config)
    assert child.stderr is not None
    reader = threading.Thread(target=lambda: said.extend(line.decode() for line in child.stderr or ()))
    reader.start()
    try:
        yield child, said
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0, said
    finally:
        child.kill()
        child.wait()
        reader.join()
        child.stderr.close()


def says(said: list[str], words: str) -> None:
    eventually(lambda: any(words in line for line in list(said)), f"the producer says: {words}")


@pytest.mark.servers
def test_sighup_takes_over_rates_and_paths_and_refuses_what_is_wrong(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    good = config.read_text()
    (tmp_path / "logs" / "a.trace").write_bytes(lines(0, 20_000))
    (tmp_path / "logs" / "late.log").write_bytes(event(50_000))
    config.write_text(good + "[ship]\nbytes_per_second = 1\n")
    with running(config) as (child, said):
        eventually(lambda: topic_exists(settings) and payloads(settings), "the first burst")
        burst = len(payloads(settings))
        assert burst < 10_000, "one read, and then it waits"
        config.write_text(good + "[ship]\nbytes_per_minute = 1\n")
        child.send_signal(signal.SIGHUP)
        says(said, "the new configuration is refused and the old one stays")
        says(said, "did you mean ship.bytes_per_second?")
        assert len(payloads(settings)) == burst
        config.write_text(good.replace('.trace"]', '.trace", "/nowhere/*", "' + f'{tmp_path}/logs/*.log"]'))
        child.send_signal(signal.SIGHUP)
        says(said, "the configuration was read again")
        eventually(lambda: event(50_000)[:-1] in (found := payloads(settings)) and len(found) == 20_001, "everything, the new path too")
    assert sorted(payloads(settings)) == sorted((lines(0, 20_000) + event(50_000)).split(b"\n")[:-1])


@pytest.mark.servers
def test_sighup_adds_and_removes_whole_sources_and_what_is_left_out_goes_on_where_it_was(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    good, shop = config.read_text(), tmp_path / "shop"
    shop.mkdir()
    path = tmp_path / "logs" / "a.trace"
    path.write_bytes(lines(0, 3))
    (shop / "a.csv").write_bytes(b"one\ntwo\n")
    added = f'[sources.shop]\nformat = "delimited"\npaths = ["{shop}/*.csv"]\ncolumns = ["what"]\n'

    def says_next(child: "subprocess.Popen[bytes]", said: list[str], text: str, words: str) -> None:
        config.write_text(text)
        child.send_signal(signal.SIGHUP)
        says(said, words)

    with running(config) as (child, said):
        eventually(lambda: topic_exists(settings) and len(payloads(settings)) == 3, "the first source")
        says_next(child, said, good + added, "added: shop")
        eventually(lambda: len(read_topic(settings, "shop", "raw")) == 2, "the second source")
        says_next(child, said, good[: good.index("[sources.ezcast]")] + added, "removed: ezcast")
        with path.open("ab") as file:
            file.write(lines(3, 6))
        with (shop / "a.csv").open("ab") as file:
            file.write(b"three\n")
        eventually(lambda: len(read_topic(settings, "shop", "raw")) == 3, "the second source goes on")
        assert len(payloads(settings)) == 3
        says_next(child, said, good, "added: ezcast")
        eventually(lambda: len(payloads(settings)) == 6, "the first source goes on where it was")
    assert sorted(payloads(settings)) == sorted(lines(0, 6).split(b"\n")[:-1])


@pytest.mark.servers
def test_a_limit_delays_a_backfill_and_discards_nothing(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    for name in ("a", "b", "c"):
        (tmp_path / "logs" / f"{name}.trace").write_bytes(lines(ord(name) * 500, ord(name) * 500 + 400))
    config.write_text(config.read_text() + "[ship]\nrecords_per_second = 800\n")
    before_s = time.monotonic()
    assert ship(config, "--once").exit_code == 0
    assert time.monotonic() - before_s >= 0.9, "800 of 1,200 records are owed before the last file is read, 800 a second"
    assert len(payloads(settings)) == 1_200


@pytest.mark.servers
def test_a_dry_run_says_what_would_be_shipped_and_touches_nothing(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    config.write_text(config.read_text().replace(settings.kafka.bootstrap_servers, "127.0.0.1:1"))
    (tmp_path / "logs" / "a.trace").write_bytes(event(1))
    planned = ship(config, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert re.search(rf"ezcast +{tmp_path}/logs/a\.trace +0 +28 +not_started\n1 of 1 file with something to ship: 28 B\n", planned.stdout)
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "tailrace.toml"}


@pytest.mark.servers
def test_metrics_and_health_of_a_running_producer(ship: Ship, logs: Path) -> None:
    (logs / "a.log").write_bytes(lines(0, 10) + event(10)[:-5])
    with ship.running(make_source(logs / "*.log")) as shipper:
        monitor = Monitor(
            "ship.monitor", address := free_address(), Answers(lambda: figures.samples(shipper), lambda: figures.health(shipper))
        )
        try:
            eventually(lambda: "tailrace_ship_acknowledged_records_total 10\n" in get(address, "/metrics")[1], "ten records")
            text = get(address, "/metrics")[1]
            [labels] = set(re.findall(r"tailrace_ship_file_lag_bytes(\{.*\})", text))
            assert f'path="{logs}/a.log"' in labels
            for name, value in (("size", 304), ("read", 304), ("acknowledged", 280), ("lag", 24)):
                assert f"tailrace_ship_file_{name}_bytes{labels} {value}\n" in text
            assert 'tailrace_ship_files{source="trace"} 1\n' in text
            status, body = get(address, "/health")
            assert (status, json.loads(body)["status"], json.loads(body)["lag_bytes"]) == (200, "ok", 24)
            shipper.moved_s = time.monotonic() - 1_000
            shipper.saved = False
            assert figures.health(shipper).status != "ok"
            assert get(address, "/nothing")[0] == 404
        finally:
            monitor.stop()


def unwell() -> ShipHealth:
    return ShipHealth(status="nothing moves", files=1, lag_bytes=2, queue_records=3, unreadable_files=0)


def test_what_is_not_well_answers_503_and_addresses_are_checked() -> None:
    monitor = Monitor("ship.monitor", address := free_address(), Answers(list, unwell))
    try:
        assert get(address, "/health")[0] == 503
        with pytest.raises(TailraceError, match=r"cannot answer at ship\.monitor = .*Address already in use"):
            Monitor("ship.monitor", address, Answers(list, unwell))
    finally:
        monitor.stop()
    for wrong in ("9464", "host:port", "127.0.0.1:70000", ":1"):
        with pytest.raises(ConfigError, match=r"ship\.monitor"):
            Monitor("ship.monitor", wrong, Answers(list, unwell))
