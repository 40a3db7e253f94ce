"""Heartbeats of files, as producers put them on record, and their seals against what the files hold now."""

from collections.abc import Iterable
from hashlib import sha256

from confluent_kafka import Message

from reports import disk
from schemas.heartbeat import Heartbeat, Seal, decode_any


def newest(messages: Iterable[Message]) -> list[Heartbeat]:
    """The newest heartbeat of each file and host. What is no heartbeat is left out."""
    beats: dict[bytes, Heartbeat] = {}
    for message in messages:
        key = message.key() or b""
        try:
            beat = decode_any(key, message.value() or b"")
        except ValueError:
            beats.pop(key, None)
            continue
        if isinstance(beat, Heartbeat):
            beats[key] = beat
    return list(beats.values())


def digest(path: str, length: int) -> Seal:
    """What a seal of the file's first `length` bytes would say now, decompressed; of fewer where it is shorter.

    Raises OSError for a file that cannot be read.
    """
    lines = size = 0
    found = sha256()
    with disk.content(path) as file:
        while block := file.read(min(disk.BLOCK_BYTES, length - size)):
            found.update(block)
            lines += block.count(b"\n")
            size += len(block)
    return Seal(lines, size, found.hexdigest())
