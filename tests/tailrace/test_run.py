"""`tailrace run` without its children: what it starts, when a backfill is over, and what it shows."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from tailrace import kafka
from tailrace.cli import main
from tailrace.display import Display, Rates, Row, plain, rows
from tailrace.errors import Incomplete
from tailrace.progress import Progress, Stage
from tailrace.run import Backfill, commands
from tailrace.settings import Settings


def progress(*done: int, total: int = 10, began: float = 0.0, documents: int = 0, dead: int = 0) -> Progress:
    stages = tuple(Stage(name, count, total) for name, count in zip(("parse", "sessionize", "sink"), done, strict=True))
    return Progress(began, stages, documents, Counter({("ezcast", "parse", "invalid_time"): dead}) if dead else Counter())


class TestCommands:
    def started(self, *words: str, workers: int = 1, once: bool = False) -> dict[str, list[str]]:
        with click.Context(main, obj=Path("some.toml")) as context:
            context.params["log_level"] = "warning"
            return commands(list(words), 15.0, workers, once, "v2")

    def test_four_processes_with_the_same_configuration(self) -> None:
        found = self.started("ezcast")
        assert list(found) == ["ship", "parse", "sessionize", "sink"]
        start = [sys.executable, "-m", "tailrace.cli", "--config", "some.toml", "--log-level", "warning"]
        end = ["--source", "ezcast", "--wait", "15.0s"]
        assert found["ship"] == [*start, "ship", *end]
        assert found["sessionize"] == [*start, "stream", "sessionize", *end, "--generation", "v2"]

    def test_once_concerns_only_the_producer(self) -> None:
        found = self.started("ezcast", once=True)
        assert [name for name, command in found.items() if "--once" in command] == ["ship"]

    def test_a_source_with_a_core_is_harvested_too(self) -> None:
        with click.Context(main, obj=None):
            found = commands(["ezcast", "dataone"], 15.0, 1, True, "1", cores=["dataone"])
        assert list(found) == ["ship", "harvest", "parse", "sessionize", "sink"]
        assert found["harvest"][-6:] == ["harvest", "--once", "--source", "dataone", "--wait", "15.0s"]
        assert [name for name, command in found.items() if "--once" in command] == ["ship", "harvest"]

    def test_workers_are_numbered(self) -> None:
        assert list(self.started("ezcast", workers=2)) == ["ship", "parse", "parse-2", "sessionize", "sessionize-2", "sink", "sink-2"]


class TestBackfill:
    def test_over_when_shipped_and_nothing_on_its_way(self) -> None:
        backfill = Backfill(60)
        assert not backfill.over(False, progress(10, 10, 10, began=1), now=1)
        assert not backfill.over(True, progress(10, 10, 9, began=3), now=2)
        assert backfill.over(True, progress(10, 10, 10, began=3), now=4)

    def test_figures_from_before_the_producer_ended_do_not_count(self) -> None:
        backfill = Backfill(60)
        assert not backfill.over(True, progress(10, 10, 10, began=4.9), now=5)
        assert backfill.over(True, progress(10, 10, 10, began=5), now=6)

    def test_nothing_shipped_is_over_at_once(self) -> None:
        assert Backfill(60).over(True, progress(0, 0, 0, total=0, began=1), now=1)

    def test_says_what_is_missing_when_nothing_moves(self) -> None:
        backfill = Backfill(60)
        assert not backfill.over(True, progress(10, 8, 3), now=0)
        assert not backfill.over(True, progress(10, 8, 3), now=60)
        with pytest.raises(Incomplete, match=r"60 s: sessionize has 2 of 10 records to go; sink has 7 of 10 records to go\."):
            backfill.over(True, progress(10, 8, 3), now=61)

    def test_names_the_producer_when_it_is_the_one_that_hangs(self) -> None:
        backfill = Backfill(60)
        assert not backfill.over(False, None, now=0)
        with pytest.raises(Incomplete, match="the producer has not finished; no figures could be had"):
            backfill.over(False, None, now=61)

    def test_any_movement_starts_the_wait_anew(self) -> None:
        backfill = Backfill(60)
        for second, done in enumerate(range(8), start=1):
            assert not backfill.over(True, progress(10, 10, done), now=second * 59.0)


class TestRows:
    def test_from_shipped_to_searchable(self) -> None:
        shown = rows(progress(9, 5, 2, documents=1, dead=3), Rates(), now=0)
        assert [(row.stage, row.done, row.lag, row.dead) for row in shown] == [
            ("ship", 10, None, 0),
            ("parse", 9, 1, 3),
            ("sessionize", 5, 5, 0),
            ("sink", 2, 8, 0),
            ("searchable", 1, None, None),
        ]

    def test_a_plain_line_names_every_stage(self) -> None:
        shown = [Row("ship", 1200), Row("parse", 1000, 1200, rate=50.0, dead=1), Row("searchable", 900)]
        assert plain(shown) == "ship 1,200 · parse 1,000/1,200 (50/s, 0:04 left) · searchable 900 · 1 dead letter"

    def test_a_rate_is_the_average_of_the_last_seconds(self) -> None:
        rates = Rates()
        assert rates.rate("a", 0, now=0) == 0
        assert rates.rate("a", 100, now=1) == 100
        for second in range(2, 31):
            last = rates.rate("a", 100, now=second)
        assert last == 0

    def test_a_pipe_gets_a_line_only_now_and_then(self, capsys: pytest.CaptureFixture[str]) -> None:
        with Display("title", plain_every_s=3600) as display:
            display.show([Row("ship", 1)])
            display.show([Row("ship", 2)])
            display.show([Row("ship", 3)], at_once=True)
            display.say("hello")
        assert [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()] == [
            "ship 1 · 0 dead letters",
            "ship 3 · 0 dead letters",
            "",
        ]


@pytest.mark.parametrize("words", [["run"], ["run", "--once"]])
def test_missing_servers_are_one_line_and_exit_code_69(words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAILRACE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = CliRunner().invoke(main, [*words, "--wait", "0s"])
    assert result.exit_code == 69
    assert result.stderr.startswith("error: Kafka does not answer at 127.0.0.1:1 ")
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_source_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["run", "--source", "nosuch"])
    assert result.exit_code == 2
    assert "nosuch is not configured; configured: ezcast, dataone" in result.stderr


class TestRun:
    """The command on real servers, with children that pretend."""

    @pytest.fixture(autouse=True)
    def _environment(self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TAILRACE_KAFKA_BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers)
        monkeypatch.setenv("TAILRACE_KAFKA_TOPIC_PREFIX", settings.kafka.topic_prefix)
        monkeypatch.setenv("TAILRACE_ELASTICSEARCH_URL", settings.elasticsearch.url)
        monkeypatch.setenv("TAILRACE_ELASTICSEARCH_INDEX_PREFIX", settings.elasticsearch.index_prefix)

    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        def run(ship: str, *words: str) -> Result:
            pretended = {"ship": ship, "parse": "import time; time.sleep(600)"}
            monkeypatch.setattr(
                "tailrace.run.commands", lambda *_, **__: {name: [sys.executable, "-c", code] for name, code in pretended.items()}
            )
            return CliRunner().invoke(main, ["run", "--source", "ezcast", *words])

        return run

    def test_once_ends_well_when_all_is_through(self, run: Callable[..., Result]) -> None:
        result = run("", "--once")
        assert result.exit_code == 0, result.output
        assert "0 records shipped, 0 documents searchable, 0 dead letters" in result.stderr

    def test_once_fails_when_not_all_could_be_shipped(self, run: Callable[..., Result]) -> None:
        result = run("print('error: cannot read a.trace'); raise SystemExit(1)", "--once")
        assert result.exit_code == 1
        assert "ship  | error: cannot read a.trace" in result.stderr
        assert "not everything could be shipped" in result.stderr

    def test_once_says_what_is_missing_when_nothing_moves(self, run: Callable[..., Result], settings: Settings) -> None:
        kafka.ensure_topics(kafka.connect(settings.kafka, wait_s=10), settings.kafka, ["ezcast"])
        producer = Producer(kafka.producer_config(settings.kafka))
        producer.produce(kafka.topic(settings.kafka, "ezcast", "raw"), b"a record that nobody reads")
        assert producer.flush(20) == 0
        result = run("", "--once", "--timeout", "2s")
        assert result.exit_code == 1
        assert "nothing has moved for 2 s: parse has 1 of 1 records to go." in result.stderr

    def test_a_configuration_that_a_child_refuses_is_the_exit_code(self, run: Callable[..., Result]) -> None:
        result = run("print('error: sources.ezcast.paths'); raise SystemExit(78)")
        assert result.exit_code == 78
        assert "ship cannot run with this configuration; the last it said: error: sources.ezcast.paths" in result.stderr

    @pytest.mark.parametrize(("words", "code"), [((), 0), (("--once",), 1)])
    def test_sigterm_ends_a_service_well_and_a_backfill_unfinished(
        self, run: Callable[..., Result], words: tuple[str, ...], code: int
    ) -> None:
        result = run("import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)", *words)
        assert result.exit_code == code, result.output
        assert ("stopped before everything was searchable" in result.stderr) == bool(code)
