"""What both stores promise, and what RocksDB adds: it is there again after any end."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import store
from streams.store import HORIZON, DiskPartition, MemoryPartition, Partition, open_on_disk, page_key
from tailrace.errors import ConfigError

Make = Callable[[], Partition]


@pytest.fixture(params=["memory", "rocksdb"])
def partition(request: pytest.FixtureRequest, tmp_path: Path) -> Partition:
    return MemoryPartition() if request.param == "memory" else open_on_disk(tmp_path / "0", "topic")


def test_changes_are_read_back_at_once(partition: Partition) -> None:
    partition.change({page_key(b"a", b""): b"1", page_key(b"a", b"x"): b"2", page_key(b"ab", b""): b"3", HORIZON: b"h"})
    assert partition.pages(b"a") == {b"": b"1", b"x": b"2"}
    assert partition.pages(b"ab") == {b"": b"3"}
    assert partition.pages(b"nobody") == {}
    assert (partition.horizon, partition.offset) == (b"h", -1)


def test_the_first_page_of_every_client_is_told(partition: Partition) -> None:
    partition.recover({page_key(b"a", b""): b"1", page_key(b"a", b"x"): b"2", page_key(b"longer", b"y"): b"3", HORIZON: b"h"}, 5)
    assert {client: pages[min(pages)] for client, pages in partition.clients()} == {b"a": b"1", b"longer": b"3"}
    assert partition.offset == 5


def test_what_was_deleted_is_gone(partition: Partition) -> None:
    partition.recover({page_key(b"a", b""): b"1", page_key(b"b", b""): b"2"}, 1)
    partition.change({page_key(b"a", b""): None})
    assert partition.pages(b"a") == {}
    partition.keep({page_key(b"a", b""): None}, 3)
    assert partition.pages(b"a") == {}
    assert [client for client, _ in partition.clients()] == [b"b"]


def test_what_changed_again_meanwhile_is_not_overwritten_by_what_is_kept(partition: Partition) -> None:
    key = page_key(b"a", b"")
    partition.change({key: b"1"})
    partition.change({key: b"2"})
    partition.keep({key: b"1"}, 1)
    assert partition.pages(b"a") == {b"": b"2"}


def test_everything_can_be_forgotten(partition: Partition) -> None:
    partition.recover({page_key(b"a", b""): b"1", HORIZON: b"h"}, 1)
    partition.clear()
    assert (list(partition.clients()), partition.horizon, partition.offset) == ([], None, -1)


@given(st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3), st.none() | st.binary(max_size=5), st.booleans()), max_size=40))
def test_both_stores_hold_the_same(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, bytes, bytes | None, bool]]) -> None:
    folder = tmp_path_factory.mktemp("store")
    memory, disk = MemoryPartition(), open_on_disk(folder, "topic")
    waiting: dict[bytes, bytes | None] = {}
    for offset, (client, name, value, keep) in enumerate(steps):
        change = {page_key(client, name): value}
        waiting |= change
        for each in (memory, disk):
            each.change(change)
            if keep:
                each.keep(dict(waiting), offset)
        if keep:
            waiting.clear()
        assert disk.pages(client) == memory.pages(client)
    disk.keep(waiting, len(steps))
    disk.close()
    again = open_on_disk(folder, "topic")
    assert again.offset == len(steps)
    assert {client: again.pages(client) for client, _ in again.clients()} == dict(memory.clients())
    again.close()


def test_a_disk_holds_what_was_kept_and_nothing_more(tmp_path: Path) -> None:
    before = open_on_disk(tmp_path, "topic")
    before.recover({page_key(b"a", b""): b"1", HORIZON: b"h"}, 7)
    before.change({page_key(b"a", b""): b"2", HORIZON: b"later"})
    before.close()
    after = open_on_disk(tmp_path, "topic")
    assert (after.pages(b"a"), after.horizon, after.offset) == ({b"": b"1"}, b"h", 7)


@pytest.mark.parametrize("why", ["another topic", "tombstones are gone"])
def test_a_copy_that_cannot_be_brought_up_to_date_is_dropped(tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_on_disk(tmp_path, "topic")
    before.recover({page_key(b"a", b""): b"1", HORIZON: b"h"}, 7)
    before.close()
    if why == "tombstones are gone":
        monkeypatch.setattr(store, "TOMBSTONES_S", 0.0)
    after = open_on_disk(tmp_path, "topic" if why == "tombstones are gone" else "another")
    assert (list(after.clients()), after.horizon, after.offset) == ([], None, -1)


def test_a_folder_that_is_in_use_is_left_to_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOCKED_S", 0.0)
    first = open_on_disk(tmp_path / "0", "topic")
    first.recover({page_key(b"a", b""): b"1"}, 7)
    second = open_on_disk(tmp_path / "0", "topic")
    assert second.offset == -1
    assert (tmp_path / "0.2").is_dir()
    first.close()
    assert DiskPartition(tmp_path / "0", "topic").offset == 7


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"stream\.store: cannot keep sessions in .*file/0"):
        open_on_disk(tmp_path / "file" / "0", "topic")


def test_without_rocksdb_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    store.require_rocksdb()
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    with pytest.raises(ConfigError, match=r"needs the extra `rocksdb`"):
        store.require_rocksdb()
