"""Lanes: threads that write batches side by side.

All records of a partition go through one lane, one batch after another. All records of a client, and so of a document, are in one
partition: lanes keep the order of every document without knowing documents.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from zlib import crc32

from sinks.bulk import Batch, Partition, Record
from sinks.dead_letters import Interrupted
from sinks.writer import Writer

LANES = 2
"""Two connections take Elasticsearch on two cores to within 3 % of what three do (measured: 100,000 and 103,000 documents/s)."""

QUEUED = 2
"""Batches that wait in a lane behind the one in flight."""


def lane_number(partition: Partition, lanes: int = LANES) -> int:
    """Neighbouring partitions of a topic go to different lanes, and topics do not all begin with the first."""
    topic, number = partition
    return (crc32(topic.encode()) + number) % lanes


class Lane:
    """A thread, the batches that wait for it, and the batch that is being filled by the loop."""

    def __init__(self, name: str, writer: Writer, settle: Callable[[Mapping[Partition, int]], None], changed: threading.Condition) -> None:
        self._writer = writer
        self._settle = settle
        self._changed = changed
        """Shared by all lanes: notified whenever one of them takes or settles a batch."""
        self._waiting: deque[Batch] = deque()
        self._writing: Batch | None = None
        self._closed = False
        self.filling = Batch()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def busy(self) -> bool:
        return self._writing is not None or bool(self._waiting)

    def has_room(self) -> bool:
        return len(self._waiting) < QUEUED

    def stuck(self) -> bool:
        """Whether it waits for a server that does not take what it was given, or has failed."""
        return self._writer.waiting_since_s is not None or self.failure is not None

    def waiting(self) -> tuple[float, str] | None:
        """For how many seconds the server has taken nothing, and its words; None while it takes what it is given."""
        since_s = self._writer.waiting_since_s
        return None if since_s is None else (time.monotonic() - since_s, self._writer.waiting_for)

    def oldest(self) -> list[Record]:
        """Records of the oldest batch that is not settled; those of the lane's other batches came later."""
        with self._changed:
            batch = self._writing or (self._waiting[0] if self._waiting else self.filling)
        return batch.records.copy()

    def submit(self) -> None:
        """Hand the batch that is being filled over to the thread."""
        with self._changed:
            self._waiting.append(self.filling)
            self.filling = Batch()
            self._changed.notify_all()

    def discard(self) -> None:
        """Forget what the thread has not begun with."""
        with self._changed:
            self._waiting.clear()
            self.filling = Batch()
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread after the batch it is writing."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._writer.write(batch)
                self._settle(batch.positions)
            except Interrupted:
                pass  # the loop gave this work up and commits nothing of it
            except BaseException as error:
                self.failure = error  # the loop raises it
            with self._changed:
                self._writing = None
                if self.failure:
                    self._waiting.clear()
                self._changed.notify_all()

    def _next(self) -> Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed or self.failure:
                return None
            self._writing = self._waiting.popleft()
            self._changed.notify_all()
            return self._writing
