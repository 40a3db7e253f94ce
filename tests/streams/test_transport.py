"""Delivery without a Kafka: what a fetch brings, when it is handed over, and when a rebalance may go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import transport
from streams.app import make_app
from streams.transport import BatchMessage, Consumer, NotDrained
from tailrace.settings import Settings
from tests.streams.records import Record

RAW, OTHER = TP("a.raw", 0), TP("b.raw", 0)


def records(tp: TP, *offsets: int) -> list[Any]:
    return [SimpleNamespace(**Record(b"", b"", offset, tp.partition, tp.topic)._asdict(), timestamp_type=0) for offset in offsets]


class Stage:
    """A consumer whose fetches and agent are the test's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app = make_app(Settings(state_dir=str(folder)), "parse")
        self.app.consumer_generation_id = 1
        self.fetches: asyncio.Queue[tuple[int, Mapping[TP, list[Any]]]] = asyncio.Queue()
        self.asked: list[frozenset[TP]] = []
        self.delivered: list[BatchMessage] = []
        self.room = asyncio.Semaphore(100)
        self.active = {RAW, OTHER}
        self.consumer: Any = Consumer(self.app.transport, self._take, _ignore, _ignore, loop=asyncio.get_running_loop())
        self.consumer._thread = SimpleNamespace(fetch=self._fetch)
        self.consumer.resume_flow()
        monkeypatch.setattr(self.consumer, "_get_active_partitions", lambda: self.active)
        monkeypatch.setattr(self.consumer, "highwater", lambda tp: 0)
        monkeypatch.setattr(self.consumer, "commit_and_end_transactions", _ignore)
        self.fetcher = SimpleNamespace(should_stop=False)

    async def _fetch(self, active: frozenset[TP], timeout_s: float) -> tuple[int, Mapping[TP, list[Any]]]:
        self.asked.append(active)
        return await self.fetches.get()

    async def _take(self, message: BatchMessage) -> None:
        await self.room.acquire()
        self.consumer._unacked_messages.add(message)
        self.delivered.append(message)

    def offers(self, generation: int, *batches: tuple[TP, list[Any]]) -> None:
        self.fetches.put_nowait((generation, dict(batches)))

    @asynccontextmanager
    async def draining(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.consumer._drain_messages(self.fetcher))
        try:
            yield
        finally:
            self.fetcher.should_stop = True
            self.offers(0)
            await asyncio.wait_for(task, 10)


async def _ignore(*_: object, **__: object) -> None:
    pass


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        await test(Stage(tmp_path, monkeypatch))

    asyncio.run(main())


def test_each_partition_of_a_fetch_is_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(stage: Stage) -> None:
        stage.offers(1, (RAW, records(RAW, 3, 4, 9)), (OTHER, records(OTHER, 7)))
        async with stage.draining():
            await until(lambda: len(stage.delivered) == 2)
        assert [(message.tp, message.offset, len(message.value)) for message in stage.delivered] == [(RAW, 9, 3), (OTHER, 7, 1)]
        for message in stage.delivered:
            stage.consumer.ack(message)
        assert {tp: stage.consumer._new_offset(tp) for tp in (RAW, OTHER)} == {RAW: 10, OTHER: 8}
        assert set(stage.consumer._filter_tps_with_pending_acks(["a.raw"])) == {RAW}

    run(tmp_path, monkeypatch, test)


def test_a_fetch_may_be_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(stage: Stage) -> None:
        stage.offers(1)
        stage.offers(1, (RAW, records(RAW, 3)))
        async with stage.draining():
            await until(lambda: stage.delivered)

    run(tmp_path, monkeypatch, test)


def test_a_batch_of_an_assignment_that_is_over_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(stage: Stage) -> None:
        stage.offers(0, (RAW, records(RAW, 3)))
        stage.offers(1, (RAW, records(RAW, 5)))
        async with stage.draining():
            await until(lambda: stage.delivered)
        assert [message.offset for message in stage.delivered] == [5]
        assert stage.delivered[0].generation_id == 1

    run(tmp_path, monkeypatch, test)


def test_what_is_read_before_a_new_assignment_is_ready_is_delivered_when_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that outlasts a rebalance. Without committed offsets nothing would go back to what it brought."""

    async def test(stage: Stage) -> None:
        async with stage.draining():
            await until(lambda: stage.asked)
            stage.consumer.stop_flow()
            stage.app.consumer_generation_id = 2
            stage.offers(2, (RAW, records(RAW, 0, 1)), (OTHER, records(OTHER, 0)))
            await until(stage.fetches.empty)
            await asyncio.sleep(0.05)
            assert stage.delivered == []
            stage.consumer.resume_flow()
            await until(lambda: len(stage.delivered) == 2)
        assert [(message.tp, message.offset) for message in stage.delivered] == [(RAW, 1), (OTHER, 0)]

    run(tmp_path, monkeypatch, test)


def test_a_full_queue_holds_the_reading_up_and_a_rebalance_frees_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(stage: Stage) -> None:
        stage.room = asyncio.Semaphore(1)
        for offset in (1, 2, 3):
            stage.offers(1, (RAW, records(RAW, offset)))
        async with stage.draining():
            await until(lambda: stage.fetches.qsize() == 1)
            assert len(stage.asked) == 2, "the third fetch waits until the second has found a place"
            stage.room.release()
            await until(lambda: len(stage.delivered) == 2 and len(stage.asked) == 3)
            stage.consumer.stop_flow()
            stage.app.consumer_generation_id = 2
            stage.offers(2, (RAW, records(RAW, 2)))
            await asyncio.sleep(0.05)
            assert len(stage.asked) == 3, "nothing is read before the flow goes on"
            stage.room.release()
            stage.consumer.resume_flow()
            await until(lambda: len(stage.delivered) == 3)
        assert [message.offset for message in stage.delivered] == [1, 2, 2]

    run(tmp_path, monkeypatch, test)


def test_what_is_paused_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "IDLE_S", 0.01)

    async def test(stage: Stage) -> None:
        stage.active = set()
        idle = []
        monkeypatch.setattr(stage.consumer, "sleep", lambda seconds: idle.append(seconds) or asyncio.sleep(seconds))
        async with stage.draining():
            await until(lambda: len(idle) > 2)
            assert stage.asked == [], "no partitions would mean all of them to aiokafka"
            stage.active = {OTHER}
            await until(lambda: stage.asked == [{OTHER}])

    run(tmp_path, monkeypatch, test)


def test_a_rebalance_waits_for_what_is_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(stage: Stage) -> None:
        stage.offers(1, (RAW, records(RAW, 3)))
        async with stage.draining():
            await until(lambda: stage.delivered)
        waiting = asyncio.create_task(stage.consumer.wait_empty())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        stage.consumer.ack(stage.delivered[0])
        await asyncio.wait_for(waiting, 10)

    run(tmp_path, monkeypatch, test)


def test_a_rebalance_that_would_leave_something_in_flight_ends_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "DRAIN_S", 0.0)

    async def test(stage: Stage) -> None:
        stage.offers(1, (RAW, records(RAW, 3)))
        async with stage.draining():
            await until(lambda: stage.delivered)
        with pytest.raises(NotDrained, match="did not acknowledge 1 batches"):
            await stage.consumer.wait_empty()
        stage.consumer.abandoned = True
        await stage.consumer.wait_empty()

    run(tmp_path, monkeypatch, test)
