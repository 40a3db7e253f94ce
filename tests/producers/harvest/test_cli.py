"""The command on a real Kafka: what arrives, what is said, and what a kill leaves behind."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from producers.checkpoint import peek
from producers.harvest import figures, harvester
from producers.harvest.core import Waiting
from producers.reader import DEAD_BYTES
from schemas.place import Place, split_key
from tailrace.cli import main
from tailrace.dead import from_record
from tailrace.settings import Settings
from tests.helpers import Record, eventually, free_address, get, read_topic
from tests.producers.harvest.solr import Handler, SolrServer, event

pytestmark = pytest.mark.servers


@pytest.fixture
def config(tmp_path: Path, settings: Settings, solr: SolrServer) -> Path:
    file = tmp_path / "tailrace.toml"
    file.write_text(
        f'state_dir = "{tmp_path}/state"\n'
        f'[kafka]\nbootstrap_servers = "{settings.kafka.bootstrap_servers}"\ntopic_prefix = "{settings.kafka.topic_prefix}"\n'
        f'[sources.dataone]\nsolr_url = "{solr.url}"\nsolr_rows = 50\nsolr_poll = "1s"\nfields = {{ env = "test" }}\n'
        '[sources.other]\nformat = "json"\npaths = ["/nowhere/*"]\n'
    )
    return file


def harvest(config: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), "harvest", *options])


@contextmanager
def process(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A service in a process of its own, killed at the end."""
    command = [sys.executable, "-m", "tailrace.cli", "--config", str(config), "harvest"]
    with (config.parent / "log").open("ab") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def records(settings: Settings) -> list[Record]:
    try:
        return read_topic(settings, "dataone", "raw")
    except KeyError:  # not created yet
        return []


def arrived(settings: Settings) -> list[str]:
    return [json.loads(record.value or b"")["id"] for record in records(settings)]


def acknowledged(config: Path) -> int:
    return max((entry.offset for entry in peek(config.parent / "state" / "harvest")), default=0)


def test_events_arrive_as_the_log_has_them_under_the_core_and_their_version(
    config: Path, settings: Settings, solr: SolrServer, shared: Path
) -> None:
    lines = (shared / "dataone" / "events.jsonl").read_bytes().splitlines()
    versions: dict[str, int] = {}
    for line in lines:
        document = json.loads(line)
        del document["_version_"]
        [versions[document["id"]]] = solr.add(document)
    solr.commit()
    result = harvest(config, "--once")
    assert result.exit_code == 0, result.output
    found = {json.loads(record.value or b"")["id"]: record for record in records(settings)}
    assert len(found) == len(records(settings)) == len(lines) == 100
    for line in lines:
        expected = json.loads(line)
        id = expected["id"]
        expected.pop("_version_")
        assert found[id].value == json.dumps({**expected, "_version_": versions[id]}).encode()
        place, offset = split_key(found[id].key or b"")
        assert place == Place(place.file, "127.0.0.1", solr.url, {"env": "test"})
        assert offset == versions[id]
    assert acknowledged(config) == max(versions.values())


def test_events_that_are_harvested_late_with_old_dates_arrive_while_it_runs(config: Path, settings: Settings, solr: SolrServer) -> None:
    solr.add(event(1, dateLogged="2018-05-18T00:00:00Z"))
    solr.commit()
    with process(config) as running:
        eventually(lambda: arrived(settings) == ["urn:node:KNB.1"], "the first event")
        solr.now_ms += 40 * 86_400_000
        solr.add(event(2, dateLogged="2011-01-01T00:00:00Z"))
        solr.commit()
        eventually(lambda: len(arrived(settings)) == 2, "an event that is older than all before")
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
    assert arrived(settings).count("urn:node:KNB.2") == 1
    assert acknowledged(config) == max(document["_version_"] for document in solr.documents())


