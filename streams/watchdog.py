"""Ends a worker that makes no progress although there is work, so that it is restarted.

Faust's agents, fetchers and recoveries have been seen to stop for ever in a living process. So the question is asked from
outside: a thread of its own, with a client of its own, compares what the group has committed with where the partitions end.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping

import faust
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tailrace import kafka
from tailrace.settings import Kafka

log = logging.getLogger("tailrace.stream")

LOOK_EVERY_S = 30.0
STUCK_S = 300.0
EXIT_STUCK = 70
"""EX_SOFTWARE"""

Partition = tuple[str, int]


class Progress:
    """When each partition that has work last moved."""

    def __init__(self) -> None:
        self._moved: dict[Partition, tuple[int, float]] = {}

    def stuck(self, committed: Mapping[Partition, int], ends: Mapping[Partition, int], now: float) -> list[Partition]:
        """The partitions with work left whose committed offset has not moved for `STUCK_S` seconds."""
        behind = {at: offset for at, offset in committed.items() if offset < ends[at]}
        self._moved = {
            at: self._moved[at] if at in self._moved and self._moved[at][0] == offset else (offset, now) for at, offset in behind.items()
        }
        return [at for at, (_, since) in self._moved.items() if now - since >= STUCK_S]

    def reset(self) -> None:
        """Count from now: for the time in which nothing can be known, or nothing can be committed."""
        self._moved.clear()


class Watchdog(threading.Thread):
    """Watches the partitions that are assigned to an app."""

    def __init__(self, settings: Kafka, app: faust.App) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._admin = AdminClient(kafka.client_config(settings))
        self._app = app
        self._end = threading.Event()
        self._progress = Progress()
        self._recovered: object = None

    def stop(self) -> None:
        self._end.set()

    def run(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            try:
                stuck = self._look()
            except KafkaException:
                self._progress.reset()  # an outage of Kafka is not our stall
                continue
            if stuck:
                log.error("no progress for %.0f s although there is work on %s; ending, to be restarted", STUCK_S, stuck)
                os._exit(EXIT_STUCK)  # the event loop may be what is stuck

    def _look(self) -> list[Partition]:
        recovered = self._recovery()
        if recovered != self._recovered:
            self._recovered = recovered
            self._progress.reset()
        assigned = [TopicPartition(tp.topic, tp.partition) for tp in self._app.consumer.assignment()]
        changelogs = self._app.tables.changelog_topics
        assigned = [tp for tp in assigned if tp.topic not in changelogs]
        if not assigned:
            return []
        starts, ends = (self._offsets(assigned, which) for which in (OffsetSpec.earliest(), OffsetSpec.latest()))
        group = ConsumerGroupTopicPartitions(self._app.conf.id, assigned)
        (answer,) = self._admin.list_consumer_group_offsets([group], request_timeout=10).values()
        committed = {(tp.topic, tp.partition): tp.offset for tp in answer.result().topic_partitions}  # negative: none
        return self._progress.stuck({at: max(committed[at], starts[at]) for at in ends}, ends, time.monotonic())

    def _offsets(self, partitions: list[TopicPartition], which: OffsetSpec) -> dict[Partition, int]:
        found = self._admin.list_offsets(dict.fromkeys(partitions, which), request_timeout=10)
        return {(tp.topic, tp.partition): future.result().offset for tp, future in found.items()}

    def _recovery(self) -> object:
        """Changes while tables are being recovered."""
        return self._app.rebalancing_count, sum(offset or 0 for offset in list(self._app.tables.recovery.active_offsets.values()))
