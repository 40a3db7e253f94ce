"""`tailrace replay` beside a live pipeline: no gap, nothing double, one generation in sight at any time."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition

from tailrace import generations, kafka
from tailrace.cli import main
from tests.helpers import eventually, read_topic
from tests.system.conftest import MakePipeline, ezcast
from tests.system.pipeline import Pipeline

pytestmark = [pytest.mark.servers, pytest.mark.timeout(400)]

BACKLOG = 20_000
LIVE_EVERY_S, LIVE_LINES = 0.1, 20
LIMIT_S = 120.0


def lines(first: int, last: int) -> bytes:
    """Events of October and November 2016, one every three minutes, by 50 clients."""
    return b"".join(
        b"2016-%02d-%02d-%02d:%02d:00 | session%018d | 10.0.0.%d | student%03d | 3 | view_help\n"
        % (10 + n // 14_000 % 2, 1 + n // 480 % 28, n // 20 % 24, n % 20 * 3, n % 50, n % 50 + 1, n % 50)
        for n in range(first, last)
    )


class Writer(threading.Thread):
    """An application that goes on writing until it is told to stop."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._end = threading.Event()
        self.written = BACKLOG

    def run(self) -> None:
        with self._path.open("ab", buffering=0) as out:
            while not self._end.wait(LIVE_EVERY_S):
                out.write(lines(self.written, self.written + LIVE_LINES))
                self.written += LIVE_LINES

    def stop(self) -> None:
        self._end.set()
        self.join()


class Watcher(threading.Thread):
    """A user who asks again and again: which indices does `ezcast-*` show?"""

    def __init__(self, run: Pipeline) -> None:
        super().__init__(daemon=True)
        self._run = run
        self._end = threading.Event()
        self.mixed: list[list[str]] = []
        self.asked = 0

    def run(self) -> None:
        body: dict[str, Any] = {"size": 0, "aggs": {"indices": {"terms": {"field": "_index", "size": 100}}}}
        while not self._end.wait(0.002):
            found = self._run.search.search(index=self._run.pattern("ezcast"), **body)
            indices = [bucket["key"] for bucket in found.get("aggregations", {}).get("indices", {}).get("buckets", [])]
            self.asked += 1
            if len({name.rpartition("ezcast-")[0] for name in indices}) != 1:
                self.mixed.append(indices)

    def stop(self) -> None:
        self._end.set()
        self.join()


@contextmanager
def started(run: Pipeline, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = run.start(*words)
    try:
        yield process
        if process.poll() is None:
            process.terminate()
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(10)


def tailrace(run: Pipeline, *words: str) -> str:
    """What `tailrace WORDS…` says, in this process: a command's imports take seconds on a busy machine."""
    done = CliRunner().invoke(main, ["--config", str(run.config), *words])
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.stdout


def refused(run: Pipeline, *words: str) -> str:
    done = CliRunner().invoke(main, ["--config", str(run.config), *words])
    assert done.exit_code == 1, (words, done.output, done.exception)
    return done.stderr


def count(run: Pipeline) -> int:
    run.search.indices.refresh(index=run.pattern("ezcast"))
    return int(run.search.count(index=run.pattern("ezcast"))["count"])


def seen(run: Pipeline) -> set[str]:
    """What stands before the index names that users see."""
    return {hit["_index"].removeprefix(run.settings.elasticsearch.index_prefix).rpartition("ezcast-")[0] for hit in run.hits("ezcast")}


def status(run: Pipeline) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(tailrace(run, "replay", "status", "--format", "json"))}


def compared(run: Pipeline, name: str) -> dict[str, Any]:
    (found,) = json.loads(tailrace(run, "replay", "compare", name, "--format", "json"))
    return dict(found)


@pytest.mark.faults
def test_a_replay_beside_live_data(pipeline: MakePipeline, logs: Path) -> None:
    run = pipeline(ezcast=ezcast(logs))
    trace = logs / "2016-10-01.trace"
    trace.write_bytes(lines(0, BACKLOG))
    writer, watcher = Writer(trace), Watcher(run)
    with started(run, "run"):
        eventually(lambda: count(run) >= BACKLOG, "the backlog is searchable", LIMIT_S)
        writer.start()
        watcher.start()
        replay = run.start("replay", "start", "v2")
        eventually(lambda: status(run).get("v2", {}).get("documents", 0) > 1_000, "the replay is in mid-flow", LIMIT_S)
        os.kill(replay.pid, signal.SIGKILL)
        replay.wait(10)
        with started(run, "replay", "start", "v2"):
            before = count(run)
            tailrace(run, "replay", "switch", "v2", "--timeout", f"{LIMIT_S:.0f}s")
            assert count(run) >= before, "what was seen before the switch is seen after it"
            eventually(lambda: count(run) >= before + 100, "live data arrives in the new generation", LIMIT_S)
            writer.stop()
            eventually(lambda: count(run) == writer.written, "everything has arrived", LIMIT_S)
            eventually(lambda: compared(run, "1")["same"], "and in the former one, which is kept up", LIMIT_S)
    watcher.stop()
    assert watcher.asked > 100
    assert not watcher.mixed, "at each moment one generation"
    assert len(run.documents("ezcast")) == writer.written
    assert seen(run) == {"generation-v2-"}
    with trace.open("ab") as out:
        out.write(lines(writer.written, writer.written + 100))
    run.backfill()  # restarted services work for the current generation
    assert len(run.documents("ezcast")) == writer.written + 100
    assert json.loads(tailrace(run, "audit", "--format", "json"))["clean"]
    assert status(run)["1"]["lag"]["parse"] == 100
    assert "behind" in tailrace(run, "replay", "rollback")
    assert len(run.documents("ezcast")) == writer.written
    tailrace(run, "replay", "switch", "v2")
    tailrace(run, "replay", "drop", "--yes")
    assert list(status(run)) == ["v2"]
    assert len(run.documents("ezcast")) == writer.written + 100
    assert json.loads(tailrace(run, "audit", "--format", "json"))["clean"]


