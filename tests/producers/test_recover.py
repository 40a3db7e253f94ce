"""What records in any order say of a file; and the command, after the state folder is gone."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.reader import sign
from producers.recover import Coverage
from schemas.place import Place, split_key
from tailrace.settings import Settings
from tests.helpers import read_topic
from tests.producers.conftest import event
from tests.producers.test_cli import configure, payloads, ship

VALUES = st.lists(st.binary(max_size=30).map(lambda value: value.replace(b"\n", b"")), min_size=1, max_size=30)
PLACE = Place("0123", "host", "/logs/a.log")


@given(VALUES, st.randoms(use_true_random=False), st.data())
def test_only_what_is_there_without_a_gap_counts_in_whatever_order_it_comes(
    values: list[bytes], random: "st.random.Random", data: st.DataObject
) -> None:
    content = b"".join(value + b"\n" for value in values)
    begins = [sum(len(value) + 1 for value in values[:number]) for number in range(len(values))]
    lost = data.draw(st.sets(st.integers(0, len(values) - 1), max_size=3))
    told = [number for number in range(len(values)) if number not in lost]
    told += data.draw(st.lists(st.sampled_from(told), max_size=5)) if told else []  # some twice
    random.shuffle(told)
    coverage = Coverage()
    for number in told:
        coverage.add(begins[number], values[number])
    expected = begins[min(lost)] if lost else len(content)
    entry = coverage.entry("trace", PLACE)
    assert entry.offset == expected
    assert (entry.signed, entry.signature) == sign(content[:expected])


def test_a_record_that_a_late_line_completed_overlaps_and_both_count() -> None:
    coverage = Coverage()
    for begin, value in ((0, b"one"), (4, b"two"), (0, b"one\ntwo"), (8, b"three")):
        coverage.add(begin, value)
    assert coverage.entry("trace", PLACE).offset == 14


def test_a_record_of_which_only_the_beginning_is_kept_counts_whole() -> None:
    content = b"one\n" + b"T" * 200_000 + b"\n" + b"three\n"
    coverage = Coverage()
    for begin, value, length in ((200_005, b"three", 0), (4, b"T" * 100_000, 200_001), (0, b"one", 0)):
        coverage.add(begin, value, length)
    entry = coverage.entry("trace", PLACE)
    assert (entry.offset, entry.signed, entry.signature) == (len(content), *sign(content[: 64 * 1024]))


def test_a_signature_ends_where_a_reader_ends_it() -> None:
    content = b"".join(b"%06d " % number + b"x" * 992 + b"\n" for number in range(100))
    coverage = Coverage()
    for begin in range(0, len(content), 1000):
        coverage.add(begin, content[begin : begin + 999])
    entry = coverage.entry("trace", PLACE)
    assert (entry.offset, entry.signed, entry.signature) == (100_000, *sign(content[: 64 * 1024]))


@pytest.mark.servers
def test_after_the_state_folder_is_lost_nothing_is_sent_again_and_nothing_is_left_out(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    logs = tmp_path / "logs"
    (logs / "a.trace").write_bytes(b"".join(map(event, range(500))))
    (logs / "b.trace").write_bytes(event(1000) + event(1001)[:-4])
    assert ship(config, "--once").exit_code == 0
    shutil.rmtree(tmp_path / "state")
    (logs / "a.trace").rename(logs / "renamed.trace")
    with (logs / "renamed.trace").open("ab") as file:
        file.write(event(500))
    (logs / "b.trace").write_bytes(event(1000) + event(1001))
    (logs / "c.trace").write_bytes(event(2000))
    plan = ship(config, "--dry-run", "--recover")
    assert "3 of 3 files with something to ship: 92 B" in plan.stdout, plan.output
    assert not (tmp_path / "state").exists()
    assert ship(config, "--once", "--recover").exit_code == 0
    records = read_topic(settings, "ezcast", "raw")
    whole = [record for record in records if not split_key(record.key or b"")[0].torn]
    expected = [*map(event, range(501)), event(1000), event(1001), event(2000)]
    assert sorted(record.value or b"" for record in whole) == sorted(line[:-1] for line in expected)
    again = ship(config, "--once", "--recover")
    assert again.exit_code == 1
    assert "holds a checkpoint of 3 files: --recover is for one that was lost" in again.stderr


@pytest.mark.servers
def test_a_record_that_was_too_large_is_no_gap(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    large = event(2, "T" * 9_000_000)
    (tmp_path / "logs" / "a.trace").write_bytes(event(1) + large + event(3))
    assert ship(config, "--once").exit_code == 0
    shutil.rmtree(tmp_path / "state")
    assert ship(config, "--once", "--recover").exit_code == 0
    assert sorted(payloads(settings)) == [event(1)[:-1], event(3)[:-1]], "nothing was sent again"
    assert len(read_topic(settings, "ezcast", "dead")) == 1


@pytest.mark.servers
def test_records_of_another_host_do_not_count(tmp_path: Path, settings: Settings) -> None:
    config = configure(tmp_path, settings)
    (tmp_path / "logs" / "a.trace").write_bytes(event(1) + event(2))
    assert ship(config, "--once").exit_code == 0
    shutil.rmtree(tmp_path / "state")
    config.write_text(config.read_text().replace('"test-host"', '"other-host"'))
    assert ship(config, "--once", "--recover").exit_code == 0
    assert len(payloads(settings)) == 4
