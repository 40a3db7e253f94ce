"""Real files, a real Kafka. Numbers in names are those of the table of situations in producers/README.md."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from producers.checkpoint import peek
from producers.publish import Publisher
from producers.ship import Shipper
from schemas.heartbeat import Heartbeat, HostBeat, decode_any
from schemas.identity import file_id
from schemas.place import split_key
from tailrace import kafka
from tailrace.dead import from_record
from tailrace.errors import Incomplete
from tests.helpers import eventually, read_topic
from tests.producers.conftest import Ship, append, event, lines, make_source, records, shipped

pytestmark = pytest.mark.servers


def test_19_payloads_are_the_bytes_of_the_file(ship: Ship, logs: Path) -> None:
    content = b"caf\xe9 \x00 \xff\xfe\n" + "lone\rCR, NEL \x85, \u2028, \x0b\x0c\n".encode() + b"\n" + b"crlf\r\n" + "é\n".encode()
    (logs / "a.trace").write_bytes(content)
    ship.once(make_source(logs / "*.trace", start=None))
    assert ship.values() == content.split(b"\n")[:-1]


def test_events_of_several_lines_are_one_record_in_one_partition(ship: Ship, logs: Path) -> None:
    content = b"orphan\n" + event(1) + b"second | line\r\n" + event(2) + event(3) + b"last\n"
    (logs / "a.trace").write_bytes(content)
    ship.once(make_source(logs / "*.trace"))
    found = read_topic(ship.settings, "trace", "raw")
    assert [record.value for record in found] == [
        b"orphan",
        event(1) + b"second | line\r",
        event(2)[:-1],
        event(3) + b"last",
    ]
    places = [split_key(record.key or b"") for record in found]
    assert [offset for _, offset in places] == [0, 7, 7 + len(event(1)) + 15, 7 + len(event(1)) + 15 + len(event(2))]
    assert {place.file for place, _ in places} == {file_id(b"orphan\n")}
    assert {(place.host, place.path, place.torn) for place, _ in places} == {("test-host", str(logs / "a.trace"), False)}
    assert ship.checkpoint()["a.trace"].offset == len(content)


def test_records_are_spread_where_order_does_not_matter(ship: Ship, logs: Path) -> None:
    for number in range(8):
        (logs / f"{number}.trace").write_bytes(event(number))
    ship.once(make_source(logs / "*.trace", ordered_by_file=False))
    assert {record.partition for record in read_topic(ship.settings, "trace", "raw")} == {0, 1, 2, 3}


def test_01_renamed_and_replaced_between_two_looks(ship: Ship, logs: Path) -> None:
    path, old = logs / "a.log", lines(0, 3)
    path.write_bytes(old)
    with ship.running(make_source(logs / "a.log*")):
        shipped(ship, old)
        late, new = event(3), lines(10, 13)
        path.rename(logs / "a.log.1")
        append(logs / "a.log.1", late)
        path.write_bytes(new)
        shipped(ship, old, late, new)
    keys = {split_key(record.key or b"")[0].path for record in read_topic(ship.settings, "trace", "raw")}
    assert keys == {str(path)}, "keys keep the path under which a file was first seen"


def test_03_renamed_to_where_no_glob_looks_and_replaced_between_two_looks(
    ship: Ship, logs: Path, quick: Callable[[str, float], None]
) -> None:
    quick("GONE_S", 0.3)
    path, old = logs / "a.log", lines(0, 3)
    path.write_bytes(old)
    with ship.running(make_source(path)) as shipper:
        shipped(ship, old)
        path.rename(logs / "moved")
        append(logs / "moved", event(5))
        path.write_bytes(lines(10, 12))
        shipped(ship, old, event(5), lines(10, 12))
        eventually(lambda: any(file.gone and not file.reader.is_open for file in shipper._registry.files), "the old file is closed")


def test_03_several_rotations_between_two_looks_skip_no_file(ship: Ship, logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(lines(0, 3))
    with ship.running(make_source(logs / "a.log*")):
        shipped(ship, lines(0, 3))
        for first in (10, 20, 30):
            _rotate_chain(logs)
            path.write_bytes(lines(first, first + 3))
            append(logs / "a.log.1", event(first - 7))
        shipped(ship, *(lines(first, first + 4) for first in (0, 10, 20)), lines(30, 33))


def test_02_a_chain_that_rotates_three_times_while_stopped_resumes_each_file_at_its_own_offset(ship: Ship, logs: Path) -> None:
    source, path = make_source(logs / "a.log*"), logs / "a.log"
    for first in (0, 10, 20):
        if path.exists():
            _rotate_chain(logs)
        path.write_bytes(lines(first, first + 3))
    ship.once(source)
    for first in (30, 40, 50):
        append(path, event(first - 7))
        _rotate_chain(logs)
        path.write_bytes(lines(first, first + 3))
    ship.once(source)
    shipped(ship, lines(0, 3), lines(10, 13), *(lines(first, first + 4) for first in (20, 30, 40)), lines(50, 53))
    assert len(peek(ship.state)) == 6


def _rotate_chain(logs: Path) -> None:
    """a.log becomes a.log.1, that a.log.2, and so on."""
    for number in range(len(list(logs.glob("a.log.*"))), 0, -1):
        (logs / f"a.log.{number}").rename(logs / f"a.log.{number + 1}")
    (logs / "a.log").rename(logs / "a.log.1")


def test_11_a_new_file_on_the_inode_of_a_deleted_one_is_read_from_its_start(ship: Ship, logs: Path) -> None:
    source, path = make_source(logs / "*.log"), logs / "a.log"
    path.write_bytes(lines(0, 3))
    ship.once(source)
    inode = path.stat().st_ino
    path.unlink()
    for number in range(20):
        path.write_bytes(lines(10, 20))
        if path.stat().st_ino == inode:
            break
        path.rename(logs / f"other {number}")
    else:
        pytest.skip("this file system does not use an inode again at once")
    ship.once(source)
    shipped(ship, lines(0, 3), lines(10, 20))
    assert {file for file, _ in ship.places()} == {file_id(event(0)), file_id(event(10))}


def test_14_half_a_line_across_a_restart_is_shipped_once_and_whole(ship: Ship, logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(event(1) + event(2)[:12])
    with ship.running(make_source(path)):
        shipped(ship, event(1))
    assert ship.checkpoint()["a.log"].offset == len(event(1))
    append(path, event(2)[12:])
    with ship.running(make_source(path)):
        shipped(ship, event(1), event(2))


def test_a_backfill_ships_the_torn_end_and_leaves_the_checkpoint_before_it(
    ship: Ship, logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = logs / "a.log"
    path.write_bytes(event(1) + event(2)[:-3])
    ship.once(make_source(path))
    assert "in the middle of a line" in caplog.text
    last = read_topic(ship.settings, "trace", "raw")[-1]
    place, offset = split_key(last.key or b"")
    assert (place.torn, offset, last.value) == (True, len(event(1)), event(2)[:-3])
    assert ship.checkpoint()["a.log"].offset == len(event(1))
    append(path, event(2)[-3:])
    ship.once(make_source(path))
    place, offset = split_key(read_topic(ship.settings, "trace", "raw")[-1].key or b"")
    assert (place.torn, offset) == (False, len(event(1)))


def test_08_files_that_begin_alike_are_both_read_under_ids_that_last(ship: Ship, logs: Path) -> None:
    source, banner = make_source(logs / "*.log", start=None), b"#Version: 1.0\n" * 100
    (logs / "a.log").write_bytes(banner + b"a1\n")
    (logs / "b.log").write_bytes(banner + b"b1\n")
    ship.once(source)
    ids = {name: entry.file for name, entry in ship.checkpoint().items()}
    assert set(ids.values()) == {file_id(b"#Version: 1.0\n"), file_id(b"#Version: 1.0\n", 1)}
    append(logs / "a.log", b"a2\n")
    append(logs / "b.log", b"b2\n")
    (logs / "a.log").rename(logs / "z.log")
    ship.once(source)
    assert {name: entry.file for name, entry in ship.checkpoint().items()} == ids
    shipped(ship, banner + b"a1\na2\n", banner + b"b1\nb2\n")


def test_08_files_that_differ_only_later_are_told_apart_when_they_do(ship: Ship, logs: Path) -> None:
    (logs / "a.log").write_bytes(b"#banner\n")
    (logs / "b.log").write_bytes(b"#banner\n")
    with ship.running(make_source(logs / "*.log", start=None)):
        shipped(ship, b"#banner\n")
        append(logs / "a.log", b"a\n")
        append(logs / "b.log", b"b\n")
        eventually(lambda: {b"a", b"b"} <= set(ship.values()), "both files are read")


def test_copies_links_and_excluded_files_are_not_read(ship: Ship, logs: Path) -> None:
    (logs / "a.log").write_bytes(lines(0, 5))
    shutil.copy(logs / "a.log", logs / "copy.log")
    (logs / "part.log").write_bytes(lines(0, 3))
    os.link(logs / "a.log", logs / "hard.log")
    (logs / "soft.log").symlink_to(logs / "a.log")
    (logs / "sub").mkdir()
    (logs / "sub" / "deep.log").write_bytes(lines(10, 12))
    (logs / "no.log").write_bytes(lines(20, 22))
    ship.once(make_source(logs / "**" / "*.log", exclude=(str(logs / "no*"),)))
    shipped(ship, lines(0, 5), lines(10, 12))


def test_07_copied_and_cut_the_copy_is_not_read_again_and_its_end_is(ship: Ship, logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(lines(0, 4))
    with ship.running(make_source(logs / "a.log*")):
        shipped(ship, lines(0, 4))
        shutil.copy(path, logs / "a.log.1")
        append(logs / "a.log.1", event(4))
        path.write_bytes(lines(10, 11))
        shipped(ship, lines(0, 5), lines(10, 11))


def test_13_a_file_cut_and_written_anew_is_read_from_its_start_under_a_new_id(
    ship: Ship, logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, banner = logs / "a.log", b"#banner\n"
    path.write_bytes(banner + lines(0, 4))
    with ship.running(make_source(path, start=None)):
        shipped(ship, banner + lines(0, 4))
        path.write_bytes(banner + b"other\n")
        shipped(ship, banner + lines(0, 4), banner + b"other\n")
    assert "was cut or overwritten" in caplog.text
    assert {file for file, _ in ship.places()} == {file_id(banner), file_id(banner, 1)}


def test_12_a_deleted_file_is_read_to_its_end(ship: Ship, logs: Path, quick: Callable[[str, float], None]) -> None:
    quick("GONE_S", 0.3)
    path = logs / "a.log"
    path.write_bytes(lines(0, 2))
    with ship.running(make_source(path)) as shipper, path.open("ab") as writer:
        shipped(ship, lines(0, 2))
        path.unlink()
        writer.write(event(2) + event(3)[:-1])
        writer.flush()
        shipped(ship, lines(0, 4))
        eventually(lambda: not any(file.reader.is_open for file in shipper._registry.files), "the descriptor is closed")


def test_20_a_large_record_goes_through_and_a_larger_one_is_a_dead_letter_between_its_neighbours(ship: Ship, logs: Path) -> None:
    large = b"L" * 1_500_000 + b"\n"
    too_large = b"T" * 9_000_000 + b"\n"
    (logs / "a.log").write_bytes(b"before\n" + large + too_large + b"after\n")
    ship.once(make_source(logs / "*.log", start=None))
    assert ship.values() == [b"before", large[:-1], b"after"]
    [record] = read_topic(ship.settings, "trace", "dead")
    letter = from_record(record.key, record.value, record.headers)
    place, offset = split_key(letter.key)
    assert (letter.stage, letter.reason, offset, place.path) == ("ship", "record_too_large", 7 + len(large), str(logs / "a.log"))
    assert letter.payload == b"T" * 1024 * 1024
    assert "9,000,001 bytes" in letter.message
    assert ship.checkpoint()["a.log"].offset == 7 + len(large) + len(too_large) + 6


def test_20_a_record_that_the_broker_refuses_is_a_dead_letter_and_its_neighbours_go_on(ship: Ship, logs: Path) -> None:
    admin = kafka.connect(ship.settings.kafka)
    narrow = NewTopic(kafka.topic(ship.settings.kafka, "narrow", "raw"), num_partitions=1, config={"max.message.bytes": "20000"})
    admin.create_topics([narrow])[narrow.topic].result(10)
    kafka.ensure_topics(admin, ship.settings.kafka, ["narrow"])
    refused = os.urandom(30_000).hex().encode() + b"\n"
    (logs / "a.log").write_bytes(b"before\n" + refused + b"after\n")
    (logs / "b.log").write_bytes(b"neighbour\n")
    ship.once(make_source(logs / "*.log", start=None, name="narrow"))
    assert {record.value for record in read_topic(ship.settings, "narrow", "raw")} == {b"before", b"after", b"neighbour"}
    [record] = read_topic(ship.settings, "narrow", "dead")
    assert from_record(record.key, record.value, record.headers).reason == "record_refused"
    assert record.value == refused[:-1]
    assert ship.checkpoint()["a.log"].offset == 7 + len(refused) + 6


def test_a_backfill_that_cannot_read_a_file_is_incomplete_and_says_which(ship: Ship, logs: Path) -> None:
    (logs / "a.log").write_bytes(event(1))
    (logs / "b.log.gz").write_bytes(b"\x1f\x8b\x08\x00 compressed\n")
    with pytest.raises(Incomplete, match=r"b\.log\.gz: its compressed data stops before its end"):
        ship.once(make_source(logs / "*"))
    assert ship.values() == [event(1)[:-1]]


def test_25_a_full_queue_makes_reading_wait_and_loses_nothing(ship: Ship, logs: Path) -> None:
    content = lines(0, 5000)
    (logs / "a.log").write_bytes(content)
    ship.once(make_source(logs / "*.log"), **{"queue.buffering.max.messages": 100})
    assert ship.values() == records(content)


def test_24_while_kafka_is_away_reading_stops_nothing_is_acknowledged_and_all_is_sent_later(
    ship: Ship, logs: Path, quick: Callable[[str, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick("FLUSH_S", 0.2)
    content = lines(0, 30_000)
    (logs / "a.log").write_bytes(content)
    away = {"bootstrap.servers": "127.0.0.1:1", "queue.buffering.max.messages": 50}
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "partitions", lambda *_: 4)
        with ship.running(make_source(logs / "*.log"), **away) as shipper:
            eventually(lambda: len(shipper._publisher._producer) == 50, "the queue is full")
            position = [file.reader.position for file in shipper._registry.files]
        assert [file.reader.position for file in shipper._registry.files] == position, "reading waits for the queue"
    assert ship.checkpoint()["a.log"].offset == 0
    with ship.running(make_source(logs / "*.log"), **away):
        pass
    ship.once(make_source(logs / "*.log"))
    assert ship.values() == records(content)


def test_33_a_link_that_moves_on_to_the_next_file(ship: Ship, logs: Path, tmp_path: Path) -> None:
    for day, content in (("monday", lines(0, 2)), ("tuesday", lines(10, 12))):
        (tmp_path / day).write_bytes(content)
    (logs / "current.log").symlink_to(tmp_path / "monday")
    with ship.running(make_source(logs / "*.log")):
        shipped(ship, lines(0, 2))
        append(tmp_path / "monday", event(2))
        (logs / "new").symlink_to(tmp_path / "tuesday")
        (logs / "new").rename(logs / "current.log")
        shipped(ship, lines(0, 3), lines(10, 12))


def test_heartbeats_say_how_far_each_file_is(ship: Ship, logs: Path) -> None:
    (logs / "a.log").write_bytes(event(1) + event(2)[:-1])
    with ship.running(make_source(logs / "*.log")):
        shipped(ship, event(1))
    newest = {record.key: decode_any(record.key or b"", record.value or b"") for record in read_topic(ship.settings, "trace", "files")}
    [beat] = (beat for beat in newest.values() if isinstance(beat, Heartbeat))
    [host] = (beat for beat in newest.values() if isinstance(beat, HostBeat))
    assert (host.files, host.unreadable, host.stopped) == (1, 0, True)
    assert host.shipped_ms >= beat.mtime_ms - 1, "a line that is not complete holds nothing back"
    size = (logs / "a.log").stat().st_size
    assert (beat.path, beat.path_now, beat.size) == (str(logs / "a.log"), str(logs / "a.log"), size)
    assert (beat.read, beat.acknowledged, beat.read_to_end) == (size, len(event(1)), False)


def test_31_more_files_than_may_be_open_are_all_read_and_followed(ship: Ship, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.ship.MAX_OPEN", 5)
    monkeypatch.setattr("producers.registry.MAX_OPEN", 5)
    for number in range(30):
        (logs / f"{number}.log").write_bytes(event(number))
    with ship.running(make_source(logs / "*.log")) as shipper:
        shipped(ship, lines(0, 30))
        for number in range(0, 30, 3):
            append(logs / f"{number}.log", event(100 + number))
        shipped(ship, lines(0, 30), *(event(100 + number) for number in range(0, 30, 3)))
        assert _open(shipper) <= 5


def _open(shipper: Shipper) -> int:
    return sum(file.reader.is_open for file in shipper._registry.files)


def test_a_clean_stop_leaves_the_checkpoint_at_what_is_acknowledged(ship: Ship, logs: Path) -> None:
    content = lines(0, 20_000)
    (logs / "a.log").write_bytes(content)
    with ship.running(make_source(logs / "*.log")) as shipper:
        eventually(lambda: any(file.acknowledged for file in shipper._registry.files), "something is acknowledged")
    offset = ship.checkpoint()["a.log"].offset
    found = sum(len(value) + 1 for value in ship.values())
    assert 0 < offset == found
    ship.once(make_source(logs / "*.log"))
    assert ship.values() == records(content)
