"""Files that are compressed before, while and after they are read. Numbers are those of the table in producers/README.md."""

import gzip
import shutil
from pathlib import Path

import pytest

from producers import content as module
from producers.content import Damaged, Packed, Replaced, open_file
from producers.reader import SIGNED_BYTES
from schemas.identity import file_id
from tailrace.errors import Incomplete
from tests.helpers import eventually
from tests.producers.conftest import Ship, append, event, lines, make_source, records, shipped


def compress(path: Path) -> Path:
    """What gzip does: the compressed file stands beside the plain one before that goes."""
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.servers
def test_35_a_file_compressed_after_it_was_read_is_not_read_again(ship: Ship, logs: Path) -> None:
    path, content = logs / "a.log", lines(0, 5000)
    path.write_bytes(content)
    with ship.running(make_source(logs / "a.log*", start=None)) as shipper:
        shipped(ship, content)
        compress(path)
        [file] = shipper._registry.files
        eventually(lambda: file.found.path.endswith(".gz") and file.size == len(content), "the compressed file was looked at")
        path.write_bytes(lines(6000, 6002))
        shipped(ship, content, lines(6000, 6002))
    compress(path).rename(logs / "a.log.1.gz")
    ship.once(make_source(logs / "a.log*", start=None))
    shipped(ship, content, lines(6000, 6002))


@pytest.mark.servers
@pytest.mark.parametrize("stopped", [False, True])
def test_35_a_file_compressed_when_it_was_half_read_goes_on_where_it_was(ship: Ship, logs: Path, stopped: bool) -> None:
    path, source = logs / "a.log", make_source(logs / "a.log*", start=None)
    path.write_bytes(lines(0, 2000))
    with ship.running(source):
        shipped(ship, lines(0, 2000))
        if not stopped:
            shutil.copy(path, logs / "hidden")
            append(logs / "hidden", lines(2000, 4000))
            path.unlink()
            compress(logs / "hidden").rename(logs / "a.log.1.gz")
            shipped(ship, lines(0, 4000))
    if stopped:
        append(path, lines(2000, 4000))
        compress(path)
        ship.once(source)
        shipped(ship, lines(0, 4000))
    assert {file for file, _ in ship.places()} == {file_id(event(0))}
    assert [entry.offset for entry in ship.checkpoint().values()] == [len(lines(0, 4000))], "offsets are of the decompressed bytes"


@pytest.mark.servers
def test_35_more_compressed_files_than_may_be_open_are_all_read(ship: Ship, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Identifying a small one decompresses all of it, which is not to have read it."""
    for limited in ("producers.registry.MAX_OPEN", "producers.ship.MAX_OPEN"):
        monkeypatch.setattr(limited, 4)
    for number in range(12):
        (logs / f"a.log.{number}.gz").write_bytes(gzip.compress(lines(10 * number, 10 * number + 10)))
    with ship.running(make_source(logs / "a.log*", start=None)):
        shipped(ship, lines(0, 120))


@pytest.mark.servers
@pytest.mark.parametrize("cut", [1, 5, 2000, -4])
def test_36_a_compressed_file_that_is_still_being_written_is_completed_later(ship: Ship, logs: Path, cut: int) -> None:
    """Cut in its header, data and footer."""
    content = lines(0, 3000)
    packed = gzip.compress(content)
    assert len(packed) > 4000
    (logs / "a.log.gz").write_bytes(packed[:cut])
    source = make_source(logs / "*.gz", start=None)
    with pytest.raises(Incomplete, match=r"a\.log\.gz"):
        ship.once(source)
    read = ship.values()
    assert read == records(content)[: len(read)]
    assert bool(read) == (cut not in (1, 5))
    with ship.running(source):
        append(logs / "a.log.gz", packed[cut:])
        shipped(ship, content)
    ship.once(source)
    shipped(ship, content)


@pytest.mark.servers
def test_37_all_members_of_a_compressed_file_are_read(ship: Ship, logs: Path) -> None:
    members = [lines(0, 10), lines(10, 11), b"", lines(11, 500)]
    (logs / "a.log.gz").write_bytes(b"".join(map(gzip.compress, members)) + b"\0" * 512)
    ship.once(make_source(logs / "*", start=None))
    shipped(ship, lines(0, 500))


@pytest.mark.servers
def test_a_damaged_file_ships_what_is_good_is_said_once_and_its_neighbours_go_on(
    ship: Ship, logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = lines(0, 10_000)
    (logs / "a.log.gz").write_bytes(gzip.compress(content)[:-8] + bytes(8))
    (logs / "b.log").write_bytes(event(20_000))
    with pytest.raises(Incomplete, match=r"a\.log\.gz: its compressed data is damaged"):
        ship.once(make_source(logs / "*", start=None))
    read = set(ship.values())
    assert {event(20_000)[:-1], *records(content)[:5000]} < read <= {event(20_000)[:-1], *records(content)}
    assert caplog.text.count("is damaged") == 1


def test_reading_backwards_and_in_pieces_gives_the_same_bytes(tmp_path: Path) -> None:
    content = lines(0, 20_000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content[:300_000]) + gzip.compress(content[300_000:]))
    opened = open_file(tmp_path / "a.gz")
    for offset in (0, 250_000, 249_990, 10, 299_999, len(content) - 5, len(content), len(content) + 10, 0):
        assert opened.pread(100_000, offset) == content[offset : offset + 100_000]
    assert isinstance(opened, Packed)
    opened.pread(10, len(content))
    assert (opened.consumed, opened.ends_early) == ((tmp_path / "a.gz").stat().st_size, False)
    opened.close()


def test_a_compressed_file_that_was_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a\n"))
    opened = open_file(path)
    opened.pread(10, 0)
    path.write_bytes(b"")
    with pytest.raises(Replaced):
        opened.pread(10, 2)
    opened.close()


def test_what_stands_before_the_damage_is_read_first(tmp_path: Path) -> None:
    content = lines(0, 20_000)
    packed = gzip.compress(content)[:-8] + b"\0" * 8
    (tmp_path / "a.gz").write_bytes(packed)
    opened = open_file(tmp_path / "a.gz")
    good = opened.pread(len(content), 0)
    assert content.startswith(good)
    assert len(content) - len(good) <= module._INPUT_BYTES
    with pytest.raises(Damaged, match=f"after byte {len(good)} "):
        opened.pread(10, len(good))
    opened.close()


@pytest.mark.servers
def test_an_archive_that_was_read_to_its_end_is_not_decompressed_again_until_it_changes(
    ship: Ship, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, source = lines(0, 20_000), make_source(logs / "a.log*", start=None)
    (logs / "a.log.gz").write_bytes(gzip.compress(content))
    ship.once(source)
    reached = []
    really = Packed.pread

    def watched(packed: Packed, length: int, offset: int) -> bytes:
        reached.append(offset + length)
        return really(packed, length, offset)

    monkeypatch.setattr(Packed, "pread", watched)
    ship.once(source)
    with ship.running(source) as shipper:
        eventually(lambda: all(file.reader.at_end for file in shipper._registry.files), "the archive was looked at")
    assert max(reached) == SIGNED_BYTES < len(content)
    with (logs / "a.log.gz").open("ab") as file:
        file.write(gzip.compress(lines(20_000, 20_010)))
    ship.once(source)
    shipped(ship, content, lines(20_000, 20_010))
    assert max(reached) > len(content)
