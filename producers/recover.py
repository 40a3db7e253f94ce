"""Checkpoints rebuilt from the records on Kafka, where the state folder was lost.

Only bytes that are on the topic count, from the start of a file up to its first gap. What lies beyond is sent again, under
the same keys; so nothing is lost, and what need not be is not repeated. Records of other hosts do not count, since their files
may begin with the same line and differ later.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import blake2b

from producers.checkpoint import Entry
from producers.reader import DEAD_BYTES, SIGNED_BYTES
from schemas.place import Place, split_key
from tailrace.dead import from_record
from tailrace.kafka import topic
from tailrace.settings import Kafka
from tailrace.topics import TopicReader

log = logging.getLogger("tailrace.ship")


class Coverage:
    """What is known to be on the topic of one file; told in any order, as often as the topic has it."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        """Of stretches by where they begin; those that touch are joined, so there are few."""
        self._begins: dict[int, int] = {}
        self._signed = blake2b(digest_size=16)
        self._signed_length = 0
        self._early: dict[int, bytes] = {}
        """Records within the first `SIGNED_BYTES` that came before their turn."""

    def add(self, begin: int, value: bytes, length: int = 0) -> None:
        """A record without its last LF; `length`: its bytes in the file, where `value` is only its beginning."""
        end = begin + (length or len(value) + 1)
        self._sign(begin, value if length else value + b"\n")
        begin = self._begins.pop(begin, begin)
        end = max(self._ends.pop(end, end), self._ends.get(begin, 0))
        self._ends[begin], self._begins[end] = end, begin

    def end(self) -> int:
        """Up to where there is no gap."""
        reached = 0
        for begin in sorted(self._ends):  # stretches may overlap: a record that was completed by a late line
            if begin > reached:
                break
            reached = max(reached, self._ends[begin])
        return reached

    def entry(self, source: str, place: Place) -> Entry:
        return Entry(
            source=source,
            file=place.file,
            path=place.path,
            offset=self.end(),
            signed=self._signed_length,
            signature=self._signed.hexdigest(),
        )

    def _sign(self, begin: int, content: bytes) -> None:
        if not self._signed_length <= begin < SIGNED_BYTES:
            return
        self._early[begin] = max(self._early.get(begin, b""), content, key=len)
        while self._signed_length < SIGNED_BYTES and (line := self._early.pop(self._signed_length, b"")):
            fresh = line[: SIGNED_BYTES - self._signed_length]
            self._signed.update(fresh)
            self._signed_length += len(fresh)


def recover(kafka: Kafka, sources: Iterable[str], host: str) -> list[Entry]:
    """What a checkpoint of this host would say if it held what the topics hold.

    Raises Unreachable and TailraceError as the topics' reader does.
    """
    entries: list[Entry] = []
    for source in sources:
        entries += (coverage.entry(source, place) for place, coverage in _cover(kafka, source, host) if coverage.end())
    return entries


def _cover(kafka: Kafka, source: str, host: str) -> Iterable[tuple[Place, Coverage]]:
    found: dict[str, tuple[Place, Coverage]] = {}
    count = 0
    for place, offset, value, length in _shipped(kafka, source):
        if place.host == host and not place.torn:
            count += 1
            known = found.get(place.file) or found.setdefault(place.file, (place, Coverage()))
            known[1].add(offset, value, length)
    log.info("%s: %d records of %d files are on Kafka; what follows them is shipped", source, count, len(found))
    return found.values()


def _shipped(kafka: Kafka, source: str) -> Iterator[tuple[Place, int, bytes, int]]:
    """Records of the raw topic, and those that no topic takes and of which a dead letter is kept: as `Coverage.add` takes them."""
    with closing(TopicReader(kafka, topic(kafka, source, "raw"))) as reader:
        for message in reader.records():
            yield from _placed(message.key(), message.value())
    with closing(TopicReader(kafka, topic(kafka, source, "dead"))) as reader:
        for message in reader.records():
            letter = from_record(message.key(), message.value(), message.headers())
            if letter.length or (letter.reason == "record_refused" and len(letter.payload) < DEAD_BYTES):
                yield from _placed(letter.key, letter.payload, letter.length)


def _placed(raw_key: bytes | None, value: bytes | None, length: int = 0) -> Iterator[tuple[Place, int, bytes, int]]:
    """Nothing for a key that names no place."""
    try:
        place, offset = split_key(raw_key or b"")
    except ValueError:
        return
    yield place, offset, value or b"", length
