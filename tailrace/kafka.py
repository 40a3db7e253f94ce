"""Kafka as every room meets it: names of topics, client configuration, topics that exist, a broker that answers."""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tailrace import settings as config
from tailrace.dead import Stage
from tailrace.errors import ConfigError, Refused, TailraceError, Unreachable

REPEAT_S = 30.0
"""librdkafka says the same of a lost connection many times a second; once in so long is enough."""


class _Seldom(logging.Filter):
    """Passes a message once in `REPEAT_S`; numbers in it do not make it another."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message, now = re.sub(r"\d+", "", record.getMessage()), time.monotonic()
        if now - self._said.get(message, -REPEAT_S) < REPEAT_S:
            return False
        self._said[message] = now
        return True


log = logging.getLogger("tailrace.kafka")
log.addFilter(_Seldom())

Kind = Literal["raw", "events", "enriched", "sessions", "files", "dead"]
KINDS: tuple[Kind, ...] = ("raw", "events", "enriched", "sessions", "files", "dead")
COMPACTED: frozenset[Kind] = frozenset({"sessions", "files"})
ORIGINAL: frozenset[Kind] = frozenset({"raw", "dead"})
"""Topics that hold the bytes of files; `kafka.raw_retention` says how long."""

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Largest record that topics take, in bytes; longer ones are dead letters cut to this size."""
LONGEST_VALUE = MAX_RECORD_BYTES - 64 * 1024
"""Bytes of a value that fit into a record together with key and headers."""
LONGEST_KEY = 16 * 1024
"""Bytes of the key of a dead letter; only records of others have longer ones."""

_REFUSALS = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


def topic(kafka: config.Kafka, source: str, kind: Kind) -> str:
    """`<prefix><source>.<kind>`, with the suffix of a later generation. Dead letters of a stage: `dead_topic`."""
    return f"{kafka.topic_prefix}{source}.{kind}{kafka.suffix(kind)}"


def dead_topic(kafka: config.Kafka, source: str, stage: Stage) -> str:
    """Where a stage keeps its dead letters: those of the first generation and the producers' on `<prefix><source>.dead`."""
    return f"{kafka.topic_prefix}{source}.dead{kafka.suffix(stage)}"


def dead_topics(kafka: config.Kafka, source: str) -> dict[str, set[Stage]]:
    """The dead letter topics of a generation, and whose letters on each are its own."""
    found: dict[str, set[Stage]] = {}
    for stage in get_args(Stage):
        found.setdefault(dead_topic(kafka, source, stage), set()).add(stage)
    return found


def group(kafka: config.Kafka, role: str) -> str:
    """Consumer group (and Faust app id) of a role: `<prefix>tailrace-<role>`, with the suffix of a later generation."""
    return f"{kafka.topic_prefix}tailrace-{role}{kafka.suffix(role)}"


def client_config(kafka: config.Kafka, **extra: Any) -> dict[str, Any]:
    """librdkafka configuration for a producer, consumer or admin client; `extra` with `_` for `.`.

    Connection errors go to the log `tailrace.kafka`, not to stderr. Pass `error_cb` to react to refusals.
    Raises ConfigError where credentials are missing.
    """
    conf: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "client.id": "tailrace",
        "logger": log,
    }
    if kafka.security_protocol.startswith("SASL"):
        password = config.secret(kafka.sasl_password, kafka.sasl_password_file, "kafka.sasl_password")
        if not kafka.sasl_username or not password:
            raise ConfigError(
                f"kafka.security_protocol = {kafka.security_protocol} needs kafka.sasl_username and a password: "
                "set TAILRACE_KAFKA_SASL_PASSWORD or kafka.sasl_password_file"
            )
        conf["sasl.mechanism"] = kafka.sasl_mechanism
        conf["sasl.username"] = kafka.sasl_username
        conf["sasl.password"] = password
    if kafka.ssl_ca_location:
        conf["ssl.ca.location"] = config.certificates(kafka.ssl_ca_location, "kafka.ssl_ca_location")
    conf.update({key.replace("_", ".") if key != "error_cb" else key: value for key, value in extra.items()})
    return conf


