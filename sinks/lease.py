"""Keeps a sink that stood still from writing what has been overtaken.

A process can be stopped at any moment (a paused container, a suspended machine) and go on later without knowing it. By then another
sink has its partitions, and has written what is in hand here and newer things too, which would be undone: an event that was sent on
with its first session, for example, and patched since. Elasticsearch cannot tell the older from the newer. So before each request the
sink asks whether time has passed evenly, which a thread that does nothing else watches.

What is left is a request that was stopped while it was being sent. `tailrace sessions repair` finds a document that this has set back.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tailrace.errors import TailraceError

LEASE_S = 4.0
"""With what a request may wait in the server (`writer.SHARDS_S`) shorter than the group waits for a sink (`consume.SESSION_TIMEOUT_MS`)."""
TICK_S = 0.5

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine is suspended, where there is such a clock (Linux)."""


class StoodStill(TailraceError):
    """The process was stopped for so long that another one may own its partitions."""


class Lease:
    """Runs out, for good, when the process has not run for `LEASE_S`."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._renewed_s = time.clock_gettime(_CLOCK)

    def check(self) -> None:
        """Raises StoodStill when it has run out."""
        still_s = time.clock_gettime(_CLOCK) - self._renewed_s
        if still_s > LEASE_S:
            raise StoodStill(
                f"this sink stood still for {still_s:.0f} s or more, so another one may have taken over; started again, it goes on from "
                "what is committed"
            )

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew it for as long as the process runs."""
        self._renewed_s = time.clock_gettime(_CLOCK)
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(TICK_S):
            now_s = time.clock_gettime(_CLOCK)
            if now_s - self._renewed_s > LEASE_S:
                return  # whoever looks next sees it
            self._renewed_s = now_s
