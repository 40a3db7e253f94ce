"""What batches produce, on its way to Kafka, and the word that Kafka holds it.

A batch's outputs are handed over together; its callback runs at the next moment at which Kafka holds all that was handed over. To be
told of each record would be exact, and costs 0.5 to 1 us an event. A delivery that fails for good fails the worker: nothing after it is
acknowledged, so the batch is read again by whoever comes next.
"""

import asyncio
import time
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
HOLD_S = 0.5
"""Without a moment at which Kafka holds everything, the next batch waits for one: some 30 ms, while a steady trickle flows."""
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
        conf["log_level"] = 2
        self._producer = Producer({**conf, "on_delivery": self._undelivered, "delivery.report.only.error": True})
        self._handed_over: list[Callable[[], None]] = []
        """What runs when Kafka holds everything."""
        self._since = 0.0
        """When the first of it was handed over."""
        self._refused = False
        self._outstanding = asyncio.Event()
        self._settled = asyncio.Event()

    async def send(self, outputs: Sequence[Output], then: Callable[[], None]) -> None:
        """Produce in order; `then` runs once Kafka holds all. Waits while librdkafka's queue is full, and for HOLD_S.

        `then` runs at once where there is nothing to send.
        """
        if not outputs:
            then()
            return
        self._settle()
        while self._handed_over and time.monotonic() - self._since > HOLD_S:
            await self._settled.wait()
        produce = self._producer.produce
        for output in outputs:
            while True:
                try:
                    output.hand_to(produce, None)
                    break
                except BufferError:
                    self._outstanding.set()
                    await asyncio.sleep(POLL_S)
                except KafkaException as error:
                    raise Undelivered(f"cannot produce to {output.topic}: {error.args[0].str()}") from None
        if not self._handed_over:
            self._since = time.monotonic()
        self._handed_over.append(then)
        self._settled.clear()
        self._outstanding.set()

    def _undelivered(self, error: KafkaError, message: Message) -> None:
        self._refused = True
        topic = message.topic()
        otherwise = Undelivered(f"Kafka did not take a record for {topic} [{message.partition()}]: {error.str()}")
        self._fail(explained(self._settings, error, otherwise, f"Write on topic {topic}"))

    def _settle(self) -> bool:
        """Serve what librdkafka has to tell; whether Kafka holds everything that was handed over, in which case that is told."""
        self._producer.poll(0)
        if len(self._producer) or self._refused:
            return False
        finished, self._handed_over = self._handed_over, []
        self._settled.set()
        for then in finished:
            then()
        return True

    async def poll(self) -> None:
        """Look for acknowledgements for ever; the worker runs this as a task."""
        while True:
            await self._outstanding.wait()
            if self._settle():
                self._outstanding.clear()
            else:
                await asyncio.sleep(POLL_S)
