"""Kafka to searchable: `tailrace sink` against a bare `_bulk` poster with prebuilt bodies, which is the limit of the server, and others.

All write the same documents under the same ids into an index of the same template; runs are interleaved, medians are compared. CPU
seconds are the client's alone. Ours reads Avro events and splices the session into the documents; the others read a topic of JSON
that has it in already, and are timed from the start of their process (ours and the limit from the first read or request). The
servers are those of the settings; what is made there is deleted.
"""

import argparse
import multiprocessing
import resource
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson
from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic
from elasticsearch import Elasticsearch, OrjsonSerializer

from benchmarks._shippers import end
from benchmarks._sinks import Peer, Way, peers, version
from infra.forget import forget
from schemas.envelope import EventEnvelope, encode_event
from schemas.source import Source, SourceSettings
from sinks import templates, writer
from sinks.bulk import MAX_OPERATIONS, Splicer
from sinks.consume import COLLECT_EVERY, Sink
from tailrace import kafka, search
from tailrace.garbage import collect_seldom
from tailrace.settings import Kafka, Settings, load

SOURCE = "bench"
CLIENTS = 997
START_MS = 1_475_000_000_000
LIMIT_CONNECTIONS = 2
LIMIT_S = 300.0
OURS = "tailrace sink"
LIMIT = "limit: two threads posting prebuilt bodies"

STARTING = {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
"""What a broker answers that has just started."""


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


def fill(own: Kafka, documents: int, *, others: bool) -> None:
    """The topic of Avro events that ours reads, and one of JSON for the others, where there are others."""
    admin = kafka.connect(own, 5)
    kafka.ensure_topics(admin, own, [SOURCE])
    admin.create_topics([NewTopic(_json_topic(own), own.partitions, own.replication_factor)])[_json_topic(own)].result(timeout=30)
    producer = Producer(kafka.producer_config(own, queue_buffering_max_messages=2 * documents + 1, queue_buffering_max_kbytes=2**21 - 1))
    topic = kafka.topic(own, SOURCE, "enriched")
    for number in range(documents):
        event = envelope(number)
        producer.produce(topic, key=event.client, value=encode_event(event))
        if not others:
            continue
        document = b'{"id":"%b","sessionId":%d,%b' % (event.id.encode(), event.session or 0, event.document[1:])
        producer.produce(_json_topic(own), key=event.client, value=document)
    assert producer.flush(120) == 0, "Kafka does not take the documents"


def _json_topic(own: Kafka) -> str:
    return f"{own.topic_prefix}{SOURCE}.json"


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
    collect_seldom(COLLECT_EVERY)
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


def run_peer(peer: Peer, settings: Settings, documents: int) -> Run:
    client = search.connect(settings.elasticsearch)
    index = f"{settings.elasticsearch.index_prefix}{source().index_for(START_MS)}"
    topic = _json_topic(settings.kafka)
    way = Way(settings.kafka.bootstrap_servers, topic, f"{topic}-{uuid.uuid4().hex}", settings.elasticsearch.url, index)
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = peer.start(way, Path(folder))
        try:
            _await(lambda: _indexed(client, index) >= documents, peer.name)
            client.indices.refresh(index=index)
            seconds = time.perf_counter() - began
        finally:
            spent = end(process)
    return Run(seconds, spent.cpu_s)


def _await(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not write everything within {LIMIT_S:.0f} s")
        time.sleep(0.1)


def _indexed(client: Elasticsearch, index: str) -> int:
    """Documents that were written, searchable or not."""
    found = client.options(ignore_status=404).indices.stats(index=index, metric="indexing")
    return found.get("_all", {}).get("primaries", {}).get("indexing", {}).get("index_total", 0)


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
    parser.add_argument("--no-peers", action="store_true", help="only ours and the limit")
    options = parser.parse_args(argv)
    configured = load()
    mark = f"sink-bench-{uuid.uuid4().hex[:8]}-"
    settings = Settings(
        kafka=_named(configured.kafka, topic_prefix=mark),
        elasticsearch=_named(configured.elasticsearch, index_prefix=mark, refresh_interval="30s"),
    )
    client = search.connect(settings.elasticsearch, 5)
    programs: dict[str, Callable[[], Run]] = {
        LIMIT: partial(_in_process, run_limit, settings, options.documents),
        OURS: partial(_in_process, run_sink, settings, options.documents),
    }
    others = [] if options.no_peers else peers()
    for peer in others:
        if peer.missing is None:
            programs[peer.name + version(peer)] = partial(run_peer, peer, settings, options.documents)
        else:
            print(f"{peer.name} is left out: {peer.missing}")
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    try:
        templates.install(client, settings.elasticsearch, [source()])
        fill(settings.kafka, options.documents, others=bool(others))
        for number in range(options.runs):
            for name, measure in programs.items():
                run = measure()
                runs[name].append(run)
                print(f"{number + 1}. {name}: {options.documents / run.seconds:,.0f} documents/s", flush=True)
                _check_and_clear(settings, options.documents)
    finally:
        forget(settings)
    print(f"\n{options.documents:,} documents, medians of {options.runs} runs\n\n{_table(runs, options.documents)}")


def _table(runs: dict[str, list[Run]], documents: int) -> str:
    limit_s = statistics.median(run.seconds for run in runs[LIMIT])
    rows = ["| program | documents/s | x limit | CPU s/M |", "|---|---|---|---|"]
    for name, its in runs.items():
        seconds = statistics.median(run.seconds for run in its)
        cpu_s = statistics.median(run.cpu_s for run in its) / documents * 1e6
        rows.append(f"| {name} | {documents / seconds:,.0f} | {limit_s / seconds:.2f} | {cpu_s:.2f} |")
    return "\n".join(rows)


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
    admin, group = kafka.connect(settings.kafka), kafka.group(settings.kafka, "sink")
    while (error := admin.delete_consumer_groups([group])[group].exception(timeout=30)) is not None:
        code = error.args[0].code()
        if code == KafkaError.GROUP_ID_NOT_FOUND:
            return
        if code not in STARTING:
            raise error
        time.sleep(0.5)


if __name__ == "__main__":
    main()
