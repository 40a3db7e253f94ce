"""Every host's files, as the heartbeats on `<source>.files` tell of them."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Literal

import msgspec

from schemas.heartbeat import Heartbeat, HostBeat, Seal, decode_any
from schemas.watermark import Held, watermark
from tailrace.kafka import topic
from tailrace.settings import Settings
from tailrace.topics import TopicReader

State = Literal["growing", "read", "sealed", "gone", "lost"]


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """One file, as its producer said last."""

    host: str
    file: str
    path: str
    """Where it is, or was when it went."""
    size: int
    read: int
    acknowledged: int
    lag: int
    age_s: float
    """Of the heartbeat; files that rest for a day are told of when something changes only."""
    state: State
    """`lost`: gone, and not all of it was read."""
    sealed: Seal | None


class Producer(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    files: int
    unreadable: int
    age_s: float
    shipped_before: str | None
    stopped: bool


class Everywhere(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    watermark: str | None
    """Everything that was written before this time is shipped; ISO 8601, UTC. None: not known."""
    held_by: tuple[Held, ...]
    hosts: list[Producer]
    files: list[Reported]


def read(settings: Settings, source: str, now_ms: int, without: frozenset[str]) -> Everywhere:
    """Raises Unreachable and TailraceError as the topic's reader does."""
    with closing(TopicReader(settings.kafka, topic(settings.kafka, source, "files"))) as reader:
        newest = {message.key() or b"": message.value() for message in reader.records()}
    return gather(source, newest, now_ms, without)


def gather(source: str, newest: dict[bytes, bytes | None], now_ms: int, without: frozenset[str]) -> Everywhere:
    """From the newest value of each key; what is no heartbeat is left out."""
    beats = [beat for key, value in newest.items() if value and (beat := _decoded(key, value))]
    hosts = [beat for beat in beats if isinstance(beat, HostBeat)]
    mark = watermark(hosts, now_ms, without=without)
    files = (_reported(beat, now_ms) for beat in beats if isinstance(beat, Heartbeat))
    return Everywhere(
        source=source,
        watermark=_iso(mark.time_ms) if mark.time_ms else None,
        held_by=mark.held_by,
        hosts=sorted((_producer(beat, now_ms) for beat in hosts), key=lambda producer: producer.host),
        files=sorted(files, key=lambda file: (file.host, file.path, file.file)),
    )


def _decoded(key: bytes, value: bytes) -> Heartbeat | HostBeat | None:
    try:
        return decode_any(key, value)
    except ValueError:
        return None


def _producer(beat: HostBeat, now_ms: int) -> Producer:
    return Producer(
        host=beat.host,
        files=beat.files,
        unreadable=beat.unreadable,
        age_s=_age_s(beat.time_ms, now_ms),
        shipped_before=_iso(beat.shipped_ms) if beat.shipped_ms else None,
        stopped=beat.stopped,
    )


def _reported(beat: Heartbeat, now_ms: int) -> Reported:
    return Reported(
        host=beat.host,
        file=beat.file,
        path=beat.path_now or beat.path,
        size=beat.size,
        read=beat.read,
        acknowledged=beat.acknowledged,
        lag=beat.size - beat.acknowledged,
        age_s=_age_s(beat.time_ms, now_ms),
        state=_state(beat),
        sealed=beat.sealed,
    )


def _state(beat: Heartbeat) -> State:
    if beat.path_now is None:
        return "gone" if beat.read_to_end else "lost"
    if beat.sealed:
        return "sealed"
    return "read" if beat.read_to_end else "growing"


def _age_s(time_ms: int, now_ms: int) -> float:
    return max(0, now_ms - time_ms) / 1000


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
