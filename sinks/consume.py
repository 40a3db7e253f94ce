"""The loop of a sink: records from Kafka to the lanes, and offsets back to Kafka."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from elasticsearch import Elasticsearch

from schemas.source import Source
from sinks import bulk
from sinks.bulk import PATCH, Partition, Record, Splicer, Unusable
from sinks.counts import Counts, in_words
from sinks.dead_letters import DeadLetters
from sinks.lanes import LANES, Lane, lane_number
from sinks.lease import Lease
from sinks.offsets import Offsets
from sinks.topics import Topics
from sinks.writer import Writer
from tailrace import kafka
from tailrace.dead_share import DeadShare
from tailrace.errors import Refused, TailraceError
from tailrace.kafka_access import explained
from tailrace.settings import Settings

log = logging.getLogger("tailrace.sink")

FETCH = 5_000
"""Records taken from librdkafka at once."""
LINGER_S = 0.1
"""How long records wait for company before they are sent, where there are few."""
PATIENCE_S = 5.0
"""How long a lane without room is waited for before its partitions are paused."""
COLLECT_EVERY = 100_000
"""Objects made between two searches for garbage in cycles. Records and answers come by the thousand and are never garbage of that kind;
with Python's 700 a fifth of the sink's time went into looking through them."""
COMMIT_EVERY_S = 1.0
"""Under load; when nothing is left to do, offsets are committed at once."""
SAY_EVERY_S = 10.0
SESSION_TIMEOUT_MS = 10_000
"""After a kill the partitions go to another sink, or to this one's successor, this late; heartbeats have a thread of their own."""
COMMITTED_S = 5.0
"""How long Kafka is given to say what was committed before, which only the lag needs."""
GRACE_S = 10.0
"""How long work in hand is carried on when the sink stops or loses partitions."""

_REFUSALS = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.SASL_AUTHENTICATION_FAILED}


