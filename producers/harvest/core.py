"""One core: where it is, what was read of it, what is acknowledged."""

from collections import deque
from typing import NamedTuple

from producers.checkpoint import Entry
from producers.harvest.window import Window
from producers.publish import Batch
from schemas.duration import seconds
from schemas.heartbeat import HostBeat, encode, host_key
from schemas.place import key_prefix
from schemas.source import Source
from tailrace.solr import Address, place_of


class Waiting(NamedTuple):
    since_s: float
    """Unix time of the first question without a usable answer."""
    cause: str


class Core:
    def __init__(self, source: Source, entry: Entry | None) -> None:
        """`entry` is what the last checkpoint says about it. Raises ConfigError where the source names no core."""
        settings = source.settings
        self.source = source
        self.address = Address.of_source(source)
        self.poll_s = seconds(settings.solr_poll)
        self.rows = settings.solr_rows
        self.place = place_of(source)
        self.prefix = key_prefix(self.place)
        self.acknowledged = entry.offset if entry else 0
        """Every document up to this version that could be seen then is on the topic or in a dead letter."""
        self.window = Window(self.acknowledged, round(seconds(settings.solr_overlap) * 1000))
        self.batches: deque[Batch] = deque()
        self.due_s = 0.0
        """Monotonic time of the next poll."""
        self.swept_ms = 0
        """When the last poll began that was read to its end."""
        self.waiting: Waiting | None = None
        """While questions have no usable answer."""
        self.documents = 0
        """Acknowledged since the start."""
        self.shipped_ms = 0
        """Everything that was indexed before this is acknowledged, milliseconds since 1970; 0: not known yet."""
        self._overlap_ms = round(seconds(settings.solr_overlap) * 1000)

    def go_back(self, version: int) -> None:
        """Read again from a version on."""
        self.acknowledged = self.window.newest = min(self.acknowledged, version)

    def settle(self) -> int:
        """Move the acknowledged version over what is delivered; how many documents that was."""
        documents = 0
        while self.batches and self.batches[0].left == 0:
            batch = self.batches.popleft()
            self.acknowledged = max(self.acknowledged, batch.end)
            documents += batch.count
        self.documents += documents
        return documents

    def beat(self, now_ms: int, *, stopped: bool) -> tuple[bytes, bytes]:
        """Key and value of a heartbeat, under the core's URL as host.

        What was indexed an overlap before a poll could be seen by it, and is shipped when all that the poll gave is acknowledged.
        """
        if self.swept_ms and not self.batches:
            self.shipped_ms = max(self.shipped_ms, self.swept_ms - self._overlap_ms)
        host = self.place.path
        waiting = self.waiting is not None
        beat = HostBeat(host=host, files=1, unreadable=int(waiting), shipped_ms=self.shipped_ms, stopped=stopped, time_ms=now_ms)
        return host_key(host), encode(beat)

    def entry(self) -> Entry:
        return Entry(source=self.source.name, file=self.place.file, path=self.place.path, offset=self.acknowledged, signed=0, signature="")
