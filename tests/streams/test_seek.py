"""Where a worker goes on reading after a rebalance, on a real broker."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.transport import ConsumerThread
from tests.streams.cluster import Cluster

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


def test_after_a_rebalance_all_that_is_not_committed_is_read_again(cluster: Cluster) -> None:
    """Also where nothing has ever been committed, as by a worker that has just been started for the first time."""
    known, fresh = (TopicPartition(cluster.topic("clicks", "raw"), number) for number in (0, 1))
    cluster.publish("clicks", [(b"", b"%d" % number, tp.partition) for tp in (known, fresh) for number in range(3)])

    async def main() -> list[dict[TopicPartition, list[bytes]]]:
        consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=cluster.settings.kafka.bootstrap_servers,
            group_id=f"{cluster.settings.kafka.topic_prefix}seek",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        consumer.assign([known, fresh])
        await consumer.start()
        try:
            first = await read(consumer)
            await consumer.commit({known: 2})
            thread: Any = SimpleNamespace(_ensure_consumer=lambda: consumer)
            assert await ConsumerThread._seek_to_committed(thread) == {known: 2, fresh: None}
            return [first, await read(consumer)]
        finally:
            await consumer.stop()

    async def read(consumer: Any) -> dict[TopicPartition, list[bytes]]:
        found: dict[TopicPartition, list[bytes]] = {}
        while not all(values and values[-1] == b"2" for values in (found.get(known), found.get(fresh))):
            for tp, records in (await consumer.getmany(timeout_ms=1000)).items():
                found.setdefault(tp, []).extend(record.value for record in records)
        return found

    assert asyncio.run(main()) == [{known: [b"0", b"1", b"2"], fresh: [b"0", b"1", b"2"]}, {known: [b"2"], fresh: [b"0", b"1", b"2"]}]
