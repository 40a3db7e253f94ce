"""What aiokafka's fetcher makes of the bytes of a fetch."""

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from streams.records import Record, use_light_records


def test_a_fetch_gives_records_of_the_fields_that_workers_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "PartitionRecords", fetcher.PartitionRecords)  # puts back what there was
    use_light_records()
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10_000)
    for offset, (key, value) in enumerate([(b"a", b"1"), (None, b"2"), (b"c", None)]):
        builder.append(offset, 1_000 + offset, key, value, [("name", b"header")])
    fetched = fetcher.PartitionRecords(TP("a.raw", 3), MemoryRecords(bytes(builder.build())), [], 1, None, None, True, 0)
    assert list(fetched) == [Record("a.raw", 3, 1, 1_001, None, b"2"), Record("a.raw", 3, 2, 1_002, b"c", None)]
    assert fetched.next_fetch_offset == 3
