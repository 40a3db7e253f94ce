"""Bookkeeping of records, events and documents, and of the bytes that Kafka holds of a file."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import get_args

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.coverage import altered, covers, identify, lacking
from reports.disk import DiskFile, read
from reports.ledger import Fate, Ledger, Owed
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
def ledger() -> Iterator[Ledger]:
    with closing(Ledger(parse)) as ledger:
        yield ledger


def fates(ledger: Ledger) -> dict[str, str]:
    return {event.id: event.fate for event in ledger.owed(*get_args(Fate))}


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
    assert dict(ledger.foreign()) == {"else": "i-1"}
    assert [ledger.count(fate) for fate in get_args(Fate)] == [1, 1, 1, 2]
    assert ledger.fates() == {"file-a": {"indexed": 1, "double": 2, "missing": 1, "dead": 1}}


def test_a_record_read_later_explains_its_document(ledger: Ledger) -> None:
    ledger.document("late", "i-1")
    ledger.explain(parse(b"late", PLACE, 0))
    assert not ledger.any_foreign()
    assert not fates(ledger)


def test_repeated_records_and_repeated_events_are_told_apart(ledger: Ledger) -> None:
    for place, offset, value in [
        (PLACE, 0, b"a"),
        (PLACE, 0, b"a"),
        (PLACE, 2, b"a"),
        (PLACE, 2, b"a"),
        (Place("file-b", "h", "/b"), 0, b"a"),
    ]:
        ledger.record(place, offset, value)
    counts = {file: (account.shipped, account.repeated, account.repeated_events) for file, account in ledger.accounts.items()}
    assert counts == {"file-a": (2, 2, 1), "file-b": (1, 0, 1)}
    assert list(ledger.owed("missing")) == [Owed("a", "file-a", 0, "missing")]


@pytest.mark.parametrize("torn_first", [True, False])
def test_a_whole_record_replaces_its_torn_beginning(ledger: Ledger, torn_first: bool) -> None:
    records = [(TORN, 5, b"dead beg"), (PLACE, 5, b"whole record")]
    for place, offset, value in records if torn_first else reversed(records):
        ledger.record(place, offset, value)
    account = ledger.accounts["file-a"]
    assert account.spans() == [(5, 5 + len(b"whole record") + 1)]
    assert (account.dead_due(), account.conflicting) == ([], [])
    assert fates(ledger) == {"whole record": "missing"}


def test_records_of_one_place_that_differ_are_conflicting(ledger: Ledger) -> None:
    ledger.record(PLACE, 5, b"one")
    ledger.record(PLACE, 5, b"two")
    assert ledger.accounts["file-a"].conflicting == [5]


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Callable[[bytes], DiskFile]]:
    """on_disk(content): a file that holds it."""
    numbers = count()
    with TemporaryFile() as spool:

        def make(content: bytes) -> DiskFile:
            path = tmp_path / str(next(numbers))
            path.write_bytes(content)
            return read(str(path), None, spool)

        yield make


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12), data=st.data())
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_what_lacks_is_exactly_what_was_not_shipped(on_disk: Callable[[bytes], DiskFile], lengths: list[int], data: st.DataObject) -> None:
    content = b"".join(b"%0*d\n" % (length, number) for number, length in enumerate(lengths))
    found = on_disk(content)
    records = [(start, end) for start, end, _ in found.records()]
    kept = data.draw(st.lists(st.sampled_from(records), unique=True))
    dead = set(data.draw(st.lists(st.sampled_from([start for start, _ in records]), unique=True)))
    with closing(Ledger(parse)) as ledger:
        for start, end in kept:
            ledger.record(PLACE, start, content[start : end - 1])
        account = ledger.accounts.get("file-a")
        spans = account.spans() if account else []
        missing = [record for record in records if record not in kept and record[0] not in dead]
        gaps = lacking(found, spans, dead)
        assert {byte for start, end in gaps for byte in range(start, end)} == {byte for start, end in missing for byte in range(start, end)}
        assert all(before[1] < after[0] for before, after in pairwise(gaps)), "neighbours are one gap"
        assert all(covers(spans, start, end) for start, end in kept)
        assert list(altered(found, account)) == []


def test_records_cut_elsewhere_than_on_disk_cover_it_all_the_same(ledger: Ledger) -> None:
    """A continuation that came after its record was given up is a record of its own in Kafka."""
    ledger.record(PLACE, 0, b"first")
    ledger.record(PLACE, 6, b"continued")
    assert covers(ledger.accounts["file-a"].spans(), 0, 16)
    assert not covers(ledger.accounts["file-a"].spans(), 0, 17)


def test_a_changed_byte_is_seen(ledger: Ledger, on_disk: Callable[[bytes], DiskFile]) -> None:
    ledger.record(PLACE, 0, b"same")
    ledger.record(PLACE, 5, b"othEr")
    assert list(altered(on_disk(b"same\nother\n"), ledger.accounts["file-a"])) == [5]


def test_files_that_begin_alike_are_identified_by_what_follows(ledger: Ledger, on_disk: Callable[[bytes], DiskFile]) -> None:
    one, other, new = on_disk(b"head\nx\n"), on_disk(b"head\ny\nz\n"), on_disk(b"head\nnew\n")
    ids = [file_id(b"head\n", ordinal) for ordinal in range(3)]
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
    ledger.forget_mended()
    assert ledger.dead("file-a") == {1, 2, 99}
    ledger.forget_dead()
    assert ledger.dead("file-a") == set()
