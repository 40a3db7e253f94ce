"""A sink on real servers: envelopes put on the topic, `tailrace sink` as a process, the index read back as a whole."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from elasticsearch.helpers import scan

from schemas.envelope import EventEnvelope, Patch, Summary, encode_event, encode_patch, encode_summary
from tailrace import kafka, search
from tailrace.dead import DeadLetter, from_record
from tailrace.settings import Settings
from tests.helpers import eventually, read_topic

SOURCE = "own"
CONFIG = """
[sources.own]
format = "json"
time = "@timestamp"
client = ["user"]
types = { n = "integer", user = "keyword", message = "text", date = "date" }
"""

Document = dict[str, Any]
OCTOBER_2016 = 1_475_300_000_000
NOVEMBER_2016 = OCTOBER_2016 + 40 * 86_400_000


def event(
    document_id: str, session: int | None = 1, client: str = "client", time: int | None = OCTOBER_2016, **fields: Any
) -> EventEnvelope:
    document = orjson.dumps({"user": client, "file": "f", "host": "h", "source": "/log", "offset": 7, **fields})
    return EventEnvelope(document_id, time, client, "kind", session, False, document)


def as_indexed(envelope: EventEnvelope) -> Document:
    document: Document = orjson.loads(envelope.document)
    mark = {"late_session": True} if envelope.late else {}
    return document if envelope.session is None else {"sessionId": envelope.session, **mark, **document}


class Stage:
    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.url = settings.elasticsearch.url
        self.search = search.client(settings.elasticsearch, request_timeout=30, max_retries=3, retry_on_timeout=True)
        self.config = folder / "tailrace.toml"
        self.config.write_text(CONFIG)
        self.log = folder / "sink.log"
        self.topic = kafka.topic(settings.kafka, SOURCE, "enriched")
        self.prefix = settings.elasticsearch.index_prefix
        self._running: list[subprocess.Popen[bytes]] = []
        admin = kafka.connect(settings.kafka, 10)
        kafka.ensure_topics(admin, settings.kafka, [SOURCE])

    def put(self, records: Iterable[EventEnvelope | Patch | Summary | tuple[str, bytes]], client: str = "client") -> None:
        """Put records on the topic in order; a (key, bytes) pair as it stands, a patch under `client`."""
        producer = Producer(kafka.producer_config(self.settings.kafka))
        for record in records:
            if isinstance(record, EventEnvelope):
                producer.produce(self.topic, key=record.client or record.id, value=encode_event(record))
            elif isinstance(record, Patch):
                producer.produce(self.topic, key=client, value=encode_patch(record))
            elif isinstance(record, Summary):
                producer.produce(self.topic, key=client, value=encode_summary(record))
            else:
                producer.produce(self.topic, key=record[0], value=record[1])
            producer.poll(0)
        assert producer.flush(30) == 0

    def start(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        own = {
            "TAILRACE_KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "TAILRACE_KAFKA_TOPIC_PREFIX": self.settings.kafka.topic_prefix,
            "TAILRACE_ELASTICSEARCH_URL": self.url,
            "TAILRACE_ELASTICSEARCH_INDEX_PREFIX": self.prefix,
        }
        command = [sys.executable, "-m", "tailrace.cli", "--config", str(self.config), "sink", *options]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own, **environment})
        self._running.append(process)
        return process

    def finish(self, process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> str:
        """Stop a sink as a service manager does; what it said."""
        process.send_signal(number)
        code = process.wait(30)
        said = self.log.read_text()
        assert code == 0, said
        return said

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        self.search.close()

    def carry(self, records: Iterable[EventEnvelope | Patch | Summary | tuple[str, bytes]]) -> None:
        """Put records and run a sink until everything is settled."""
        self.put(records)
        sink = self.start()
        self.wait_settled()
        self.finish(sink)

    def lag(self) -> int:
        """Records that the group has not committed."""
        reader = Consumer(kafka.client_config(self.settings.kafka, group_id=kafka.group(self.settings.kafka, "sink")))
        try:
            partitions = [TopicPartition(self.topic, number) for number in range(self.settings.kafka.partitions)]
            committed = {at.partition: max(at.offset, 0) for at in reader.committed(partitions, timeout=10)}
            return sum(_end(reader, at) - committed[at.partition] for at in partitions)
        finally:
            reader.close()

    def wait_settled(self, timeout_s: float = 60.0) -> None:
        """Wait until the sink that was started last has committed everything."""
        sink = self._running[-1]
        eventually(lambda: sink.poll() is not None or self.lag() == 0, f"offsets at the end, see {self.log}", timeout_s)
        assert sink.poll() is None, self.log.read_text()

    def documents(self) -> dict[str, Document]:
        """Every document by id, across the indices; fails where an id stands in two."""
        self.search.indices.refresh(index=f"{self.prefix}*")
        found: dict[str, Document] = {}
        for hit in scan(self.search, index=f"{self.prefix}*", query={"query": {"match_all": {}}}):
            assert hit["_id"] not in found, f"{hit['_id']} stands twice"
            found[hit["_id"]] = hit["_source"]
        return found

    def dead(self) -> list[DeadLetter]:
        return [from_record(record.key, record.value, record.headers) for record in read_topic(self.settings, SOURCE, "dead")]


def _end(reader: Consumer, partition: TopicPartition) -> int:
    """The end of a partition; a new topic's partitions have no leader for a moment."""
    ends: list[int] = []

    def answered() -> bool:
        try:
            ends.append(reader.get_watermark_offsets(partition, timeout=10)[1])
        except KafkaException as failure:
            if failure.args[0].code() not in {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}:
                raise
        return bool(ends)

    eventually(answered, f"a leader of {partition}")
    return ends[-1]
