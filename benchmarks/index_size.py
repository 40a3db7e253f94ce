"""What an index of EZCast events takes on disk, and what it costs the server to make, by codec and order of its documents.

Each variant gets the same documents in an index of the source's own template, merged to one segment afterwards as
`tailrace retention --force-merge` does. CPU seconds are those of the whole server between the first request and the merged index, so
nothing else should use it; runs are interleaved, medians are told. What is made on the servers of the settings is deleted.
"""

import argparse
import statistics
import time
import uuid
from typing import Any, NamedTuple

import msgspec
from elasticsearch import Elasticsearch

from benchmarks._visits import SOURCE, documents
from infra.forget import forget
from schemas.envelope import EventEnvelope
from schemas.source import Source
from sinks import templates, writer
from sinks.bulk import MAX_OPERATIONS, Splicer
from tailrace import search
from tailrace.settings import Settings, load
from tailrace.sources import load_source

BY_TIME = {"index.sort.field": "@timestamp", "index.sort.order": "desc"}
BY_KIND = {"index.sort.field": ["action", "@timestamp"], "index.sort.order": ["asc", "desc"]}
SMALL = {"index.codec": "best_compression"}
FAST = {"index.codec": "default"}

VARIANTS: dict[str, dict[str, Any]] = {
    "default codec": FAST,
    "best_compression": SMALL,
    "default codec, sorted by time": {**FAST, **BY_TIME},
    "best_compression, sorted by time": {**SMALL, **BY_TIME},
    "best_compression, sorted by action and time": {**SMALL, **BY_KIND},
}


class Run(NamedTuple):
    megabytes: float
    cpu_s: float
    seconds: float


def bodies(settings: Settings, source: Source, amount: int) -> tuple[str, list[bytes]]:
    """The index that the documents belong to, and requests that write them."""
    splicer = Splicer(source, settings.elasticsearch.index_prefix)
    operations, index = [], ""
    for event, session in documents(settings, amount):
        index = settings.elasticsearch.index_prefix + source.index_for(event.time)
        envelope = EventEnvelope(event.id, event.time, event.client, event.kind, session, False, msgspec.json.encode(event.document))
        operations.append(splicer.operation(envelope))
    return index, [b"".join(operations[first : first + MAX_OPERATIONS]) for first in range(0, amount, MAX_OPERATIONS)]


def measure(client: Elasticsearch, index: str, requests: list[bytes], variant: dict[str, Any]) -> Run:
    client.indices.create(index=index, settings=variant)
    cpu_s, began = _cpu_s(client), time.perf_counter()
    for body in requests:
        answer = client.perform_request("POST", writer.PATH, params=writer.PARAMS, headers=writer.HEADERS, body=body)
        assert not answer.body["errors"]
    client.options(request_timeout=600).indices.forcemerge(index=index, max_num_segments=1)
    took = Run(0.0, _cpu_s(client) - cpu_s, time.perf_counter() - began)
    client.indices.refresh(index=index)
    stats = client.indices.stats(index=index, metric=["store"])["indices"]
    assert set(stats) == {index}
    client.indices.delete(index=index)
    return took._replace(megabytes=stats[index]["primaries"]["store"]["size_in_bytes"] / 1e6)


def _cpu_s(client: Elasticsearch) -> float:
    nodes = client.nodes.stats(metric="process")["nodes"].values()
    return sum(node["process"]["cpu"]["total_in_millis"] for node in nodes) / 1000


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks index_size", description=__doc__)
    parser.add_argument("--documents", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(argv)
    configured = load()
    mark = f"size-bench-{uuid.uuid4().hex[:8]}-"
    settings = msgspec.structs.replace(
        configured,
        kafka=msgspec.structs.replace(configured.kafka, topic_prefix=mark),
        elasticsearch=msgspec.structs.replace(configured.elasticsearch, index_prefix=mark, refresh_interval="30s"),
    )
    own = settings.elasticsearch
    source = load_source(settings, SOURCE)
    client = search.connect(own, 5)
    runs: dict[str, list[Run]] = {name: [] for name in VARIANTS}
    try:
        templates.install(client, own, [source])
        index, requests = bodies(settings, source, options.documents)
        for _ in range(options.rounds):
            for name, variant in VARIANTS.items():
                runs[name].append(measure(client, index, requests, variant))
    finally:
        forget(settings)
    print("| index | MB per million events | server CPU s/M | events/s with merge |\n|---|---|---|---|")
    for name, its in runs.items():
        size, cpu_s, seconds = (statistics.median(values) for values in zip(*its, strict=True))
        million = options.documents / 1e6
        print(f"| {name} | {size / million:.0f} | {cpu_s / million:.1f} | {options.documents / seconds:,.0f} |")