class Sink:
    """Reads `<source>.enriched` of its sources until it is stopped.

    A sink owns what it reads only while its partitions are assigned. The assignment is eager (all partitions are given up at each
    rebalance), so that giving up is one thing for a stop and a rebalance: carry on for a moment, drop the rest, commit.
    """

    def __init__(self, settings: Settings, sources: Iterable[Source], client: Elasticsearch) -> None:
        topics = {kafka.topic(settings.kafka, source.name, "enriched"): source for source in sources}
        self._kafka = settings.kafka
        self._splicers = {topic: Splicer(source, settings.elasticsearch.index_prefix) for topic, source in topics.items()}
        self._changed = threading.Condition()
        self._cancelled = threading.Event()
        self._lease = Lease()
        self._topics = Topics(settings.kafka, topics)
        self._offsets = Offsets()
        self.counts = Counts()
        self._last_commit = time.monotonic()
        self._commit_failed = False
        self._failure: TailraceError | None = None
        self._paused: set[Lane] = set()
        self._full_since: float | None = None
        dead_letters = DeadLetters(
            Producer(kafka.producer_config(settings.kafka)),
            {topic: kafka.dead_topic(settings.kafka, source.name, "sink") for topic, source in topics.items()},
            DeadShare("sink", ", ".join(source.name for source in topics.values()), settings.max_dead_share, files=1),
        )
        url = settings.elasticsearch.url
        version_fields = {topic: source.version_field for topic, source in topics.items() if source.version_field}
        self._lanes = [
            Lane(
                f"lane-{number}",
                Writer(client, url, version_fields, dead_letters, self.counts, self._cancelled, self._lease),
                self._offsets.settle,
                self._changed,
            )
            for number in range(LANES)
        ]
        self._lane_of: dict[Partition, Lane] = {}
        self._ends: dict[Partition, int] = {}
        """Of the assigned partitions, as far as the client knows them without asking. Replaced as a whole, for readers in other threads."""
        conf = kafka.client_config(
            settings.kafka,
            group_id=kafka.group(settings.kafka, "sink"),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            enable_partition_eof=True,
            partition_assignment_strategy="range",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            queued_max_messages_kbytes=32 * 1024,
            error_cb=self._on_error,
        )
        self._consumer = Consumer({**conf, "on_commit": self._on_commit})
        self._consumer.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def run(self, stop: threading.Event) -> None:
        """Carry records until `stop` is set.

        Raises Refused and TailraceError where nothing can be written or read any more. What was settled is committed either way.
        """
        with self._lease.kept():
            self._run(stop)
        self._raise_failure()

    def _run(self, stop: threading.Event) -> None:
        said, before = time.monotonic(), Counter[str]()
        try:
            while not stop.is_set():
                self._lease.check()
                self._topics.check()
                if self._may_read():
                    self._take(self._consumer.consume(FETCH, LINGER_S))
                self._submit_few()
                self._raise_failure()
                self._commit_sometimes()
                self._look()
                now = time.monotonic()
                if now - said >= SAY_EVERY_S:
                    before = self._say(before, now - said)
                    said = now
        finally:
            self._settle()
            self._say(before, time.monotonic() - said)
            self._consumer.close()
            for lane in self._lanes:
                lane.close()

    def _take(self, records: list[Any]) -> None:
        """Splice records and hand full batches to their lanes. The hot loop: 3 us a record, two of them in `splice`."""
        lane_of, splicers = self._lane_of, self._splicers
        for record in records:
            if record.error() is not None:
                self._take_notice(record)
                continue
            partition = record.topic(), record.partition()
            lane = lane_of.get(partition)
            if lane is None:
                continue  # taken away while these records were on their way: the new owner reads them
            batch = lane.filling
            try:
                operation = splicers[partition[0]].splice(record.value() or b"")
                batch.operations.append(operation)
                batch.records.append(record)
                batch.size += len(operation)
                batch.patches += operation.startswith(PATCH)
            except ValueError as error:
                batch.unusable.append((record, Unusable("undecodable", str(error))))
            except Unusable as error:
                batch.unusable.append((record, error))
            batch.positions[partition] = record.offset() + 1
            if batch.size >= bulk.MAX_BYTES or len(batch.records) + len(batch.unusable) >= bulk.MAX_OPERATIONS:
                lane.submit()

    def _take_notice(self, record: Any) -> None:
        """Of what comes in place of a record."""
        if record.error().code() == KafkaError._PARTITION_EOF:
            self._at_end(record)
        else:
            log.warning("Kafka: %s", record.error().str())
            self._on_error(record.error(), record.topic())

    def _at_end(self, end: Any) -> None:
        """Settle what follows the last record: a transaction ends with a marker, which takes an offset and is no record."""
        partition = end.topic(), end.partition()
        if partition in self._lane_of:
            self._lane_of[partition].filling.positions[partition] = end.offset()

    def _submit_few(self) -> None:
        """Send what has gathered in a lane that has nothing else to do."""
        for lane in self._lanes:
            if lane.filling and not lane.busy():
                lane.submit()

    def _may_read(self) -> bool:
        """Whether every lane that is read for has room; waits a little where not, and pauses the partitions of a lane that stays full.

        Pausing comes late because it drops what is already fetched. The other lanes' partitions go on meanwhile.
        """
        for lane in [lane for lane in self._paused if lane.has_room()]:
            self._consumer.resume(self._partitions_of(lane))
            self._paused.remove(lane)
        full = [lane for lane in self._lanes if lane not in self._paused and not lane.has_room()]
        if not full:
            self._full_since = None
            return True
        self._full_since = self._full_since or time.monotonic()
        if time.monotonic() - self._full_since >= PATIENCE_S:
            for lane in full:
                partitions = self._partitions_of(lane)
                log.info("paused %d partitions until Elasticsearch has taken more of what was read", len(partitions))
                self._consumer.pause(partitions)
                self._paused.add(lane)
            return True
        with self._changed:
            return self._changed.wait_for(lambda: all(lane.has_room() for lane in full), timeout=LINGER_S)

    def _partitions_of(self, lane: Lane) -> list[TopicPartition]:
        return [TopicPartition(*partition) for partition, its in self._lane_of.items() if its is lane]

    def _commit_sometimes(self) -> None:
        idle = not any(lane.busy() or lane.filling for lane in self._lanes)
        now = time.monotonic()
        if now - self._last_commit >= COMMIT_EVERY_S or (idle and not self._commit_failed):
            self._last_commit = now
            self._commit(asynchronous=True)

    def _commit(self, asynchronous: bool) -> None:
        positions = self._offsets.uncommitted()
        if not positions:
            return
        offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()]
        self._offsets.committed(positions)
        try:
            self._consumer.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as failure:
            self._on_commit(failure.args[0], offsets)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._commit_failed = error is not None
        if error is not None:
            log.warning("offsets are not committed yet: %s", error.str())
            self._offsets.not_committed((partition.topic, partition.partition) for partition in partitions)

    def _settle(self) -> None:
        """Carry on with what is in hand for a moment unless the server is the trouble, drop the rest, commit what is settled."""
        for lane in self._lanes:
            if lane.filling:
                lane.submit()
        deadline = time.monotonic() + GRACE_S
        with self._changed:
            while any(lane.busy() and not lane.stuck() for lane in self._lanes) and time.monotonic() < deadline:
                self._changed.wait(LINGER_S)
        self._drop()
        self._commit(asynchronous=False)

    def _drop(self) -> None:
        """Forget what is in hand. Requests in flight are waited for: none may reach the index after the next owner has begun."""
        with self._changed:
            self._cancelled.set()
            for lane in self._lanes:
                lane.discard()
            self._changed.wait_for(lambda: not any(lane.busy() for lane in self._lanes))
        self._cancelled.clear()

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        own = self._committed(partitions)
        self._offsets.assign(own)
        self._lane_of |= {partition: self._lanes[lane_number(partition)] for partition in own}
        if own:
            log.info("writing %s", ", ".join(f"{topic}[{number}]" for topic, number in sorted(own)))

    def _committed(self, partitions: list[TopicPartition]) -> dict[Partition, int]:
        """Committed offsets; 0 where there is none, or Kafka does not say: the first records will."""
        try:
            partitions = self._consumer.committed(partitions, timeout=COMMITTED_S) if partitions else []
        except KafkaException as failure:
            log.debug("committed offsets: %s", failure.args[0].str())
        return {(partition.topic, partition.partition): max(0, partition.offset) for partition in partitions}

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._settle()
        self._forget(partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Another sink may own them already: nothing more can be committed, and nothing more may be written."""
        log.warning("partitions were lost: the group did not hear from this sink in time")
        self._drop()
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for lane in self._paused:
            self._consumer.resume(self._partitions_of(lane))  # the client would remember the pause if they came back
        self._offsets.revoke({(partition.topic, partition.partition) for partition in partitions})
        self._lane_of.clear()
        self._paused.clear()

    def _on_error(self, error: KafkaError, topic: str | None = None) -> None:
        if error.code() in _REFUSALS:
            lacking = f"Read on topic {topic}" if topic else f"Read on group {kafka.group(self._kafka, 'sink')}"
            otherwise = Refused(f"Kafka refused: {error.str()}; check kafka.sasl_username and its password")
            self._failure = explained(self._kafka, error, otherwise, lacking)
        elif error.fatal():
            self._failure = TailraceError(f"Kafka: {error.str()}")
        else:
            log.debug("Kafka: %s", error.str())

    def _raise_failure(self) -> None:
        for lane in self._lanes:
            if lane.failure:
                raise lane.failure
        if self._failure:
            raise self._failure

    def _say(self, before: Counter[str], elapsed_s: float) -> Counter[str]:
        now = self.counts.total()
        line = in_words(now - before, max(elapsed_s, 0.001), sum(self.lag().values()))
        if line:
            log.info(line)
        return now

    def _look(self) -> None:
        """See how far the partitions go."""
        ends = {}
        for partition in self._lane_of:
            _, end = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
            ends[partition] = max(0, end)
        self._ends = ends

    def positions(self) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Of the assigned partitions: the offset below which everything is settled, and the end."""
        settled, ends = self._offsets.settled(), self._ends
        return settled, {partition: max(offset, ends.get(partition, 0)) for partition, offset in settled.items()}

    def lag(self) -> dict[Partition, int]:
        """Records of each assigned partition that are not settled."""
        settled, ends = self.positions()
        return {partition: ends[partition] - offset for partition, offset in settled.items()}

    def oldest(self) -> list[Record]:
        """What the lanes have had in hand for the longest time."""
        return [record for lane in self._lanes for record in lane.oldest()]

    def waiting(self) -> tuple[float, str]:
        """For how many seconds Elasticsearch has taken nothing from the lane that has waited longest, and its words; 0 where none waits."""
        return max(filter(None, (lane.waiting() for lane in self._lanes)), default=(0.0, ""))