def producer_config(kafka: config.Kafka, **extra: Any) -> dict[str, Any]:
    """Idempotent, acks=all, compressed; nothing expires, so an outage of hours loses and reorders nothing."""
    return client_config(
        kafka,
        **{
            "enable_idempotence": True,
            "acks": "all",
            "compression_type": kafka.compression,
            "linger_ms": 20,
            "message_timeout_ms": 0,
            "message_max_bytes": MAX_RECORD_BYTES,
            **extra,
        },
    )


def connect(kafka: config.Kafka, wait_s: float = 0.0) -> AdminClient:
    """An admin client of a broker that has answered a request.

    Raises Refused for a wrong password or certificate, ConfigError for keys that do not go together, Unreachable
    where nothing answers within `wait_s` seconds (at least one try).
    """
    refused: list[KafkaError] = []
    failed: list[KafkaError] = []

    def on_error(error: KafkaError) -> None:
        if error.code() in _REFUSALS or error.code() == KafkaError._SSL:
            refused.append(error)
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:
            failed.append(error)

    conf = client_config(kafka, error_cb=on_error, socket_connection_setup_timeout_ms=5000)
    try:
        admin = AdminClient({**conf, "log_level": 2})  # what goes wrong is told by the error below
    except KafkaException as failure:
        raise ConfigError(f"Kafka's client cannot work with the keys of [kafka]: {failure.args[0].str()}") from None
    deadline = time.monotonic() + wait_s
    said = False
    while True:
        try:
            admin.list_topics(timeout=3)
            return admin
        except KafkaException:
            admin.poll(0)
            if refused:
                raise _not_let_in(kafka, refused[-1]) from None
        if time.monotonic() >= deadline:
            why = f" ({failed[-1].str()})" if failed else ""
            raise Unreachable(
                f"Kafka does not answer at {kafka.bootstrap_servers}{why}; start it (`tailrace up` starts one here), "
                "set kafka.bootstrap_servers and kafka.security_protocol, or give --wait more time"
            )
        if not said:
            log.warning("waiting up to %.0f s for Kafka at %s", wait_s, kafka.bootstrap_servers)
            said = True


def _not_let_in(kafka: config.Kafka, error: KafkaError) -> Refused:
    if error.code() == KafkaError._SSL:
        check = "kafka.ssl_ca_location (the authority that signed the broker's certificate) and the host name in kafka.bootstrap_servers"
    else:
        check = "kafka.sasl_username and its password, and kafka.sasl_mechanism"
    return Refused(f"Kafka at {kafka.bootstrap_servers} refused the connection: {error.str()}; check {check}")


def ensure_topics(admin: AdminClient, kafka: config.Kafka, sources: Iterable[str]) -> None:
    """Create what is missing of the sources' topics; those that are there keep their settings. Raises Refused where that is forbidden."""
    names = list(sources)
    present = admin.list_topics(timeout=10).topics
    wanted = {topic(kafka, source, kind): kind for source in names for kind in KINDS}
    wanted |= {dead: "dead" for source in names for dead in dead_topics(kafka, source)}
    create_topics(admin, kafka, {name: kind for name, kind in wanted.items() if name not in present})


def create_topics(admin: AdminClient, kafka: config.Kafka, topics: Mapping[str, Kind]) -> None:
    """Create topics, unless another process was quicker. Raises Refused where that is forbidden."""
    keep_ms = -1 if kafka.raw_retention is None else round(config.seconds(kafka.raw_retention, "kafka.raw_retention") * 1000)
    new = [
        NewTopic(
            name,
            num_partitions=kafka.partitions,
            replication_factor=kafka.replication_factor,
            config={
                "cleanup.policy": "compact" if kind in COMPACTED else "delete",
                "retention.ms": str(keep_ms if kind in ORIGINAL else -1),
                "max.message.bytes": str(MAX_RECORD_BYTES + 64 * 1024),
            },
        )
        for name, kind in topics.items()
    ]
    if not new:
        return
    for name, future in admin.create_topics(new).items():
        try:
            future.result(timeout=30)
        except KafkaException as failure:
            error = failure.args[0]
            if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            if error.code() in _REFUSALS:
                raise Refused(
                    f"topic {name} does not exist, and {kafka.sasl_username or 'this client'} may not create it ({error.str()}): "
                    f"create it, or grant Create on topic {name}"
                ) from None
            raise TailraceError(f"cannot create topic {name}: {error.str()}") from None