@pytest.mark.faults
def test_killed_in_mid_harvest_again_and_again_it_loses_nothing_and_repeats_under_equal_keys(
    config: Path, settings: Settings, solr: SolrServer
) -> None:
    config.write_text(config.read_text().replace('solr_poll = "1s"', 'solr_poll = "1s"\nsolr_overlap = "1s"'))
    total = 20_000
    for first in range(0, total, 100):
        solr.now_ms += 200  # more than the overlap in each few pages
        solr.add(*(event(number) for number in range(first, first + 100)))
        solr.commit()
    for _ in range(4):
        before = acknowledged(config)
        with process(config):
            eventually(lambda before=before: acknowledged(config) > before, "a new checkpoint")  # type: ignore[misc]
    killed_at = acknowledged(config)
    assert killed_at < max(document["_version_"] for document in solr.documents()), "it was never killed before the end"
    assert harvest(config, "--once").exit_code == 0
    values: dict[bytes, bytes] = {}
    for record in records(settings):
        assert values.setdefault(record.key or b"", record.value or b"") == record.value
    ids = [json.loads(value)["id"] for value in values.values()]
    assert len(ids) == len(set(ids))
    assert set(ids) == {document["id"] for document in solr.documents()}


def test_a_core_that_is_in_trouble_is_waited_for(config: Path, settings: Settings, solr: SolrServer) -> None:
    solr.add(*(event(number) for number in range(120)))
    solr.commit()
    solr.faults.append(lambda it: it.answer(500, b'{"error":{"msg":"heap space"}}'))
    solr.faults.append(lambda it: it.answer(200, b"<html>"))
    with process(config):
        eventually(lambda: len(arrived(settings)) == 120, "all events, after the trouble")
    log = (config.parent / "log").read_text()
    assert "HTTP 500: heap space; trying again" in log
    assert "the answer is not what Solr writes" in log
    assert "answers again" in log


def test_metrics_and_health_of_a_running_harvester_which_sighup_ends(config: Path, settings: Settings, solr: SolrServer) -> None:
    def overloaded(it: Handler) -> None:
        solr.faults.append(overloaded)
        it.answer(503, b"")

    config.write_text(config.read_text() + f'[harvest]\nmonitor = "{(address := free_address())}"\n')
    solr.add(*(event(number) for number in range(120)))
    solr.commit()
    with process(config) as running:
        eventually(lambda: len(arrived(settings)) == 120, "all events")
        told = 'tailrace_harvest_acknowledged_records_total{source="dataone"} 120\n'
        eventually(lambda: told in get(address, "/metrics")[1], "all events are acknowledged")
        assert 'tailrace_harvest_waiting_since_seconds{source="dataone"} 0\n' in get(address, "/metrics")[1]
        status, body = get(address, "/health")
        assert (status, json.loads(body)) == (200, {"status": "ok", "documents": 120, "queue_records": 0})
        solr.faults.append(overloaded)
        waiting = re.compile(r'tailrace_harvest_waiting_since_seconds\{source="dataone"\} [1-9]')
        eventually(lambda: waiting.search(get(address, "/metrics")[1]), "the core is waited for")
        running.send_signal(signal.SIGHUP)
        assert running.wait(20) == 0


def test_health_says_all_that_is_wrong() -> None:
    core = SimpleNamespace(documents=3, waiting=Waiting(time.time() - 70, "HTTP 503"), address=SimpleNamespace(url="http://solr/core"))
    unwell: Any = SimpleNamespace(cores=[core], publisher=SimpleNamespace(queued=2), moved_s=time.monotonic() - 70, saved=False)
    status = figures.health(unwell).status
    for words in ("Solr at http://solr/core has given no usable answer for 70 s: HTTP 503", "2 records wait for Kafka", "checkpoint"):
        assert words in status


def test_a_stop_does_not_wait_for_a_core_that_hangs(config: Path, solr: SolrServer) -> None:
    asked, free = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked.set()
        free.wait(30)

    solr.faults.append(hang)
    with process(config) as running:
        assert asked.wait(20)
        running.send_signal(signal.SIGTERM)
        assert running.wait(5) == 0
    free.set()


