"""Whether what was on the topics at a moment has come all the way."""

from collections import deque
from collections.abc import Iterable
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tailrace import kafka
from tailrace.progress import STAGES
from tailrace.settings import Settings

REQUEST_S = 5.0

Offsets = dict[tuple[str, int], int]


class CatchUp:
    """Follows what the first stage's topics hold when it is first asked, stage by stage, while more keeps coming.

    A stage is through when its committed offsets have reached the ends that its topics had when the stage before was through.
    """

    def __init__(self, settings: Settings, sources: Iterable[str], stages: Iterable[str]) -> None:
        self._kafka = settings.kafka
        self._sources = list(sources)
        self._stages = deque(stages)
        self._ends: Offsets | None = None
        self._consumers = {stage: self._consumer(stage) for stage in self._stages}

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> bool:
        """True once everything is through. What Kafka does not say now is asked again the next time."""
        try:
            while self._stages:
                stage = self._stages[0]
                if self._ends is None:
                    self._ends = self._marks(stage, of_committed=False)
                committed = self._marks(stage, of_committed=True)
                if any(committed.get(at, 0) < end for at, end in self._ends.items()):
                    return False
                self._stages.popleft()
                self._ends = None
        except KafkaException:
            return False
        return True

    def _consumer(self, stage: str) -> Consumer:
        """Of the stage's group, which it never joins."""
        group = kafka.group(self._kafka, stage)
        return Consumer({**kafka.client_config(self._kafka, group_id=group, enable_auto_commit=False), "log_level": 2})

    def _marks(self, stage: str, *, of_committed: bool) -> Offsets:
        """Of each partition that holds anything the committed offset, or the end."""
        consumer = self._consumers[stage]
        topics = consumer.list_topics(timeout=REQUEST_S).topics
        names = [kafka.topic(self._kafka, source, STAGES[stage]) for source in self._sources]
        if not topics.keys() >= {*names}:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))  # made a moment ago, and this broker does not know yet
        partitions = [TopicPartition(name, number) for name in names for number in topics[name].partitions]
        if of_committed:
            return {(at.topic, at.partition): at.offset for at in consumer.committed(partitions, timeout=REQUEST_S)}
        marks = {(at.topic, at.partition): consumer.get_watermark_offsets(at, timeout=REQUEST_S) for at in partitions}
        return {at: end for at, (first, end) in marks.items() if first < end}
