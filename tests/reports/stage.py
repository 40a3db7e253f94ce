"""A source set up by hand: files written, records on the raw topic, documents in the index, each as a test wants them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from schemas.event import Dead, Event
from schemas.framing import split
from schemas.identity import file_id, head
from schemas.localtime import LocalClock
from schemas.place import Place, key
from schemas.source import SourceSettings
from sinks import templates
from tailrace import kafka, search
from tailrace.cli import main
from tailrace.settings import Settings
from tailrace.sources import load_source, load_sources

Record = tuple[Place, int, bytes]


class Stage:
    def __init__(self, settings: Settings, folder: Path, **blocks: dict[str, Any]) -> None:
        sources = {name: msgspec.convert(block, SourceSettings) for name, block in blocks.items()}
        self.settings = msgspec.structs.replace(settings, sources=sources)
        self.folder = folder
        self.name = next(iter(blocks))
        self.source = load_source(self.settings, self.name)
        self.client: Elasticsearch = search.connect(settings.elasticsearch, 5)
        self.prefix = settings.elasticsearch.index_prefix
        kafka.ensure_topics(kafka.connect(settings.kafka, 5), settings.kafka, blocks)
        templates.install(self.client, settings.elasticsearch, load_sources(self.settings, blocks).values())

    def close(self) -> None:
        self.client.close()

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def records(self, path: Path, host: str = "test-host", ordinal: int = 0) -> list[Record]:
        """What a producer makes of a file."""
        content = path.read_bytes()
        beginning = head(content)
        assert beginning
        place = Place(file_id(beginning, ordinal), host, str(path))
        ends = split(content, self.source.record_start, final=True)
        return [(place, start, content[start : end - 1]) for start, end in zip([0, *ends], ends, strict=False)]

    def publish(self, records: Iterable[Record], source: str | None = None, time_ms: int = 0) -> None:
        self.produce("raw", ((key(place, offset), value) for place, offset, value in records), source, time_ms=time_ms)

    def produce(
        self,
        kind: kafka.Kind,
        pairs: Iterable[tuple[bytes, bytes]],
        source: str | None = None,
        headers: list[tuple[str, bytes]] | None = None,
        time_ms: int = 0,
    ) -> None:
        """`time_ms`: the records' time on Kafka, since 1970; 0: now."""
        producer = Producer(kafka.producer_config(self.settings.kafka))
        for raw_key, value in pairs:
            producer.produce(
                kafka.topic(self.settings.kafka, source or self.name, kind), key=raw_key, value=value, headers=headers, timestamp=time_ms
            )
        assert producer.flush(20) == 0

    def parse(self, records: Iterable[Record]) -> list[tuple[Place, Event | Dead]]:
        clocks: dict[str, LocalClock] = {}
        zone = self.source.local_timezone
        return [
            (place, outcome)
            for place, offset, value in records
            for outcome in self.source.parse(value, place, offset, clocks.setdefault(place.file, LocalClock(zone)) if zone else None)
        ]

    def process(self, records: Iterable[Record]) -> None:
        """What workers and the sink make of records: documents, and dead letters."""
        outcomes = self.parse(records)
        self.index([outcome for _, outcome in outcomes if isinstance(outcome, Event)])
        self.produce("dead", ((key(place, outcome.offset), outcome.payload) for place, outcome in outcomes if isinstance(outcome, Dead)))

    def index(self, events: Iterable[Event]) -> None:
        actions = (
            {"_index": self.prefix + self.source.index_for(event.time), "_id": event.id, "_source": event.document} for event in events
        )
        bulk(self.client, actions, refresh=True)

    def put(self, index: str, id: str, document: dict[str, Any] | None = None) -> None:
        self.client.index(index=self.prefix + index, id=id, document=document or {}, refresh=True)

    def run(self, *words: str) -> Result:
        """`tailrace WORDS…` with these settings, in a pipe."""
        return CliRunner().invoke(main, list(words), env=self._environment(), catch_exceptions=False)

    def _environment(self) -> dict[str, str]:
        config = self.folder / "tailrace.toml"
        config.write_text(_toml(self.settings.sources))
        return {
            "TAILRACE_CONFIG": str(config),
            "TAILRACE_KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "TAILRACE_KAFKA_TOPIC_PREFIX": self.settings.kafka.topic_prefix,
            "TAILRACE_ELASTICSEARCH_URL": self.settings.elasticsearch.url,
            "TAILRACE_ELASTICSEARCH_INDEX_PREFIX": self.prefix,
        }


def _toml(sources: dict[str, SourceSettings]) -> str:
    lines: list[str] = []
    for name, block in sources.items():
        values = msgspec.to_builtins(block)
        lines.append(f"[sources.{name}]")
        lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items() if value not in (None, {})]
    return "\n".join(lines) + "\n"