@pytest.mark.parametrize(
    ("setting", "code", "message"),
    [
        ("solr_url = 'http://127.0.0.1:1/solr/event_core'", 69, "gave no usable answer"),
        ("solr_url = '{url}x'", 1, "HTTP 404.*check solr_url and solr_filter"),
        ("solr_url = '{url}'\nsolr_filter = 'nodeId:['", 1, "Cannot parse"),
        ("solr_url = 'event_core'", 78, "sources.dataone.solr_url.*is no URL of a core"),
        ("solr_url = 'http://me:secret@127.0.0.1/solr/event_core'", 78, "solr_username"),
        ("solr_url = '{url}'\nsolr_poll = '0s'", 78, "solr_poll"),
        ("solr_url = '{url}'\nsolr_overlap = 'long'", 78, "sources.dataone.solr_overlap"),
        ("paths = ['/nowhere/*']", 78, "no source names a Solr core"),
    ],
)
def test_a_harvest_that_cannot_be_done_ends_and_says_why(config: Path, solr: SolrServer, setting: str, code: int, message: str) -> None:
    head, _, _ = config.read_text().partition("[sources.dataone]")
    config.write_text(f"{head}[sources.dataone]\n{setting.format(url=solr.url)}\n")
    result = harvest(config, "--once", "--wait", "0s")
    assert result.exit_code == code, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert re.search(message, line), line


def test_a_source_without_a_core_is_refused_by_name(config: Path) -> None:
    result = harvest(config, "--once", "--source", "other")
    assert result.exit_code == 78
    assert "sources.other.solr_url is missing" in result.stderr


def test_a_wrong_password_ends_a_backfill(config: Path, solr: SolrServer) -> None:
    solr.authorization = "Basic eDp5"
    result = harvest(config, "--once")
    assert result.exit_code == 77
    assert "check solr_username and solr_password_file" in result.stderr


def test_an_event_that_no_topic_takes_is_a_dead_letter(
    config: Path, settings: Settings, solr: SolrServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harvester, "MAX_RECORD_BYTES", 1000)
    versions = solr.add(event(1), event(2, pid="x" * 2000), event(3))
    solr.commit()
    assert harvest(config, "--once").exit_code == 0
    assert sorted(arrived(settings)) == ["urn:node:KNB.1", "urn:node:KNB.3"]
    [dead] = [from_record(record.key, record.value, record.headers) for record in read_topic(settings, "dataone", "dead")]
    assert (dead.stage, dead.reason) == ("ship", "record_too_large")
    assert split_key(dead.key or b"")[1] == versions[1]
    assert b'"id": "urn:node:KNB.2"' in dead.payload[:DEAD_BYTES]
    assert acknowledged(config) == versions[2]


def test_another_filter_starts_from_the_beginning(config: Path, settings: Settings, solr: SolrServer) -> None:
    solr.add(event(1, nodeId="urn:node:DRYAD"))
    solr.now_ms += 86_400_000
    solr.add(event(2))
    solr.commit()
    whole = config.read_text()
    config.write_text(whole.replace("solr_rows = 50", "solr_rows = 50\nsolr_filter = 'nodeId:\"urn:node:KNB\"'"))
    assert harvest(config, "--once").exit_code == 0
    assert arrived(settings) == ["urn:node:KNB.2"]
    config.write_text(whole)
    assert harvest(config, "--once").exit_code == 0
    assert set(arrived(settings)) == {"urn:node:KNB.1", "urn:node:KNB.2"}


def test_going_back_in_time_sends_again_under_the_same_keys(config: Path, settings: Settings, solr: SolrServer) -> None:
    solr.add(event(1))
    solr.now_ms += 2 * 86_400_000
    solr.add(event(2))
    solr.commit()
    assert harvest(config, "--once").exit_code == 0
    assert harvest(config, "--once", "--since", "2018-05-01").exit_code == 0
    keys = [record.key for record in records(settings)]
    assert len(keys) == 4
    assert len(set(keys)) == 2
