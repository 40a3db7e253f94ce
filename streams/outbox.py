"""What batches produce, on its way to Kafka, and the word that Kafka holds it.

A batch's outputs are handed over together; its callback runs when the last of them is acknowledged. A delivery that fails
for good fails the worker: nothing after it is acknowledged, so the batch is read again by whoever comes next.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tailrace import kafka
from tailrace.errors import TailraceError
from tailrace.kafka_access import explained
from tailrace.settings import Kafka

POLL_S = 0.005
"""Between two looks for acknowledgements, while any are outstanding."""
QUEUE_RECORDS = 200_000
"""In librdkafka's queue; a batch that finds it full waits. With `QUEUE_KIB` this bounds the memory of what is in flight."""
QUEUE_KIB = 256 * 1024


class Output(msgspec.Struct, frozen=True, gc=False):
    """A record to produce. There is one for every event: a Struct costs a third of a NamedTuple to make."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int = -1
    """-1: by the key (murmur2, as Java clients do)."""
    headers: list[tuple[str, bytes]] | None = None

    def hand_to(self, produce: Callable[..., None], delivered: Callable[[KafkaError | None, Message], None] | None) -> None:
        """Raises what a producer's `produce` raises."""
        if self.headers is None:  # naming none costs 0.4 us
            produce(self.topic, self.value, self.key, self.partition, delivered)
        else:
            produce(self.topic, self.value, self.key, self.partition, delivered, headers=self.headers)


def by_topic(outputs: Iterable[Output]) -> Counter[str]:
    """How many records go to each topic."""
    return Counter(map(attrgetter("topic"), outputs))


class Undelivered(TailraceError):
    """Kafka refused a record for good: the worker stops, and what it had not committed is read again."""


class _Shipment:
    """One batch's outputs: counts acknowledgements down."""

    __slots__ = ("_fail", "_pending", "_then")

    def __init__(self, pending: int, then: Callable[[], None], fail: Callable[[KafkaError, Message], None]) -> None:
        self._pending = pending
        self._then = then
        self._fail = fail

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._fail(error, message)
            return
        self._pending -= 1
        if not self._pending:
            self._then()


class Outbox:
    """The worker's producer. All methods belong to the event loop's thread, and so do the callbacks."""

    def __init__(self, settings: Kafka, fail: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._fail = fail
        conf = kafka.producer_config(
            settings,
            partitioner="murmur2_random",
            queue_buffering_max_messages=QUEUE_RECORDS,
            queue_buffering_max_kbytes=QUEUE_KIB,
        )
        # It would be heard when something is sent next, minutes late: its errors are raised, and `outage` tells when Kafka is away.
        self._producer = Producer({**conf, "log_level": 2})
        self._outstanding = asyncio.Event()

    async def send(self, outputs: Sequence[Output], then: Callable[[], None]) -> None:
        """Produce in order; `then` runs once Kafka holds all. Waits while librdkafka's queue is full.

        `then` runs at once where there is nothing to send.
        """
        if not outputs:
            then()
            return
        delivered = _Shipment(len(outputs), then, self._undelivered).delivered
        produce = self._producer.produce
        for output in outputs:
            while True:
                try:
                    output.hand_to(produce, delivered)
                    break
                except BufferError:
                    self._outstanding.set()
                    await asyncio.sleep(POLL_S)
                except KafkaException as error:
                    raise Undelivered(f"cannot produce to {output.topic}: {error.args[0].str()}") from None
        self._outstanding.set()

    def _undelivered(self, error: KafkaError, message: Message) -> None:
        topic = message.topic()
        otherwise = Undelivered(f"Kafka did not take a record for {topic} [{message.partition()}]: {error.str()}")
        self._fail(explained(self._settings, error, otherwise, f"Write on topic {topic}"))

    async def poll(self) -> None:
        """Serve acknowledgements for ever; the worker runs this as a task."""
        while True:
            await self._outstanding.wait()
            self._producer.poll(0)
            if len(self._producer):
                await asyncio.sleep(POLL_S)
            else:
                self._outstanding.clear()

    def __len__(self) -> int:
        """Records that Kafka has not acknowledged yet."""
        return len(self._producer)
