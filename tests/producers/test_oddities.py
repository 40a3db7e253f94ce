"""What users meet and no list of situations names: each line is shipped, once, byte for byte."""

import gzip
import os
import shutil
import time
from pathlib import Path

import pytest

from schemas.place import split_key
from tests.helpers import eventually, read_topic
from tests.producers.conftest import Ship, append, event, lines, make_source, records, shipped

pytestmark = pytest.mark.servers


def test_a_hard_link_is_another_name_whichever_goes_first(ship: Ship, logs: Path) -> None:
    (logs / "a.log").write_bytes(lines(0, 3))
    os.link(logs / "a.log", logs / "b.log")
    with ship.running(make_source(logs / "*.log")) as shipper:
        shipped(ship, lines(0, 3))
        (logs / "a.log").unlink()
        append(logs / "b.log", event(3))
        shipped(ship, lines(0, 4))
        eventually(lambda: [Path(file.found.path).name for file in shipper.files()] == ["b.log"], "the other name has taken its place")


def test_a_file_under_two_globs_and_through_a_link_to_its_folder_is_one(ship: Ship, logs: Path) -> None:
    (logs / "sub").mkdir()
    (logs / "sub" / "a.log").write_bytes(lines(0, 3))
    (logs / "link").symlink_to(logs / "sub")
    source = make_source(logs / "**" / "*.log", logs / "*" / "a*", logs / "link" / "a.log")
    ship.once(source)
    ship.once(source)
    shipped(ship, lines(0, 3))


def test_a_byte_order_mark_and_crlf_are_bytes_like_others(ship: Ship, logs: Path) -> None:
    content = b"\xef\xbb\xbffirst\r\n\r\nlast\r\n"
    (logs / "a.log").write_bytes(content)
    ship.once(make_source(logs / "*.log", start=None))
    assert ship.values() == records(content)


def test_a_tail_of_nuls_that_a_crashed_machine_left_is_shipped_with_the_line_that_follows(ship: Ship, logs: Path) -> None:
    """The file system had the new size on the disk and not the bytes; the writer goes on behind them."""
    path, source = logs / "a.log", make_source(logs / "*.log", start=None)
    path.write_bytes(lines(0, 3) + bytes(4096))
    with ship.running(source):
        shipped(ship, lines(0, 3))
    append(path, lines(3, 5))
    ship.once(source)
    assert ship.values() == [*records(lines(0, 3)), bytes(4096) + event(3)[:-1], event(4)[:-1]]


def test_a_last_line_without_line_feed_that_is_rotated_away_is_shipped_once(ship: Ship, logs: Path) -> None:
    path, source = logs / "a.log", make_source(logs / "a.log*", torn_timeout_s=0.2)
    path.write_bytes(lines(0, 2) + event(2)[:-1])
    with ship.running(source):
        shipped(ship, lines(0, 3))
        path.rename(logs / "a.log.1")
        path.write_bytes(lines(10, 12))
        shipped(ship, lines(0, 3), lines(10, 12))
    torn = [record.value for record in read_topic(ship.settings, "trace", "raw") if split_key(record.key or b"")[0].torn]
    assert torn == [event(2)[:-1]]


def test_a_clock_that_steps_back_hides_no_line(ship: Ship, logs: Path) -> None:
    """Times of files go back and stay equal, and sizes are what they were before the cut."""
    path = logs / "a.log"
    path.write_bytes(lines(0, 3))
    _set_time(path, time.time() + 3600)
    with ship.running(make_source(logs / "*.log")):
        shipped(ship, lines(0, 3))
        append(path, event(3))
        _set_time(path, time.time() - 3600)
        shipped(ship, lines(0, 4))
        path.write_bytes(lines(10, 14))
        _set_time(path, time.time() - 7200)
        shipped(ship, lines(0, 4), lines(10, 14))


def _set_time(path: Path, at_s: float) -> None:
    os.utime(path, (at_s, at_s))


def test_a_compressed_file_beside_the_one_it_was_made_of_is_a_copy_until_that_goes(ship: Ship, logs: Path) -> None:
    path, source = logs / "a.log", make_source(logs / "a.log*")
    path.write_bytes(lines(0, 1000))
    (logs / "a.log.gz").write_bytes(gzip.compress(lines(0, 1000)))
    ship.once(source)
    with ship.running(source) as shipper:
        path.unlink()
        eventually(lambda: [Path(file.found.path).name for file in shipper.files()] == ["a.log.gz"], "the compressed file carries on")
    shipped(ship, lines(0, 1000))


def test_a_file_put_back_from_a_backup_is_known_and_goes_on_behind_what_was_read(ship: Ship, logs: Path) -> None:
    path, source = logs / "a.log", make_source(logs / "*.log")
    path.write_bytes(lines(0, 5))
    ship.once(source)
    path.unlink()
    ship.once(source)
    path.write_bytes(lines(0, 7))
    _set_time(path, 1_000_000_000)
    ship.once(source)
    shipped(ship, lines(0, 7))


def test_an_editor_that_replaces_the_file_by_a_longer_copy_repeats_nothing(ship: Ship, logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(lines(0, 3))
    with ship.running(make_source(logs / "*.log")):
        shipped(ship, lines(0, 3))
        shutil.copy(path, logs / "a.swp")
        append(logs / "a.swp", event(3))
        (logs / "a.swp").rename(path)
        shipped(ship, lines(0, 4))


def test_what_is_no_file_is_passed_over(ship: Ship, logs: Path) -> None:
    (logs / "folder.log").mkdir()
    os.mkfifo(logs / "pipe.log")
    (logs / "loop.log").symlink_to(logs / "loop.log")
    (logs / "nowhere.log").symlink_to(logs / "missing")
    (logs / "empty.log").touch()
    (logs / "a.log").write_bytes(lines(0, 3))
    ship.once(make_source(logs / "*.log"))
    shipped(ship, lines(0, 3))
