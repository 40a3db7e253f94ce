"""What operators meet, on real files and a real Kafka. Numbers are those of the table in producers/README.md."""

import os
import resource
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from producers import content, discovery
from producers.checkpoint import Store
from producers.reader import CHUNK_BYTES, Reader, sign
from producers.ship import Shipper
from schemas.identity import file_id
from schemas.place import split_key
from tailrace import kafka
from tailrace.errors import TailraceError
from tailrace.settings import Settings
from tests.helpers import eventually, read_topic
from tests.producers.conftest import Ship, append, event, lines, make_source, records, shipped
from tests.producers.test_cli import configure, payloads
from tests.producers.topics import Topic

Quick = Callable[[str, float], None]


@pytest.mark.servers
def test_05_a_stale_writer_leaves_no_line_of_nuls(ship: Ship, logs: Path) -> None:
    """The log is cut to nothing again and again while its writer goes on at its old offset."""
    path, source = logs / "a.log", make_source(logs / "a.log")
    path.touch()
    written: list[bytes] = []
    with path.open("r+b", buffering=0) as writer, ship.running(source):
        for turn in range(3):
            written.append(lines(10 * turn, 10 * turn + 5))
            writer.write(written[-1])
            shipped(ship, *written)
            os.truncate(path, 0)
    with path.open("r+b") as writer:
        writer.seek(10_000)
        written.append(event(99))
        writer.write(written[-1])
    assert path.read_bytes().startswith(bytes(10_000))
    ship.once(source)
    ship.once(source)
    shipped(ship, *written)


@pytest.mark.servers
def test_16_the_unterminated_end_of_a_sealed_file_is_shipped_once_and_gives_way_to_the_whole_line(ship: Ship, logs: Path) -> None:
    path, source = logs / "monday.log", make_source(logs / "*.log", torn_timeout_s=0.5)
    path.write_bytes(event(1) + event(2)[:-1])
    with ship.running(source) as shipper:
        shipped(ship, event(1), event(2))
        [file] = shipper._registry.files
        grown_s = file.grown_s
        eventually(lambda: shipper._due["scan"] > grown_s + 3, "more looks at the file")
        shipped(ship, event(1), event(2))
    last = read_topic(ship.settings, "trace", "raw")[-1]
    place, offset = split_key(last.key or b"")
    assert (place.torn, offset) == (True, len(event(1)))
    assert ship.checkpoint()["monday.log"].offset == len(event(1))
    append(path, b"\n")
    ship.once(source)
    assert [(split_key(record.key or b"")[0].torn, record.value) for record in read_topic(ship.settings, "trace", "raw")] == [
        (False, event(1)[:-1]),
        (True, event(2)[:-1]),
        (False, event(2)[:-1]),
    ]


@pytest.mark.servers
def test_17_yesterdays_file_is_read_beside_todays(ship: Ship, logs: Path) -> None:
    (logs / "monday.log").write_bytes(lines(0, 3))
    with ship.running(make_source(logs / "*.log")):
        written = [lines(0, 3)]
        for turn in range(1, 4):
            for number, day in ((0, "monday"), (1000, "tuesday")):
                written.append(lines(number + 10 * turn, number + 10 * turn + 3))
                append(logs / f"{day}.log", written[-1])
            shipped(ship, *written)


@pytest.mark.servers
def test_27_a_topic_that_is_deleted_ends_it_with_the_reason_and_acknowledges_nothing(ship: Ship, logs: Path) -> None:
    path, topic = logs / "a.log", kafka.topic(ship.settings.kafka, "trace", "raw")
    path.write_bytes(lines(0, 3))
    impatient = {"topic.metadata.propagation.max.ms": 500, "topic.metadata.refresh.interval.ms": 500}
    with pytest.raises(TailraceError, match="does not exist any more"):
        _delete_while_shipping(ship, path, topic, impatient)
    assert ship.checkpoint()["a.log"].offset == len(lines(0, 3))


def _delete_while_shipping(ship: Ship, path: Path, topic: str, overrides: dict[str, int]) -> None:

    with ship.running(make_source(path), **overrides) as shipper:
        shipped(ship, lines(0, 3))
        eventually(lambda: next(iter(shipper._registry.files)).acknowledged == len(lines(0, 3)), "all is acknowledged")
        admin = kafka.connect(ship.settings.kafka)
        admin.delete_topics([topic], operation_timeout=10)[topic].result(20)
        eventually(lambda: _is_gone(ship, topic), "the topic is gone")
        append(path, event(3))
        eventually(lambda: "shipper" not in {thread.name for thread in threading.enumerate()}, "shipping ends", 40)


