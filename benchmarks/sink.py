"""Kafka to searchable: `tailrace sink` against a bare `_bulk` poster with prebuilt bodies, which is the limit of the server.

Both write the same documents into indices of the same template; runs are interleaved, medians are compared. CPU seconds are the
client's alone. The servers are those of the settings; what is made there is deleted.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import orjson
from confluent_kafka import KafkaError, Producer, TopicPartition
from elasticsearch import OrjsonSerializer

from schemas.envelope import EventEnvelope, encode_event
from schemas.source import Source, SourceSettings
from sinks import templates, writer
from sinks.bulk import MAX_OPERATIONS, Splicer
from sinks.consume import Sink
from tailrace import kafka, search
from tailrace.settings import Kafka, Settings, load

SOURCE = "bench"
CLIENTS = 997
START_MS = 1_475_000_000_000
LIMIT_CONNECTIONS = 2


class Run(NamedTuple):
    seconds: float
    """From the first read or request until all documents can be searched."""
    cpu_s: float
    """Of the client process, in that time."""


def source() -> Source:
    """A source like EZCast's: most fields are keywords and numbers."""
    keyword, number = {"type": "keyword"}, {"type": "long"}
    properties = {"action": keyword, "album": keyword, "asset": keyword, "netid": keyword, "ip": {"type": "ip"}, "play_time": number}
    return Source(
        name=SOURCE,
        settings=SourceSettings(format="json"),
        index=SOURCE,
        parse=lambda value, place, offset, clock: [],
        properties=properties,
    )


def envelope(number: int) -> EventEnvelope:
    """An event whose document has about 300 bytes."""
    client = f"s{number % CLIENTS:024d}"
    document = orjson.dumps(
        {
            "@timestamp": START_MS + number,
            "action": "video_play_time",
            "session": client,
            "ip": f"10.0.{number % 250}.{number % 199}",
            "netid": f"user{number % CLIENTS}",
            "album": f"COURSE-{number % 53}-pub",
            "asset": "2016_09_19_14h00",
            "play_time": number % 3600,
            "host": "ezcast-1",
            "source": "/var/lib/ezcast/traces/2016-09-27.trace",
            "file": "0123456789abcdef",
            "offset": number * 160,
        }
    )
    return EventEnvelope(
        f"0123456789abcdef-{number * 160}", START_MS + number, client, "video_play_time", number % CLIENTS + 1, False, document
    )


def fill(own: Kafka, documents: int) -> None:
    kafka.ensure_topics(kafka.connect(own, 5), own, [SOURCE])
    producer = Producer(kafka.producer_config(own, queue_buffering_max_messages=documents + 1))
    topic = kafka.topic(own, SOURCE, "enriched")
    for number in range(documents):
        event = envelope(number)
        producer.produce(topic, key=event.client, value=encode_event(event))
    producer.flush(120)


class _TimedSink(Sink):
    began = 0.0

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self.began = time.perf_counter()
        super()._on_assign(consumer, partitions)


def run_sink(settings: Settings, documents: int) -> Run:
    client = search.connect(settings.elasticsearch, serializer=OrjsonSerializer())
    stop, settled = threading.Event(), threading.Event()
    sink = _TimedSink(settings, [source()], client)

    def watch() -> None:
        while not settled.wait(0.02):
            if sink.counts.total()["documents"] >= documents:
                settled.set()
                stop.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    before = _cpu_s()
    sink.run(stop)
    client.indices.refresh(index=f"{settings.elasticsearch.index_prefix}*")
    return Run(time.perf_counter() - sink.began, _cpu_s() - before)


def run_limit(settings: Settings, documents: int) -> Run:
    client = search.connect(settings.elasticsearch)
    splicer = Splicer(source(), settings.elasticsearch.index_prefix)
    bodies = [
        b"".join(splicer.operation(envelope(number)) for number in range(first, min(first + MAX_OPERATIONS, documents)))
        for first in range(0, documents, MAX_OPERATIONS)
    ]

    def post(body: bytes) -> None:
        answer = client.perform_request("POST", writer.PATH, params=writer.PARAMS, headers=writer.HEADERS, body=body)
        assert not answer.body["errors"]

    before, began = _cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(LIMIT_CONNECTIONS) as pool:
        list(pool.map(post, bodies))
    client.indices.refresh(index=f"{settings.elasticsearch.index_prefix}*")
    return Run(time.perf_counter() - began, _cpu_s() - before)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _in_process(measure: Callable[[Settings, int], Run], settings: Settings, documents: int) -> Run:
    """Each run in a process of its own, so that its CPU seconds are its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (settings, documents))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks sink", description=__doc__)
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(argv)
    configured = load()
    mark = f"sink-bench-{uuid.uuid4().hex[:8]}-"
    settings = Settings(
        kafka=_named(configured.kafka, topic_prefix=mark),
        elasticsearch=_named(configured.elasticsearch, index_prefix=mark, refresh_interval="30s"),
    )
    client = search.connect(settings.elasticsearch, 5)
    runs: dict[str, list[Run]] = {"limit": [], "sink": []}
    try:
        templates.install(client, settings.elasticsearch, [source()])
        fill(settings.kafka, options.documents)
        for _ in range(options.runs):
            for name, measure in (("limit", run_limit), ("sink", run_sink)):
                runs[name].append(_in_process(measure, settings, options.documents))
                _check_and_clear(settings, options.documents)
    finally:
        _tidy(settings)
    limit_s = statistics.median(run.seconds for run in runs["limit"])
    print("| program | documents/s | x limit | CPU s/M |\n|---|---|---|---|")
    for name, its in runs.items():
        seconds = statistics.median(run.seconds for run in its)
        cpu = statistics.median(run.cpu_s for run in its) / options.documents * 1e6
        print(f"| {name} | {options.documents / seconds:,.0f} | {limit_s / seconds:.2f} | {cpu:.2f} |")
    print(json.dumps({name: [run._asdict() for run in its] for name, its in runs.items()}))


def _named(struct: Any, **changes: str) -> Any:
    return type(struct)(**{**{field: getattr(struct, field) for field in struct.__struct_fields__}, **changes})


def _check_and_clear(settings: Settings, documents: int) -> None:
    """The index must hold everything once; then neither the index nor the group's offsets may help the next run."""
    client = search.connect(settings.elasticsearch)
    pattern = f"{settings.elasticsearch.index_prefix}*"
    found = client.count(index=pattern)["count"]
    assert found == documents, f"{found} of {documents} documents are searchable"
    for index in client.indices.get(index=pattern):
        client.indices.delete(index=index)
    admin = kafka.connect(settings.kafka)
    for future in admin.delete_consumer_groups([kafka.group(settings.kafka, "sink")]).values():
        error = future.exception(timeout=30)
        if error is not None and error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise error


def _tidy(settings: Settings) -> None:
    client = search.connect(settings.elasticsearch)
    own = settings.elasticsearch
    for index in client.indices.get(index=f"{own.index_prefix}*"):
        client.indices.delete(index=index)
    for name in templates.index_templates(own, [source()]):
        client.indices.delete_index_template(name=name)
    client.cluster.delete_component_template(name=templates.common_name(own))
    admin = kafka.connect(settings.kafka)
    for future in admin.delete_topics([kafka.topic(settings.kafka, SOURCE, kind) for kind in kafka.KINDS]).values():
        future.result(timeout=30)


if __name__ == "__main__":
    main()