def test_generations_are_compared_switched_rolled_back_and_deleted(pipeline: MakePipeline, logs: Path) -> None:
    run = pipeline(ezcast=ezcast(logs))
    (logs / "2016-10-01.trace").write_bytes(lines(0, 1_000) + b"garbage\n")
    run.backfill()
    partition = next(record.partition for record in read_topic(run.settings, "ezcast", "raw") if record.offset == 400)
    assert "no partition 99" in run.run("replay", "start", "part", "--offset", "ezcast:99:0", check=False).stderr
    run.run("replay", "start", "part", "--offset", f"ezcast:{partition}:400", "--once")
    run.run("replay", "start", "again", "--of", "enriched", "--once")
    assert seen(run) == {""}, "new indices are not seen"

    assert compared(run, "again")["same"]
    assert compared(run, "part")["new"]["events"] == 600
    assert "days and kinds differ" in tailrace(run, "replay", "compare", "part")
    assert "--partial" in refused(run, "replay", "switch", "part")
    assert "users see generation 1" in refused(run, "replay", "compare", "1")
    assert "users see generation 1" in refused(run, "replay", "abandon", "1")

    tailrace(run, "replay", "switch", "again")
    assert seen(run) == {"generation-again-"}
    assert compared(run, "1")["differences"] == [], "the first generation is hidden and can be compared still"
    assert json.loads(tailrace(run, "audit", "--format", "json"))["clean"], "its streams and their dead letters are the first generation's"
    assert "are needed" in refused(run, "replay", "drop", "--yes")

    tailrace(run, "replay", "rollback")
    assert seen(run) == {""}
    tailrace(run, "replay", "drop", "--yes")
    tailrace(run, "replay", "abandon", "part")
    assert list(status(run)) == ["1"]
    prefix = run.settings.elasticsearch.index_prefix
    indices = run.search.indices.get(index=f"{prefix}*", expand_wildcards="all", features="aliases")
    assert {name.removeprefix(prefix)[:7] for name in indices} == {"ezcast-"}
    topics = kafka.connect(run.settings.kafka).list_topics(timeout=10).topics
    assert not [topic for topic in topics if topic.startswith(run.settings.kafka.topic_prefix) and (".part" in topic or ".again" in topic)]
    assert json.loads(tailrace(run, "audit", "--format", "json"))["clean"]


def test_a_start_that_was_killed_half_way_leaves_nothing_out(pipeline: MakePipeline, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = pipeline(ezcast=ezcast(logs))
    (logs / "2016-10-01.trace").write_bytes(lines(0, 100))
    run.backfill()
    with monkeypatch.context() as killed:
        killed.setattr(generations, "remember", killed_before)
        done = CliRunner().invoke(main, ["--config", str(run.config), "replay", "start", "v2", "--since", "2100-01-01"])
        assert isinstance(done.exception, Killed)
    run.run("replay", "start", "v2", "--once")
    assert compared(run, "v2")["same"]
    assert "made of raw from start on" in refused(run, "replay", "start", "v2", "--since", "2100-01-01")


class Killed(Exception):
    pass


def killed_before(*_: object) -> None:
    raise Killed


def test_of_three_generations_the_first_goes_and_one_that_lacks_what_was_deleted_needs_a_word(pipeline: MakePipeline, logs: Path) -> None:
    run = pipeline(ezcast=ezcast(logs))
    (logs / "2016-10-01.trace").write_bytes(lines(0, 99) + b"garbage\n" + lines(99, 100))
    run.backfill()
    run.run("replay", "start", "v2", "--once")
    raw = next(record.partition for record in read_topic(run.settings, "ezcast", "raw"))
    gone = TopicPartition(kafka.topic(run.settings.kafka, "ezcast", "raw"), raw, 10)
    admin = kafka.connect(run.settings.kafka)
    admin.delete_records([gone])[gone].result(timeout=10)
    run.run("replay", "start", "v3", "--once")
    tailrace(run, "replay", "switch", "v2")
    assert "the oldest record that Kafka has kept" in refused(run, "replay", "switch", "v3")
    tailrace(run, "replay", "switch", "v3", "--partial")
    assert len(run.documents("ezcast")) == 90
    tailrace(run, "replay", "abandon", "1")
    assert list(status(run)) == ["v2", "v3"]
    month = f"{run.settings.elasticsearch.index_prefix}generation-v2-ezcast-2016.10"
    run.search.indices.close(index=month)
    tailrace(run, "replay", "rollback")
    run.search.indices.open(index=month, wait_for_active_shards=1)
    assert len(run.documents("ezcast")) == 100
    run.run("replay", "start", "v4", "--of", "enriched", "--once")
    tailrace(run, "replay", "abandon", "v4")
    assert json.loads(tailrace(run, "dead", "list", "--format", "json"))["letters"] == 1, "v2's letters are not v4's"
    topics = admin.list_topics(timeout=10).topics
    assert kafka.topic(run.settings.kafka, "ezcast", "events") not in topics, "asking for the status makes nothing anew"
