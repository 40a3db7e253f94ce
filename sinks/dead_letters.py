"""Records that the index cannot hold, kept on `<source>.dead` with the server's reason."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.envelope import EventEnvelope, Patch, Summary, decode
from schemas.place import Place, key
from sinks.bulk import Record
from sinks.outcomes import PATCH_WITHOUT_DOCUMENT
from tailrace.dead import DeadLetter
from tailrace.dead_share import Dead, DeadShare
from tailrace.errors import TailraceError
from tailrace.kafka import LONGEST_KEY, LONGEST_VALUE

log = logging.getLogger("tailrace.sink")


class Interrupted(Exception):
    """Work was given up because the sink stops or loses its partitions; nothing of it may be committed."""


class DeadLetters:
    """One producer for all lanes. `topics` names the dead letter topic of each topic that is read."""

    def __init__(self, producer: Any, topics: Mapping[str, str], share: DeadShare) -> None:
        self._producer = producer
        self._topics = topics
        self._share = share
        self._lock = threading.Lock()
        self._kept: list[Dead] = []
        """Since the last `count`."""
        self._failure: str | None = None

    def keep(self, record: Record, reason: str, message: str) -> None:
        """Put a record on its way; `confirm` waits until Kafka has it."""
        original, payload = _origin(record)
        letter = DeadLetter(original, payload, "sink", reason, message, record.topic(), record.partition(), record.offset())
        log.debug("dead letter %s from %s[%d]@%d: %s", reason, record.topic(), record.partition(), record.offset(), message)
        self._producer.produce(
            self._topics[record.topic()],
            key=letter.key[:LONGEST_KEY],
            value=payload[:LONGEST_VALUE],
            headers=letter.headers(),
            on_delivery=self._delivered,
        )
        if reason != PATCH_WITHOUT_DOCUMENT:
            with self._lock:
                self._kept.append(Dead(letter.key.rpartition(b"@")[0], reason))

    def count(self, events: int) -> None:
        """So many events are settled, the letters since the last call among them. Raises TooManyDead."""
        with self._lock:
            kept, self._kept = self._kept, []
            self._share.count(events, kept)

    def confirm(self, cancelled: threading.Event) -> None:
        """Return when Kafka holds every letter. Raises Interrupted, and TailraceError where Kafka will not take one."""
        while self._producer.flush(0.5):
            if cancelled.is_set():
                raise Interrupted
        if self._failure:
            raise TailraceError(f"a dead letter cannot be kept: {self._failure}")

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failure = f"{message.topic()}: {error.str()}"


def _origin(record: Record) -> tuple[bytes, bytes]:
    """Key and payload of a dead letter: the event's place in its file and its document as JSON, as far as the record tells them."""
    value = record.value() or b""
    try:
        envelope = decode(value)
    except ValueError:
        return record.key() or b"", value
    if isinstance(envelope, Patch | Summary):
        plain = {name: _plain(value) for name, value in envelope._asdict().items() if value is not None}
        return record.key() or b"", msgspec.json.encode(plain)
    if isinstance(envelope, EventEnvelope):
        return _place_key(envelope.document) or record.key() or b"", envelope.document
    return record.key() or b"", value


def _plain(value: str | int | bytes) -> str | int | msgspec.Raw:
    """Bytes of envelopes are JSON."""
    return msgspec.Raw(value) if isinstance(value, bytes) else value


class _Placed(msgspec.Struct):
    """The common fields of a document that say where it came from."""

    file: str
    host: str
    source: str
    offset: int


def _place_key(document: bytes) -> bytes | None:
    try:
        found = msgspec.json.decode(document, type=_Placed)
    except msgspec.DecodeError:
        return None
    return key(Place(found.file, found.host, found.source), found.offset)
