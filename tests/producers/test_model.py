"""Whatever happens to the files, in whatever order: each line that could be read is sent, once, unless a kill lost its checkpoint.

Hypothesis plays the writer, the rotator and the operator. A model of the files says which lines are owed; a list that acknowledges
in any order, or a real topic, says which have come. `--hypothesis-profile long` plays twenty times as many games.
"""

import gzip
import math
import os
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import msgspec
import pytest
from hypothesis import settings as checks
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from producers.checkpoint import Store, peek
from producers.ship import Shipper
from schemas.place import split_key
from tailrace import kafka
from tailrace.settings import Settings
from tests.helpers import read_topic
from tests.producers.conftest import make_source
from tests.producers.topics import KafkaTopic, Topic

INODE_TRIES = 20
"""So often a file is made anew until it has the inode of the one that was deleted: ext4 gives it at once, others never."""


class Files(RuleBasedStateMachine):
    """One log, its writer, and what becomes of it under the name `a.log` and others. Every line is another."""

    def __init__(self, make_topic: Callable[[], Topic]) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="tailrace-model-"))
        self.days = self.folder / "days"
        self.days.mkdir()
        self.log = self.folder / "a.log"
        self.topic = make_topic()
        self.owed: set[bytes] = set()
        """Complete lines that somebody could read and that are not lost by rights."""
        self.excused: set[bytes] = set()
        """Lines that nobody could read in time, or whose file was gone when the producer was killed. They may come or not."""
        self.before: Counter[bytes] = Counter()
        """Keys that earlier runs delivered."""
        self.saved: dict[str, int] = {}
        """Offsets of the checkpoint that this run began with."""
        self.number = 0
        self.half = b""
        self.rotations = 0
        self.writer: int | None = None
        self.unseen_cuts: set[int] = set()
        """Inodes of files that were cut since the producer looked: it has other bytes in hand than it knows."""
        self.start()

    # The producer

    def start(self) -> None:
        self.saved = {entry.file: entry.offset for entry in peek(self.folder / "state")}
        self.before = Counter(key for key, _ in self.topic.delivered())
        self.store = Store(self.folder / "state")
        source = make_source(self.folder / "*.log*", name="model", start=None)
        self.shipper = Shipper([source], "host", self.topic, self.store, once=False)  # type: ignore[arg-type]
        self.shipper._close_inactive_s = math.inf  # files are closed by a rule, not by how long this machine has been up

    def end(self) -> None:
        for file in self.shipper._registry.files:
            file.reader.close()
        self.store.close()

    @rule()
    def look(self) -> None:
        """Twice, since what a first look lets go of is identified in the second."""
        for _ in range(2):
            self.scan()
            while self.shipper._round(0.0):
                pass
        self.unseen_cuts.clear()

    @rule()
    def scan(self) -> None:
        """Files are found; a pause, a limit or a full queue keeps them from being read."""
        self.shipper._scan()

    @rule()
    def close_idle_files(self) -> None:
        """As those that have not grown for an hour, and where many files need room."""
        self.shipper._opener.close_inactive(math.inf)

    @rule(which=st.sets(st.integers(0, 5)))
    def deliver(self, which: set[int]) -> None:
        self.topic.deliver(which)

    @rule()
    def checkpoint(self) -> None:
        self.shipper._settle()
        self.shipper._save()

    @rule()
    def kill_and_restart(self) -> None:
        """What is not delivered is lost on its way, with the descriptors of files that are gone."""
        self.topic.lose()
        self.excuse(self.owed - self.on_disk() - {value for _, value in self.whole()})
        self.end()
        self.start()

    @rule()
    def restart(self) -> None:
        """A clean stop."""
        self.topic.deliver_all()
        self.checkpoint()
        self.kill_and_restart()

    # The writer, who keeps its file open through renames until it is told

    def write(self, content: bytes) -> None:
        if self.writer is None:
            self.writer = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(self.writer, content)

    @rule(count=st.integers(1, 5))
    def write_lines(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            rest = b"line %d" % self.number
            line = self.half + rest
            self.half = b""
            self.write(rest + b"\n")
            self.owe(line)

    @rule()
    def write_half_a_line(self) -> None:
        self.number += 1
        half = b"half %d," % self.number
        self.write(half)
        self.half += half

    @precondition(lambda self: self.writer is not None and not self.half)
    @rule()
    def writer_opens_anew(self) -> None:
        assert self.writer is not None
        os.close(self.writer)
        self.writer = None

    def owe(self, line: bytes) -> None:
        self.owed.add(line)
        if line not in self.on_disk() and not self.is_held(self.writer_inode()):
            self.excuse({line})

    def writer_inode(self) -> int:
        assert self.writer is not None
        return os.fstat(self.writer).st_ino

    # The rotator

    @precondition(lambda self: self.log.exists())
    @rule()
    def rotate(self) -> None:
        self.rotations += 1
        self.log.rename(self.folder / f"a.log.{self.rotations}")

    @precondition(lambda self: self.rotations)
    @rule(data=st.data())
    def compress(self, data: st.DataObject) -> None:
        """As gzip does: both files stand side by side for a while. Its writer has left the file."""
        plain = [path for path in self.folder.glob("a.log.*") if path.suffix != ".gz" and not path.is_symlink()]
        plain = [path for path in plain if self.writer is None or path.stat().st_ino != self.writer_inode()]
        if not plain:
            return
        path = data.draw(st.sampled_from(sorted(plain)))
        packed, content = path.with_name(path.name + ".gz"), gzip.compress(path.read_bytes())
        packed.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        if data.draw(st.booleans()):
            self.look()
        packed.write_bytes(content)
        path.unlink()

    @rule()
    def switch_link(self) -> None:
        """The log's name moves on to the next day's file, whose own name no glob finds."""
        self.rotations += 1
        day, new = self.days / str(self.rotations), self.folder / "new"
        day.touch()
        new.symlink_to(day)
        self.destroy(lambda: new.rename(self.log))

    @precondition(lambda self: self.log.exists())
    @rule()
    def delete(self) -> None:
        self.destroy(self.log.unlink)

    @precondition(lambda self: self.log.exists() and not self.half)
    @rule()
    def delete_and_recreate_on_the_same_inode(self) -> None:
        inode = self.log.stat().st_ino
        if self.writer is not None:
            self.writer_opens_anew()
        self.delete()
        self.write(b"")
        others = []
        for number in range(INODE_TRIES):
            if self.writer_inode() == inode:
                break
            self.writer_opens_anew()
            others.append(self.log.rename(self.folder / f"other {number}"))
            self.write(b"")
        hypothesis.event(f"the inode came back: {self.writer_inode() == inode}")
        for other in others:
            other.unlink()

    @precondition(lambda self: self.log.exists())
    @rule()
    def cut(self) -> None:
        inode = self.log.stat().st_ino
        if self.writer is not None and self.writer_inode() == inode:
            self.half = b""
        self.unseen_cuts.add(inode)
        self.destroy(lambda: os.truncate(self.log, 0))

    @precondition(lambda self: self.log.exists())
    @rule()
    def copy_and_cut(self) -> None:
        self.rotations += 1
        shutil.copy(self.log, self.folder / f"a.log.{self.rotations}")
        self.cut()

    def destroy(self, how: Callable[[], object]) -> None:
        """Lines that this takes off the disk are lost by rights, unless they were read or the producer holds the file open."""
        held = self.log.exists() and self.is_held(self.log.stat().st_ino)
        lines = self.on_disk()
        how()
        if not held:
            self.excuse(lines - self.on_disk() - {value for _, value, _ in self.topic.sent})

    # The model

    def excuse(self, lines: set[bytes]) -> None:
        self.excused |= lines & self.owed
        self.owed -= lines

    def on_disk(self) -> set[bytes]:
        """Complete lines in files that the glob finds."""
        return {line for path in self.folder.glob("*.log*") for line in _content(path).split(b"\n")[:-1]}

    def is_held(self, inode: int) -> bool:
        """Whether the producer has the file open to read on, whatever becomes of its names."""
        if inode in self.unseen_cuts:
            return False
        open_files = [file.reader for file in self.shipper._registry.files if file.reader.is_open]
        return any(os.fstat(reader.fileno()).st_ino == inode for reader in open_files)

    def whole(self) -> list[tuple[bytes, bytes]]:
        """Delivered keys and values, but for torn ends."""
        return [(key, value) for key, value in self.topic.delivered() if not split_key(key)[0].torn]

    @invariant()
    def equal_keys_carry_equal_bytes_and_equal_lines_have_equal_keys(self) -> None:
        values: dict[bytes, bytes] = {}
        places: dict[bytes, tuple[str, int]] = {}
        for key, value in self.whole():
            place, offset = split_key(key)
            assert values.setdefault(key, value) == value
            assert places.setdefault(value, (place.file, offset)) == (place.file, offset)

    @invariant()
    def only_what_the_checkpoint_did_not_cover_is_sent_again(self) -> None:
        for key, count in (Counter(key for key, _ in self.whole()) - self.before).items():
            assert count == 1, f"{key!r} was sent twice by one run"
            place, offset = split_key(key)
            assert not self.before[key] or offset >= self.saved.get(place.file, 0)

    @invariant()
    def acknowledged_bytes_are_delivered(self) -> None:
        delivered: dict[str, set[int]] = {}
        for key, value in self.whole():
            place, offset = split_key(key)
            delivered.setdefault(place.file, set()).update(range(offset, offset + len(value) + 1))
        for file in self.shipper._registry.files:
            assert set(range(file.acknowledged)) <= delivered.get(file.place.file, set())

    def teardown(self) -> None:
        try:
            self.look()
            self.topic.deliver_all()
            self.equal_keys_carry_equal_bytes_and_equal_lines_have_equal_keys()
            self.only_what_the_checkpoint_did_not_cover_is_sent_again()
            found = {value for _, value in self.whole()}
            assert found >= self.owed
            assert found <= self.owed | self.excused
        finally:
            self.end()
            self.topic.close()
            if self.writer is not None:
                os.close(self.writer)
            shutil.rmtree(self.folder)


def _content(path: Path) -> bytes:
    """What was written to a file, as far as it is there."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # a link whose file is gone
        return b""
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(content) if path.suffix == ".gz" else content


def test_acknowledged_in_any_order() -> None:
    run_state_machine_as_test(lambda: Files(Topic), settings=checks(stateful_step_count=30))


def test_35_lines_that_nobody_saw_before_a_resting_file_was_compressed_are_read() -> None:
    """What has rested is closed; its compressed form is found, and closed once more before it is read."""
    files = Files(Topic)
    files.write_lines(1)
    files.look()
    files.rotate()
    files.write_lines(1)
    files.writer_opens_anew()
    plain = files.folder / "a.log.1"
    (files.folder / "a.log.1.gz").write_bytes(gzip.compress(plain.read_bytes()))
    files.close_idle_files()
    plain.unlink()
    for _ in range(2):
        files.scan()
        files.close_idle_files()
    files.teardown()


def test_35_a_copy_that_is_compressed_at_once_is_known_before_enough_of_it_is_there() -> None:
    """logrotate's copytruncate with compress: the cut, the copy and the beginning of the compressed file are found in one look."""
    files = Files(Topic)
    files.write_lines(2)
    files.look()
    files.copy_and_cut()
    copy = files.folder / "a.log.1"
    packed, content = copy.with_name("a.log.1.gz"), gzip.compress(copy.read_bytes())
    packed.write_bytes(content[:18])
    files.look()
    packed.write_bytes(content)
    copy.unlink()
    files.teardown()


def test_06_a_file_cut_after_it_was_found_and_before_it_was_read_has_the_id_of_what_is_read() -> None:
    files = Files(Topic)
    files.write_lines(1)
    files.scan()
    files.cut()
    files.write_lines(2)
    files.look()
    files.restart()
    files.teardown()


@pytest.mark.servers
def test_on_a_real_topic(settings: Settings) -> None:
    one_partition = msgspec.structs.replace(settings.kafka, partitions=1)
    kafka.ensure_topics(kafka.connect(one_partition, 5), one_partition, ["model"])
    assert read_topic(settings, "model", "raw") == []
    games = max(25, checks().max_examples // 4)
    run_state_machine_as_test(
        lambda: Files(lambda: KafkaTopic(one_partition, "model")), settings=checks(stateful_step_count=30, max_examples=games)
    )
