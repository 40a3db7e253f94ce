"""What a sink has done since it started, for the line it logs and for its metrics."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import get_args

from sinks.outcomes import Outcome
from tailrace import metrics
from tailrace.metrics import Histogram, Sample

LATENCY_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""A full batch takes 0.05 to 0.5 s on a healthy server; the client gives up at its own time-out."""


class Counts:
    """Counted by the lanes, read by the loop and the monitor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: Counter[Outcome] = Counter(dict.fromkeys(get_args(Outcome), 0))
        self._dead: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._latency = Histogram(LATENCY_BOUNDS_S)
        self._bytes = 0
        self._retried = 0

    def taken(self, outcomes: Mapping[Outcome, int]) -> None:
        """The index took operations."""
        with self._lock:
            self._outcomes.update(outcomes)

    def dead(self, reason: str) -> None:
        with self._lock:
            self._dead[reason] += 1

    def retried(self, operations: int) -> None:
        with self._lock:
            self._retried += operations

    def request(self, status: str, seconds: float, size: int) -> None:
        """A bulk request of `size` bytes was answered with this HTTP status after so long; `none`: it was not answered."""
        with self._lock:
            self._requests[status] += 1
            self._latency.observe(seconds)
            self._bytes += size

    def total(self) -> Counter[str]:
        """`documents` (patches and deletions among them), `patches`, `dead`, `retried`."""
        with self._lock:
            documents, patches = self._outcomes.total(), self._outcomes["patched"]
            return Counter(documents=documents, patches=patches, dead=self._dead.total(), retried=self._retried)

    def samples(self) -> list[Sample]:
        with self._lock:
            return [
                *(Sample(metrics.SINK_DOCUMENTS, number, (outcome,)) for outcome, number in self._outcomes.items()),
                *(Sample(metrics.SINK_DEAD_LETTERS, number, (reason,)) for reason, number in self._dead.items()),
                *(Sample(metrics.SINK_REQUESTS, number, (status,)) for status, number in self._requests.items()),
                *self._latency.samples(metrics.SINK_LATENCY),
                Sample(metrics.SINK_BYTES, self._bytes),
                Sample(metrics.SINK_RETRIED, self._retried),
            ]


def in_words(since: Counter[str], elapsed_s: float, lag: int) -> str | None:
    """One line about what moved in `elapsed_s` seconds; None where nothing did. `lag` is in records."""
    moved = {name: amount for name, amount in since.items() if amount}
    if not moved:
        return None
    said = [f"{moved.get('documents', 0) / elapsed_s:,.0f} documents/s", f"lag {lag:,}"]
    words = {"patches": "patches", "dead": "dead letters", "retried": "sent again"}
    said += [f"{word} {moved[name]:,}" for name, word in words.items() if name in moved]
    return ", ".join(said)
