"""Values of the compacted topic `<source>.files`: how far a producer has come with each file, and that it looks at all.

The key of a file is its place as JSON: what stands before `@` in the keys of its records. A producer's own heartbeat stands
under the place of its host with an empty file id and path.
"""

import msgspec

from schemas.place import Place, key_prefix, split_key


class Seal(msgspec.Struct, frozen=True):
    """What a complete file holds, compressed or not."""

    lines: int
    """Of its bytes, those that are LF."""
    bytes: int
    hash: str
    """SHA-256 of the content, in hex: what `sha256sum` says of a file that is not compressed."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Of one file."""

    file: str
    host: str
    path: str
    """As in the keys of the records: where the file was first seen."""
    path_now: str | None
    """Where it is now; None where it is gone."""
    size: int
    """Bytes, when last looked at."""
    mtime_ms: int
    read: int
    """Offset up to which records were handed to the Kafka client."""
    acknowledged: int
    """Offset up to which every record is on the topic or in a dead letter, without a gap."""
    read_to_end: bool
    """True: nothing stood after `acknowledged` when last looked at."""
    sealed: Seal | None = None
    """Set while the file is complete; a later write takes it back."""
    time_ms: int
    """The producer's clock when it wrote this."""


class HostBeat(msgspec.Struct, frozen=True, kw_only=True):
    """Of one producer, for one source."""

    host: str
    files: int
    """How many it follows."""
    unreadable: int
    """How many it found and could not open."""
    shipped_ms: int
    """Everything that stood in the host's files at this time is on the topic or in a dead letter; 0: not known yet.

    It stays true. Left out are lines that were not complete yet, and what was lost with a file that was deleted unread.
    """
    stopped: bool
    """True: the producer ended, in good order. What is written from then on is not looked at."""
    time_ms: int
    """The producer's clock when it wrote this."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Heartbeat).decode
_decode_host = msgspec.json.Decoder(HostBeat).decode


def heartbeat_key(place: Place) -> bytes:
    """The place as one JSON object."""
    return key_prefix(place)[:-1]


def host_key(host: str) -> bytes:
    """The key of a producer's own heartbeats."""
    return heartbeat_key(Place("", host, ""))


def decode_any(key: bytes, value: bytes) -> Heartbeat | HostBeat:
    """A record of the topic. Raises ValueError (msgspec's errors included) for one that is none of ours."""
    place, _ = split_key(key + b"@0")
    return decode(value) if place.file else _decode_host(value)
