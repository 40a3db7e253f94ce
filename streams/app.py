"""A Faust app as Tailrace runs it: settings, credentials, the batch transport."""

import ssl
from pathlib import Path
from typing import Any

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.types import TopicT
from faust.types.auth import CredentialsT

from streams import transport
from tailrace import kafka
from tailrace import settings as config
from tailrace.errors import ConfigError

SESSION_TIMEOUT_S = 10.0
"""How long the group waits for a worker that died before its partitions go to others, itself restarted included."""
COMMIT_INTERVAL_S = 0.5
"""At most this long after the last acknowledgement the offsets are committed."""


def make_app(settings: config.Settings, role: str, **faust_settings: Any) -> faust.App:
    """The app of a role, without agents yet. Its id, and so its consumer group, is `tailrace.kafka.group(kafka, role)`.

    Raises ConfigError where `state_dir` cannot be written, and what `credentials` raises.
    """
    folder = Path(settings.state_dir).absolute() / "stream" / f"{role}{settings.kafka.suffix(role)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state_dir: cannot make the folder {folder}: {error.strerror}") from None
    app = faust.App(
        kafka.group(settings.kafka, role),
        broker=[f"kafka://{server.strip()}" for server in settings.kafka.bootstrap_servers.split(",")],
        broker_credentials=credentials(settings.kafka),
        datadir=folder,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 4,
        table_standby_replicas=settings.stream.standby_replicas,
        stream_recovery_delay=0.0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        **faust_settings,
    )
    transport.install(app)
    return app


def batches(app: faust.App, topic: str) -> TopicT:
    """A topic whose events are batches: the value of each is a list of `streams.records.Record`."""
    return app.topic(topic, key_serializer="raw", value_serializer="raw", maxsize=transport.QUEUED_BATCHES)


def credentials(settings: config.Kafka) -> CredentialsT | None:
    """Faust's form of kafka.security_protocol and what belongs to it; None for a plain connection.

    Raises ConfigError for a password file that cannot be read, OSError for a certificate file.
    """
    tls: ssl.SSLContext | None = None
    if settings.security_protocol.endswith("SSL"):
        tls = ssl.create_default_context(cafile=settings.ssl_ca_location)
    if settings.security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=settings.sasl_username or "",
            password=config.secret(settings.sasl_password, settings.sasl_password_file, "kafka.sasl_password") or "",
            mechanism=settings.sasl_mechanism,
            ssl_context=tls,
        )
    return SSLCredentials(tls) if tls is not None else None
