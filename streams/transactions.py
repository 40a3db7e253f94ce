"""One partition's outputs and changelog, written by its owner alone: a Kafka transaction after another.

A worker that stood still for longer than the group waits, and then goes on, does not know yet that its partitions are another
worker's. Whatever it checked before it sends can be out of date when it sends, so only the broker can keep it from overwriting
what its successor wrote. It does so for transactions: each partition has a transactional id, taking it over ends the
predecessor's transaction, and everything that the predecessor sends from then on is refused. Consumers that read committed
records (librdkafka's and so the sink's default) see all that came of some batches, or nothing of it.
"""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.outbox import Output, Undelivered
from tailrace import kafka
from tailrace.errors import TailraceError
from tailrace.kafka_access import explained
from tailrace.settings import Kafka

TRANSACTION_MS = 120_000
"""A transaction that is open for longer is ended by the broker: how long an outage of Kafka may last before workers start anew, and
how long consumers may have to wait for what follows the transaction of a worker that was killed and has no successor."""
CALL_S = 5.0
"""How long one call waits for Kafka before it is made again: a stop is heard in between."""
QUEUE_RECORDS = 100_000
"""In librdkafka's queue; beyond it the transaction waits for acknowledgements."""
POLL_S = 0.1

_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError._FATAL}
"""`_FATAL` stands for one of the others that has been met before."""


class Fenced(TailraceError):
    """Another worker has taken over, or the broker has ended the transaction."""


class PartitionWriter:
    """`take_over` and `write` block, and may be called in any thread, by one at a time."""

    def __init__(self, settings: Kafka, transactional_id: str) -> None:
        self._settings = settings
        self._id = transactional_id
        self._refused: KafkaError | None = None
        self._offsets: dict[str, int] = {}
        self._abandoned = False
        conf = kafka.producer_config(
            settings,
            partitioner="murmur2_random",
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_MS,
            message_timeout_ms=TRANSACTION_MS,
            queue_buffering_max_messages=QUEUE_RECORDS,
        )
        self._producer = Producer({**conf, "log_level": 2})  # as of the outbox's

    def take_over(self) -> None:
        """From here on nobody else can write for this partition. Raises TailraceError where Kafka does not let us."""
        try:
            self._patiently(self._producer.init_transactions)
        except KafkaException as failure:
            error = failure.args[0]
            otherwise = TailraceError(f"cannot take over {self._id}: {error.str()}")
            raise explained(self._settings, error, otherwise, f"Write on transactional-id {self._id}") from None

    def abandon(self) -> None:
        """Have what blocks give up, since the worker ends. The transaction under way, if any, is the successor's to end."""
        self._abandoned = True

    def write(self, outputs: Sequence[Output]) -> dict[str, int]:
        """One transaction. Returns the offset of the last record of each topic.

        Raises Fenced where the partition is another's now, Undelivered where Kafka does not take a record; nothing of it counts then.
        """
        self._offsets.clear()
        producer = self._producer
        # The commit fails if any record has. To be told of each one costs 0.3 us, and a wait for the interpreter's lock.
        told = set({output.topic: number for number, output in enumerate(outputs)}.values())
        try:
            producer.begin_transaction()
            for number, output in enumerate(outputs):
                while True:
                    try:
                        output.hand_to(producer.produce, self._delivered if number in told else None)
                        break
                    except BufferError:
                        self._check_abandoned()
                        producer.poll(POLL_S)
            self._patiently(producer.commit_transaction)
        except KafkaException as failure:
            raise self._explained(failure.args[0]) from None
        return dict(self._offsets)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._offsets[message.topic()] = message.offset()
        else:
            self._refused = self._refused or error

    def _check_abandoned(self) -> None:
        if self._abandoned:
            raise Undelivered(f"the worker ended while Kafka was away, in the middle of what {self._id} wrote")

    def _patiently(self, call: Callable[[float], None]) -> None:
        """Again while Kafka is away."""
        while True:
            self._check_abandoned()
            try:
                call(CALL_S)
            except KafkaException as failure:
                if not failure.args[0].retriable():
                    raise
            else:
                return

    def _explained(self, error: KafkaError) -> TailraceError:
        if error.code() == KafkaError._STATE:  # `produce` in a transaction that has failed: its end says why
            try:
                self._producer.commit_transaction(CALL_S)
            except KafkaException as failure:
                error = failure.args[0]
        if error.code() in _FENCED:
            return Fenced(f"another worker has taken over {self._id} while this one stood still, or Kafka was away for too long")
        why = self._refused or error if error.code() == KafkaError._INCONSISTENT else error  # which only counts the failures
        return Undelivered(f"Kafka did not take what {self._id} wrote: {why.str()}")
