"""Ends a worker that makes no progress although there is work, so that it is restarted.

Faust's agents, fetchers and recoveries have been seen to stop for ever in a living process. So the question is asked from
outside: a thread of its own, with a client of its own, compares what the group has committed with where the partitions end.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

import faust
from aiokafka.errors import GroupAuthorizationFailedError
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from faust.exceptions import ConsumerNotStarted

from tailrace import kafka
from tailrace.errors import Refused, TailraceError
from tailrace.kafka_access import in_words
from tailrace.settings import Kafka
from tailrace.stalls import Partition, Stalls

log = logging.getLogger("tailrace.stream")

LOOK_EVERY_S = 30.0
STUCK_S = 300.0
REQUEST_S = 10.0
EXIT_STUCK = 70
"""EX_SOFTWARE"""


class Watchdog(threading.Thread):
    """Watches the partitions that are assigned to an app."""

    def __init__(self, settings: Kafka, app: faust.App, fail: Callable[[Exception], object]) -> None:
        """`fail` is told, in this thread, when the worker cannot read any more (Faust itself would wait for ever) or cannot be watched."""
        super().__init__(name="watchdog", daemon=True)
        # Of the same group, which it never joins: an AdminClient that is given up while Kafka is away can hang (librdkafka 2.16).
        group: str = app.conf.id
        conf = kafka.client_config(settings, group_id=group, enable_auto_commit=False)
        self._consumer = Consumer({**conf, "log_level": 2})  # the worker's own client says what is wrong, and when
        self._settings = settings
        self._app = app
        self._fail = fail
        self._end = threading.Event()
        self._stalls = Stalls(STUCK_S)
        self._recovered: object = None

    def stop(self) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        try:
            self._watch()
        except Exception as defect:
            self._fail(defect)
        self._consumer.close()

    def _watch(self) -> None:
        while not self._end.wait(LOOK_EVERY_S):
            try:
                stuck = self.look()
            except KafkaException as failure:
                self._stalls.reset()  # an outage of Kafka is not our stall
                if refusal := self._refusal(failure.args[0]):
                    self._fail(refusal)
                continue
            except ConsumerNotStarted:  # yet: its start has time-outs of its own
                continue
            if stuck:
                log.error("no progress for %.0f s although there is work on %s; ending, to be restarted", STUCK_S, stuck)
                os._exit(EXIT_STUCK)  # the event loop may be what is stuck
            if cause := self._app.consumer.left_group():
                lost = TailraceError(f"the worker is not in its consumer group any more, or cannot join it: {cause}")
                self._fail(self._locked_out() if isinstance(cause, GroupAuthorizationFailedError) else lost)

    def look(self) -> list[Partition]:
        """The partitions of this worker that are stuck. Raises KafkaException where Kafka does not answer."""
        recovered = self._recovery()
        if recovered != self._recovered:
            self._recovered = recovered
            self._stalls.reset()
        changelogs = self._app.tables.changelog_topics
        assigned = [TopicPartition(*tp) for tp in self._app.consumer.assignment() if tp.topic not in changelogs]
        if not assigned:
            return []
        committed, ends = {}, {}
        for found in self._consumer.committed(assigned, timeout=REQUEST_S):
            at = found.topic, found.partition
            first, ends[at] = self._consumer.get_watermark_offsets(found, timeout=REQUEST_S)
            committed[at] = max(found.offset, first)  # negative: none; less than the first: it has been deleted since
        return self._stalls.stuck(committed, ends, time.monotonic())

    def _refusal(self, error: KafkaError) -> TailraceError | None:
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return self._locked_out()
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            topics = sorted({tp.topic for tp in self._app.consumer.assignment()})
            return Refused(in_words(self._settings, [f"Read on topics {', '.join(topics)}"]))
        return None

    def _locked_out(self) -> Refused:
        return Refused(in_words(self._settings, [f"Read on group {self._app.conf.id}"]))

    def _recovery(self) -> object:
        """Changes while tables are being recovered."""
        return self._app.rebalancing_count, getattr(self._app.tables.recovery, "read", 0)
