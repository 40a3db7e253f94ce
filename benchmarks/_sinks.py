"""Other ways from Kafka to Elasticsearch: each takes JSON documents from a topic to an index, under their own ids, until it is stopped.

The helpers loop is what Python's client offers; rsyslog is Debian's, with imkafka and omelasticsearch; quixstreams has an environment
of its own (`make bench-sink`). `python -m benchmarks._sinks PROGRAM SERVERS TOPIC GROUP URL INDEX` runs one of the first and the last.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PEERS = Path(".venv-bench/bin/python")
BATCH = 5_000

RSYSLOG = """
global(workDirectory="{state}" maxMessageSize="64k")
module(load="imkafka")
module(load="mmjsonparse")
module(load="omelasticsearch")
main_queue(queue.type="LinkedList" queue.size="100000" queue.dequeueBatchSize="5000" queue.workerThreads="2")
template(name="document" type="string" string="%msg%")
template(name="id" type="string" string="%$!id%")
input(type="imkafka" broker=["{servers}"] topic="{topic}" consumergroup="{group}" confParam=["auto.offset.reset=earliest"])
action(type="mmjsonparse" cookie="")
action(type="omelasticsearch" server="{host}" serverport="{port}" template="document" searchIndex="{index}" searchType=""
  bulkmode="on" bulkid="id" dynbulkid="on" maxbytes="5m" action.resumeRetryCount="-1")
"""


class Way(NamedTuple):
    servers: str
    topic: str
    group: str
    """Of consumers; a new one for each run."""
    url: str
    index: str


class Peer(NamedTuple):
    name: str
    missing: str | None
    """What to do where it is not there."""
    start: Callable[[Way, Path], "subprocess.Popen[bytes]"]
    """With a folder for its state."""


def peers() -> list[Peer]:
    modules = list(Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so")) and list(Path("/usr/lib").glob("*/rsyslog/imkafka.so"))
    return [
        Peer("elasticsearch-py, parallel_bulk", None, lambda way, state: _python(sys.executable, "helpers", way, state)),
        Peer(
            "rsyslog, imkafka + omelasticsearch",
            None if modules else "install Debian's rsyslog, rsyslog-kafka and rsyslog-elasticsearch",
            _rsyslog,
        ),
        Peer(
            "quixstreams",
            None if PEERS.exists() else f"there is no {PEERS}; `make bench-sink` makes it",
            lambda way, state: _python(str(PEERS.absolute()), "quixstreams", way, state),
        ),
    ]


def _python(python: str, program: str, way: Way, state: Path) -> "subprocess.Popen[bytes]":
    with (state / "log").open("wb") as log:
        return subprocess.Popen([python, "-m", "benchmarks._sinks", program, *way], stdout=log, stderr=log)


def _rsyslog(way: Way, state: Path) -> "subprocess.Popen[bytes]":
    url = urlsplit(way.url)
    text = RSYSLOG.format(state=state, host=url.hostname, port=url.port, **way._asdict())
    (state / "conf").write_text(text)
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    with (state / "log").open("wb") as log:
        return subprocess.Popen([program, "-n", "-f", f"{state}/conf", "-i", f"{state}/pid"], stdout=log, stderr=log)


def version(peer: Peer) -> str:
    """Of rsyslog, as its name does not say it."""
    if not peer.name.startswith("rsyslog"):
        return ""
    said = subprocess.run([shutil.which("rsyslogd") or "/usr/sbin/rsyslogd", "-v"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    return f" ({found[0]})" if found else ""


def helpers_loop(way: Way) -> None:
    """Consume, parse, `parallel_bulk` with four threads, commit: the loop of the client's guide."""
    import json

    from confluent_kafka import Consumer
    from elasticsearch import Elasticsearch
    from elasticsearch.helpers import parallel_bulk

    consumer = Consumer(
        {
            "bootstrap.servers": way.servers,
            "group.id": way.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([way.topic])
    client = Elasticsearch(way.url, request_timeout=60)
    while True:
        documents = [json.loads(record.value()) for record in consumer.consume(4 * BATCH, 1.0)]
        actions: Any = ({"_index": way.index, "_id": document["id"], "_source": document} for document in documents)
        for _ in parallel_bulk(client, actions, thread_count=4, chunk_size=BATCH):
            pass
        if documents:
            consumer.commit(asynchronous=False)


def quixstreams(way: Way) -> None:
    from quixstreams import Application
    from quixstreams.sinks.community.elasticsearch import ElasticsearchSink

    app = Application(
        broker_address=way.servers,
        consumer_group=way.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    sink = ElasticsearchSink(way.url, way.index, document_id_setter=lambda item: item.value["id"], batch_size=BATCH)
    app.dataframe(app.topic(way.topic, value_deserializer="json", key_deserializer="bytes")).sink(sink)
    app.run()


if __name__ == "__main__":
    {"helpers": helpers_loop, "quixstreams": quixstreams}[sys.argv[1]](Way(*sys.argv[2:]))