def _is_gone(ship: Ship, topic: str) -> bool:
    try:
        return topic not in kafka.connect(ship.settings.kafka).list_topics(timeout=5).topics
    except KafkaException:
        return False


@pytest.mark.servers
def test_31_200_files_under_a_limit_of_100_descriptors_are_read_exactly_once(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    for number in range(200):
        (tmp_path / "logs" / f"{number}.trace").write_bytes(event(2 * number) + event(2 * number + 1))
    command = [sys.executable, "-m", "tailrace.cli", "--config", str(config), "ship", "--once"]
    for _ in range(2):
        done = subprocess.run(
            command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)), capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
    assert sorted(payloads(settings)) == sorted(records(lines(0, 400)))
    store = Store(tmp_path / "state" / "ship")
    assert len(store.load()) == 200
    store.close()


@pytest.mark.servers
def test_31_a_backfill_with_nothing_to_do_waits_for_nothing_between_files(
    ship: Ship, logs: Path, monkeypatch: pytest.MonkeyPatch, quick: Quick
) -> None:
    for module in ("ship", "registry"):
        monkeypatch.setattr(f"producers.{module}.MAX_OPEN", 2)
    for number in range(20):
        (logs / f"{number}.log").write_bytes(event(number))
    ship.once(make_source(logs / "*.log"))
    quick("IDLE_S", 5.0)
    began_s = time.monotonic()
    ship.once(make_source(logs / "*.log"))
    assert time.monotonic() - began_s < 10
    shipped(ship, lines(0, 20))


@pytest.mark.servers
@pytest.mark.parametrize("stopped", [False, True])
def test_32_a_share_that_vanishes_goes_on_where_it_was_when_it_is_back(ship: Ship, logs: Path, quick: Quick, stopped: bool) -> None:
    quick("GONE_S", 0.2)
    source, away = make_source(logs / "*.log"), logs.with_name("away")
    for name, number in (("a", 0), ("b", 100)):
        (logs / f"{name}.log").write_bytes(lines(number, number + 5) + event(number + 5)[:7])
    with ship.running(source) as shipper:
        shipped(ship, lines(0, 5), lines(100, 105))
        logs.rename(away)
        eventually(lambda: all(file.finished for file in shipper._registry.files), "both files are let go of")
        if not stopped:
            away.rename(logs)
            _complete_both(ship, logs)
    if stopped:
        with ship.running(source):
            pass
        away.rename(logs)
        with ship.running(source):
            _complete_both(ship, logs)


def _complete_both(ship: Ship, logs: Path) -> None:
    """Halves of lines were shipped as torn when the files went; the whole ones take their place."""
    for name, number in (("a", 5), ("b", 105)):
        append(logs / f"{name}.log", event(number)[7:])
    whole = [value for begin in (0, 100) for value in records(lines(begin, begin + 6))]
    eventually(lambda: set(whole) <= set(ship.values()), "the lines are complete")
    sent = [record.value for record in read_topic(ship.settings, "trace", "raw") if not split_key(record.key or b"")[0].torn]
    assert sorted(sent, key=str) == sorted(whole, key=str)


@pytest.mark.servers
def test_38_offsets_beyond_4_gib_are_those_of_the_keys_and_the_checkpoint(ship: Ship, logs: Path) -> None:
    path, begin = logs / "a.log", 5 * 2**30
    with path.open("wb") as file:
        file.seek(begin)
        file.write(lines(0, 3))
    ship.once(make_source(path))
    append(path, event(3))
    ship.once(make_source(path))
    shipped(ship, lines(0, 4))
    assert min(offset for _, offset in ship.places()) == begin
    assert ship.checkpoint()["a.log"].offset == begin + len(lines(0, 4))


