"""Whether the topics that a sink reads are still those that it began with.

A topic that is deleted under a consumer has nothing more to give to it, and neither has one of the same name that is made in its place: the
consumer waits for ever behind the end of the old one, as it would where there is nothing new. So now and then Kafka is asked for their ids.
"""

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from tailrace import kafka
from tailrace import settings as config
from tailrace.errors import TailraceError

LOOK_EVERY_S = 30.0
ANSWER_S = 1.0
"""The loop of the sink waits so long at most; a Kafka that does not answer is asked again at the next look."""


class Topics:
    def __init__(self, settings: config.Kafka, names: Iterable[str]) -> None:
        self._admin = AdminClient({**kafka.client_config(settings), "log_level": 2})
        self._where = settings.bootstrap_servers
        self._asked = TopicCollection(list(names))
        self._ids: dict[str, str] = {}
        self._due_s = 0.0

    def check(self) -> None:
        """Look, if it is time to. Raises TailraceError where a topic is gone or another one."""
        if time.monotonic() < self._due_s:
            return
        for name, future in self._admin.describe_topics(self._asked, request_timeout=ANSWER_S).items():
            try:
                found = str(future.result().topic_id)
            except KafkaException as failure:
                if failure.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or name not in self._ids:
                    continue
                found = ""
            if self._ids.setdefault(name, found) != found:
                raise TailraceError(
                    f"topic {name} of Kafka at {self._where} was deleted{' and made anew' if found else ''} while it was read; start the "
                    "sink again to read what is there"
                )
        self._due_s = time.monotonic() + LOOK_EVERY_S
