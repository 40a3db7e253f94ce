"""Where the reading of a changelog begins and ends."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import Producer, TopicPartition
from faust.types import TP

from streams import recovery
from streams.app import make_app
from streams.recovery import BatchRecovery, ChangelogReader, Fetched
from streams.store import MemoryPartition
from streams.table import SessionTable
from tailrace import kafka
from tailrace.settings import Kafka, Settings
from tests.helpers import eventually

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


@pytest.mark.servers
@pytest.mark.parametrize(("deleted", "read"), [(0, 10), (6, 4), (10, 0)])
def test_the_end_is_reached_whatever_has_been_deleted_meanwhile(settings: Settings, deleted: int, read: int) -> None:
    """Nothing, the records that are about to be read, all of them."""
    admin = kafka.connect(settings.kafka)
    kafka.ensure_topics(admin, settings.kafka, ["clicks"])
    at = TP(kafka.topic(settings.kafka, "clicks", "events"), 0)
    producer = Producer(kafka.producer_config(settings.kafka))
    for number in range(10):
        producer.produce(at.topic, b"value", b"%d" % number, at.partition)
    assert producer.flush(10) == 0
    if deleted:
        admin.delete_records([TopicPartition(at.topic, at.partition, deleted)])[TopicPartition(at.topic, at.partition)].result(timeout=10)
    reader = ChangelogReader(settings.kafka, "nobody")
    found: list[Fetched] = []
    reader.start({at: 0})

    def read_on() -> bool:
        found.extend(reader.fetch().values())
        return bool(found) and found[-1].at_end

    eventually(read_on, "the end is reached")
    assert (sum(fetch.records for fetch in found), found[-1].offset, reader.ends(at)) == (read, 9, (deleted, 10))
    reader.close()
