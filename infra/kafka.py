"""One Kafka broker that is its own controller (KRaft), as a Java process of this machine."""

import logging
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra.account import Account, credentials, hand_over
from infra.java import Jdk
from infra.ports import HOST
from infra.processes import Process, spawn, tail
from tailrace.errors import TailraceError
from tailrace.kafka import MAX_RECORD_BYTES

CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
"""Any 16 bytes in base64: clusters are told apart by their addresses here."""

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "num.partitions": "4",
    "message.max.bytes": str(MAX_RECORD_BYTES + 1024 * 1024),
    "replica.fetch.max.bytes": str(MAX_RECORD_BYTES + 1024 * 1024),
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed is let back in when its old session has run out: 5 s after a restart instead of 16.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}
"""Of a single node, wherever it runs (compose.yaml says the same to a container)."""

_LOG4J = """Configuration:
  status: error
  Appenders: {Console: {name: STDOUT, target: SYSTEM_OUT, PatternLayout: {pattern: "%d{ISO8601} %p %c{1}: %m%n"}}}
  Loggers:
    Root: {level: WARN, AppenderRef: [{ref: STDOUT}]}
    Logger: [{name: kafka.server.KafkaRaftServer, level: INFO}]
"""

_quiet = logging.getLogger("infra.kafka.client")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False  # librdkafka reports every refused connection, and here they are expected


class Broker(NamedTuple):
    port: int
    controller_port: int
    heap: str
    """As for -Xmx: `512m`."""
    settings: Mapping[str, str] = {}
    """In place of those here or beside them: listeners, certificates, an authorizer."""
    scram_users: Mapping[str, str] = {}
    """Passwords of the users that are there from the first start (SCRAM-SHA-512), since no other could make them."""


def start(broker: Broker, jars: Path, jdk: Jdk, folder: Path, account: Account | None, *, tied: bool) -> Process:
    """Start a broker whose data, logs and settings are in `folder`, which `account` can reach. It does not answer yet.

    Raises TailraceError where a new data folder cannot be laid out.
    """
    data, logging_file, properties = folder / "data", folder / "log4j2.yaml", folder / "server.properties"
    scratch = folder / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    logging_file.write_text(_LOG4J)
    listeners = f"PLAINTEXT://{HOST}:{broker.port}"
    own = {
        "controller.quorum.voters": f"1@{HOST}:{broker.controller_port}",
        "listeners": f"{listeners},CONTROLLER://{HOST}:{broker.controller_port}",
        "advertised.listeners": listeners,
        "log.dirs": str(data),
    }
    properties.write_text("".join(f"{key}={value}\n" for key, value in {**SETTINGS, **own, **broker.settings}.items()))
    log = folder / "server.log"
    log.touch()
    hand_over(folder, account)
    java: list[str | Path] = [
        jdk.java,
        *_java_options(jdk),
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j2.configurationFile={logging_file}",
        "-cp",
        f"{jars}/*",
    ]
    if not (data / "meta.properties").is_file():
        users = [word for name, password in broker.scram_users.items() for word in ("--add-scram", _scram(name, password))]
        _lay_out([*java, "-Xmx128m", "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"], properties, users, log, account)
    command = [*java, "-Xms128m", f"-Xmx{broker.heap}", "-XX:+UseG1GC", "kafka.Kafka", properties]
    return spawn("Kafka", command, log, account, tied=tied, cwd=folder)


def answers(bootstrap_servers: str, timeout_s: float = 2.0) -> bool:
    """Whether a broker answers a request and every partition that it knows has a leader."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "logger": _quiet, "reconnect.backoff.max.ms": 200})
    try:
        found = admin.list_topics(timeout=timeout_s)
    except KafkaException:
        return False
    partitions = [partition for topic in found.topics.values() for partition in topic.partitions.values()]
    return bool(found.brokers) and all(partition.leader >= 0 for partition in partitions)


def _java_options(jdk: Jdk) -> list[str]:
    """Silence warnings of newer Java about what Kafka's libraries do."""
    return ["--enable-native-access=ALL-UNNAMED", *(["--sun-misc-unsafe-memory-access=allow"] if jdk.version >= 23 else [])]


def _scram(name: str, password: str) -> str:
    return f"SCRAM-SHA-512=[name={name},password={password}]"


def _lay_out(storage_tool: list[str | Path], properties: Path, users: list[str], log: Path, account: Account | None) -> None:
    command = [*storage_tool, "format", "-t", CLUSTER_ID, "-c", properties, "--ignore-formatted", *users]
    with log.open("ab") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=60, **credentials(account))
    if done.returncode != 0:
        raise TailraceError(f"Kafka's data folder cannot be laid out (exit code {done.returncode}). {tail(log)}")
