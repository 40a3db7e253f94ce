"""Whatever happens to the files, in whatever order: every line that stood complete in a file when it was looked at is sent.

Hypothesis plays the writer, the rotator and the operator; Kafka is a list that takes its time with acknowledgements and
forgets what is not acknowledged when the producer is killed.
"""

import gzip
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import settings as checks
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from producers.checkpoint import Store
from producers.publish import Batch
from producers.reader import Records, TooLarge, Torn
from producers.ship import Shipper
from schemas.place import Place, split_key
from tests.producers.conftest import make_source


class Topic:
    """Stands for `Publisher`."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes, Batch]] = []
        self.batches: list[Batch] = []
        """Not settled yet, as far as anyone knows."""

    @property
    def records(self) -> list[tuple[bytes, bytes]]:
        return [(key, value) for key, value, _ in self.sent]

    def partitions(self, _: str) -> int:
        return 1

    def send(self, source: str, partition: int, prefix: bytes, records: Records) -> Batch:
        base, buffer, ends = records
        batch = Batch(base + ends[-1], len(ends), lambda *_: None)
        for begin, end in zip([0, *ends], ends, strict=False):
            self.sent.append((prefix + b"%d" % (base + begin), buffer[begin : end - 1], batch))
        self.batches.append(batch)
        return batch

    def send_torn(self, source: str, partition: int, place: Place, torn: Torn) -> Batch:
        return Batch(torn.begin, 0, lambda *_: None)

    def send_too_large(self, source: str, prefix: bytes, part: TooLarge) -> Batch:
        raise AssertionError("no record here is too large")

    def acknowledge(self, which: Iterable[int]) -> None:
        for number in which:
            if number < len(self.batches):
                self.batches[number].left = 0

    def lose(self) -> None:
        """What was on its way when the producer was killed."""
        self.sent = [record for record in self.sent if record[2].left == 0]
        self.batches = []


class Files(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.days = self.folder / "days"
        self.days.mkdir()
        self.log = self.folder / "a.log"
        self.topic = Topic()
        self.written: set[bytes] = set()
        self.number = 0
        self.half = False
        self.rotations = 0
        self.seen = True
        """Whether everything in the file was read before: only then may it be deleted or cut without loss."""
        self.start()

    def start(self) -> None:
        self.store = Store(self.folder / "state")
        source = make_source(self.folder / "*.log*", start=None)
        self.shipper = Shipper([source], "host", self.topic, self.store, once=False)  # type: ignore[arg-type]

    def line(self) -> bytes:
        self.number += 1
        return b"line %d" % self.number

    def append(self, content: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(content)
        self.seen = False

    @rule(count=st.integers(1, 5))
    def write_lines(self, count: int) -> None:
        for _ in range(count):
            if not self.half:
                self.pending = self.line()
                self.append(self.pending)
            self.append(b"\n")
            self.half = False
            self.written.add(self.pending)

    @precondition(lambda self: not self.half)
    @rule()
    def write_half_a_line(self) -> None:
        self.pending = self.line()
        self.append(self.pending)
        self.half = True

    @precondition(lambda self: self.log.exists() and not self.half)
    @rule()
    def rotate(self) -> None:
        self.rotations += 1
        self.log.rename(self.folder / f"a.log.{self.rotations}")

    @precondition(lambda self: self.rotations)
    @rule(data=st.data())
    def compress(self, data: st.DataObject) -> None:
        """As gzip does: both files stand side by side for a while."""
        plain = [path for path in self.folder.glob("a.log.*") if path.suffix != ".gz" and not path.is_symlink()]
        if not plain:
            return
        path = data.draw(st.sampled_from(sorted(plain)))
        packed, content = path.with_name(path.name + ".gz"), gzip.compress(path.read_bytes())
        cut = data.draw(st.integers(0, len(content)))
        packed.write_bytes(content[:cut])
        if data.draw(st.booleans()):
            self.look()
        packed.write_bytes(content)
        path.unlink()

    @precondition(lambda self: not self.half)
    @rule()
    def switch_link(self) -> None:
        """The log's name moves on to the next day's file, whose own name no glob finds; the day before has been read."""
        if self.log.exists() and not self.seen:
            self.look()
        self.rotations += 1
        day = self.days / str(self.rotations)
        line = self.line()
        day.write_bytes(line + b"\n")
        self.written.add(line)
        self.seen = False
        new = self.folder / "new"
        new.symlink_to(day)
        new.rename(self.log)

    @precondition(lambda self: self.log.exists() and not self.half and self.seen)
    @rule()
    def delete(self) -> None:
        self.log.unlink()

    @precondition(lambda self: self.log.exists() and not self.half and self.seen)
    @rule()
    def cut(self) -> None:
        self.log.write_bytes(b"")
        self.look()  # a cut that is written over to the same length between two looks is another story

    @precondition(lambda self: self.log.exists() and self.seen and not self.half)
    @rule()
    def copy_and_cut(self) -> None:
        self.rotations += 1
        shutil.copy(self.log, self.folder / f"a.log.{self.rotations}")
        self.log.write_bytes(b"")
        self.look()

    @rule()
    def look(self) -> None:
        """Twice, since what a first look lets go of is identified in the second."""
        for _ in range(2):
            self.shipper._scan()
            while self.shipper._round(0.0):
                pass
        self.seen = True

    @rule(which=st.sets(st.integers(0, 5)))
    def acknowledge(self, which: set[int]) -> None:
        self.topic.acknowledge(which)
        self.shipper._settle()
        self.shipper._save()

    @rule()
    def kill_and_restart(self) -> None:
        """What is not acknowledged is lost on its way, with the descriptors of files that are gone."""
        self.look()
        if any((file.gone or file.replaced) and file.batches for file in self.shipper._registry.files):
            self.topic.acknowledge(range(len(self.topic.batches)))  # nobody could send that again: it is delivered first
            self.shipper._settle()
            self.shipper._save()
        self.close()
        self.topic.lose()
        self.start()
        self.seen = False

    def close(self) -> None:
        for file in self.shipper._registry.files:
            file.reader.close()
        self.store.close()

    @invariant()
    def equal_keys_carry_equal_bytes(self) -> None:
        found: dict[bytes, bytes] = {}
        for key, value in self.topic.records:
            assert found.setdefault(key, value) == value

    @invariant()
    def acknowledged_bytes_are_delivered(self) -> None:
        delivered: dict[str, set[int]] = {}
        for key, value, batch in self.topic.sent:
            if batch.left == 0:
                place, offset = split_key(key)
                delivered.setdefault(place.file, set()).update(range(offset, offset + len(value) + 1))
        for file in self.shipper._registry.files:
            assert set(range(file.acknowledged)) <= delivered.get(file.place.file, set())

    def teardown(self) -> None:
        self.look()
        self.close()
        shutil.rmtree(self.folder)
        assert {value for _, value in self.topic.records} == self.written


TestFiles = Files.TestCase
TestFiles.settings = checks(max_examples=100, stateful_step_count=30, deadline=None)
