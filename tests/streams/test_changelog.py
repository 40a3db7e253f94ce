"""Where the reading of a changelog begins, without a Kafka."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from faust.types import TP

from streams import recovery
from streams.app import make_app
from streams.recovery import BatchRecovery
from streams.store import MemoryPartition
from streams.table import SessionTable
from tailrace.settings import Kafka, Settings

AT = TP("changelog", 0)


def starts(folder: Path, monkeypatch: pytest.MonkeyPatch, kept: int, ends: list[tuple[int, int]]) -> tuple[int, int]:
    """From where a partition that is kept up to an offset is read, and what is kept of it then, as its ends are told one by one."""
    told: Iterator[tuple[int, int]] = iter(ends)
    partition = MemoryPartition()
    partition.recover({}, kept)
    app = make_app(Settings(state_dir=str(folder)), "sessionize", Table=SessionTable)

    async def main() -> dict[TP, int]:
        made = BatchRecovery(app, Kafka(bootstrap_servers="127.0.0.1:1"))
        made._reader.close()
        monkeypatch.setattr(made, "_reader", SimpleNamespace(ends=lambda _: next(told)))
        monkeypatch.setattr(made, "_partition", lambda _: partition)
        return (await made._offsets([AT]))[0]

    return asyncio.run(main())[AT], partition.offset


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert starts(tmp_path, monkeypatch, 7, [(0, 20)]) == (8, 7)
    assert starts(tmp_path, monkeypatch, -1, [(0, 0)]) == (0, -1)
    assert starts(tmp_path, monkeypatch, 7, [(15, 20)]) == (15, 7), "its beginning has been deleted"


def test_a_transaction_that_is_about_to_count_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that was this worker's a moment ago: its copy is right, and is not read anew."""
    assert starts(tmp_path, monkeypatch, 7, [(0, 5), (0, 5), (0, 9)]) == (8, 7)


def test_a_topic_that_has_lost_records_is_read_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PROMISED_S", 0.0)
    assert starts(tmp_path, monkeypatch, 7, [(0, 5), (0, 5)]) == (0, -1)