def test_39_a_backlog_leaves_every_other_file_its_turn(tmp_path: Path, logs: Path) -> None:
    backlog = b"".join(event(number % 80_000, "b" * 150) for number in range(20_000))
    (logs / "a.log").write_bytes(backlog)
    (logs / "live.log").write_bytes(event(1, "live"))
    topic, store = Topic(), Store(tmp_path / "state")
    shipper = Shipper([make_source(logs / "*.log", start=None)], "host", topic, store, once=False)  # type: ignore[arg-type]
    shipper._scan()
    for turn in range(1, 4):
        assert shipper._round(0.0)
        assert (event(turn, "live")[:-1]) in {value for _, value in topic.records}
        [read] = [file.reader.position for file in shipper._registry.files if file.found.path.endswith("a.log")]
        assert read <= turn * CHUNK_BYTES < len(backlog)
        append(logs / "live.log", event(turn + 1, "live"))
    for file in shipper._registry.files:
        file.reader.close()
    store.close()


def test_39_reading_a_backlog_takes_bounded_memory(tmp_path: Path) -> None:
    path, chunk = tmp_path / "a.log", b"".join(event(number, "b" * 150) for number in range(5000))
    with path.open("wb") as file:
        for _ in range(40):
            file.write(chunk)
    reader = Reader(make_source(), 0)
    reader.open(content.open_file(path))
    tracemalloc.start()
    try:
        while not reader.at_end:
            reader.read(0.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        reader.close()
    assert reader.position > 30_000_000
    assert peak < 8 * CHUNK_BYTES


@pytest.mark.servers
@pytest.mark.parametrize("what", ["rename", "delete", "folder"])
@pytest.mark.parametrize("when", ["stat", "open"])
def test_40_what_is_renamed_or_deleted_during_the_scan_itself_is_no_error_and_not_read_again(
    ship: Ship, logs: Path, monkeypatch: pytest.MonkeyPatch, what: str, when: str
) -> None:
    folder = logs / "one"
    folder.mkdir()
    path = folder / "a.log"
    really, happened = getattr(os, when), []

    def racing(at: str, *args: object, **more: object) -> object:
        if str(at) == str(path) and not happened:
            happened.append(what)
            if what == "rename":
                path.rename(folder / "b.log")
            elif what == "delete":
                path.unlink()
            else:
                folder.rename(logs / "two")
        return really(at, *args, **more)

    known = when == "stat"  # opened is what is not known yet
    if known:
        path.write_bytes(lines(0, 5))
    with ship.running(make_source(logs / "*" / "*.log")):
        if known:
            shipped(ship, lines(0, 5))
        monkeypatch.setattr(discovery.os if known else content.os, when, racing)
        if not known:
            (folder / "new").write_bytes(lines(0, 5))
            (folder / "new").rename(path)
        eventually(lambda: happened, "the scan met it")
        if what == "delete":
            path.write_bytes(lines(10, 15))
        else:
            append(next(logs.glob("*/*.log")), event(5))
        shipped(ship, *([lines(0, 5)] if known or what != "delete" else []), lines(10, 15) if what == "delete" else event(5))


@pytest.mark.servers
def test_41_a_checkpoint_of_the_first_version_keeps_its_offsets(ship: Ship, logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(lines(0, 5))
    signature = sign(lines(0, 3))
    body = (
        f'[{{"source":"trace","file":"{file_id(event(0))}","path":"{path}","offset":{signature.length},'
        f'"signed":{signature.length},"signature":"{signature.digest}"}}]'
    ).encode()
    ship.state.mkdir(parents=True)
    (ship.state / "checkpoint").write_bytes(b"tailrace-checkpoint 1 %s\n%s" % (blake2b(body, digest_size=16).hexdigest().encode(), body))
    ship.once(make_source(path))
    assert ship.values() == records(lines(3, 5))


@pytest.mark.servers
def test_42_a_file_closed_while_the_output_is_slow_is_opened_again_at_the_read_offset(
    ship: Ship, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.ship.MAX_OPEN", 2)
    monkeypatch.setattr("producers.registry.MAX_OPEN", 2)
    written = []
    with ship.running(make_source(logs / "*.log"), **{"queue.buffering.max.messages": 20, "linger.ms": 50}) as shipper:
        for turn in range(4):
            for number in range(6):
                first = 10_000 * number + 100 * turn
                written.append(lines(first, first + 60))
                append(logs / f"{number}.log", written[-1])
            eventually(lambda: sum(file.reader.position for file in shipper._registry.files) > 0, "reading goes on")
        shipped(ship, *written)
        assert sum(file.reader.is_open for file in shipper._registry.files) <= 2
