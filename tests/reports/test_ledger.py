"""Bookkeeping of records, events and documents, and of the bytes that Kafka holds of a file."""

from array import array
from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.coverage import altered, covers, identify, lacking
from reports.disk import DiskFile
from reports.ledger import Ledger, Owed
from schemas.event import Dead, Event, Parsed
from schemas.identity import file_id
from schemas.place import Place

PLACE = Place("file-a", "host", "/a")
TORN = Place("file-a", "host", "/a", torn=True)


def parse(value: bytes, place: Place, offset: int) -> Parsed:
    """`dead…` is a dead letter, anything else an event whose id is its text."""
    if value.startswith(b"dead"):
        return [Dead("bad", "bad", value, offset)]
    return [Event(value.decode(), 0, None, "kind", {})]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(parse)


def fates(ledger: Ledger) -> dict[str, str]:
    return {event.id: event.fate for event in ledger.owed()}


def test_each_event_meets_one_fate(ledger: Ledger) -> None:
    for offset, id in enumerate((b"in", b"twice", b"thrice", b"lost", b"refused")):
        ledger.record(PLACE, offset * 10, id)
    for id, index in (
        ("in", "i-1"),
        ("twice", "i-1"),
        ("twice", "i-2"),
        ("thrice", "i-1"),
        ("thrice", "i-2"),
        ("thrice", "i-3"),
        ("else", "i-1"),
    ):
        ledger.document(id, index)
    ledger.dead_letter(PLACE, 40)
    assert fates(ledger) == {"in": "indexed", "twice": "double", "thrice": "double", "lost": "missing", "refused": "dead"}
    assert ledger.foreign == {"else": "i-1"}
    assert ledger.fates() == {"file-a": {"indexed": 1, "double": 2, "missing": 1, "dead": 1}}


def test_a_record_read_later_explains_its_document(ledger: Ledger) -> None:
    ledger.document("late", "i-1")
    ledger.explain(parse(b"late", PLACE, 0))
    assert ledger.foreign == {}
    assert not list(ledger.owed())


def test_repeated_records_and_repeated_events_are_told_apart(ledger: Ledger) -> None:
    for place, offset, value in [
        (PLACE, 0, b"a"),
        (PLACE, 0, b"a"),
        (PLACE, 2, b"a"),
        (PLACE, 2, b"a"),
        (Place("file-b", "h", "/b"), 0, b"a"),
    ]:
        ledger.record(place, offset, value)
    counts = {file: (len(account.records), account.repeated, account.repeated_events) for file, account in ledger.accounts.items()}
    assert counts == {"file-a": (2, 2, 1), "file-b": (1, 0, 1)}
    assert list(ledger.owed()) == [Owed("a", "file-a", 0, "missing")]


@pytest.mark.parametrize("torn_first", [True, False])
def test_a_whole_record_replaces_its_torn_beginning(ledger: Ledger, torn_first: bool) -> None:
    records = [(TORN, 5, b"dead beg"), (PLACE, 5, b"whole record")]
    for place, offset, value in records if torn_first else reversed(records):
        ledger.record(place, offset, value)
    account = ledger.accounts["file-a"]
    assert account.spans() == [(5, 5 + len(b"whole record") + 1)]
    assert (account.dead_due, account.conflicting) == (set(), [])
    assert fates(ledger) == {"whole record": "missing"}


def test_records_of_one_place_that_differ_are_conflicting(ledger: Ledger) -> None:
    ledger.record(PLACE, 5, b"one")
    ledger.record(PLACE, 5, b"two")
    assert ledger.accounts["file-a"].conflicting == [5]


def disk_file(content: bytes, path: str = "/a") -> DiskFile:
    lines = content.splitlines(keepends=True)
    ends, at = array("q"), 0
    for line in lines:
        if line.endswith(b"\n"):
            at += len(line)
            ends.append(at)
    starts = array("q", [0, *ends][: len(ends)])
    checksums = array("I", [crc32(content[start : end - 1]) for start, end in zip(starts, ends, strict=True)])
    return DiskFile(path, lines[0], len(content), starts, ends, checksums)


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12), data=st.data())
def test_what_lacks_is_exactly_what_was_not_shipped(lengths: list[int], data: st.DataObject) -> None:
    content = b"".join(b"%0*d\n" % (length, number) for number, length in enumerate(lengths))
    found = disk_file(content)
    kept = data.draw(st.lists(st.sampled_from(range(len(lengths))), unique=True))
    dead = set(data.draw(st.lists(st.sampled_from(list(found.starts)), unique=True)))
    ledger = Ledger(parse)
    for number in kept:
        ledger.record(PLACE, found.starts[number], content[found.starts[number] : found.ends[number] - 1])
    account = ledger.accounts.get("file-a")
    spans = account.spans() if account else []
    missing = [n for n in range(len(lengths)) if n not in kept and found.starts[n] not in dead]
    gaps = lacking(found, spans, dead)
    assert {byte for start, end in gaps for byte in range(start, end)} == {
        byte for n in missing for byte in range(found.starts[n], found.ends[n])
    }
    assert all(before[1] < after[0] for before, after in pairwise(gaps)), "neighbours are one gap"
    assert all(covers(spans, found.starts[n], found.ends[n]) for n in kept)
    assert list(altered(found, account)) == []


def test_records_cut_elsewhere_than_on_disk_cover_it_all_the_same() -> None:
    """A continuation that came after its record was given up is a record of its own in Kafka."""
    ledger = Ledger(parse)
    ledger.record(PLACE, 0, b"first")
    ledger.record(PLACE, 6, b"continued")
    assert covers(ledger.accounts["file-a"].spans(), 0, 16)
    assert not covers(ledger.accounts["file-a"].spans(), 0, 17)


def test_a_changed_byte_is_seen() -> None:
    ledger = Ledger(parse)
    ledger.record(PLACE, 0, b"same")
    ledger.record(PLACE, 5, b"othEr")
    assert list(altered(disk_file(b"same\nother\n"), ledger.accounts["file-a"])) == [5]


def test_files_that_begin_alike_are_identified_by_what_follows() -> None:
    one, other, new = disk_file(b"head\nx\n", "/one"), disk_file(b"head\ny\nz\n", "/other"), disk_file(b"head\nnew\n", "/new")
    ids = [file_id(b"head\n", ordinal) for ordinal in range(3)]
    ledger = Ledger(parse)
    for file, values in ((ids[0], (b"head", b"y", b"z")), (ids[1], (b"head", b"x"))):
        offset = 0
        for value in values:
            ledger.record(Place(file, "host", "/"), offset, value)
            offset += len(value) + 1
    for namesakes in (1, 3):
        assert [identify(file, namesakes, ledger.accounts) for file in (one, other, new)] == [ids[1], ids[0], ids[2]]


def test_a_dead_letter_whose_event_arrived_after_all_counts_no_longer(ledger: Ledger) -> None:
    for offset, value in enumerate((b"mended", b"waits", b"dead as ever")):
        ledger.record(PLACE, offset, value)
        ledger.dead_letter(PLACE, offset)
    ledger.dead_letter(PLACE, 99)
    ledger.document("mended", "i-1")
    assert ledger.buried() == {"file-a": {1, 2, 99}}
