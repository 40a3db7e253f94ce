"""What a sink has done since it started, for the line it logs."""

import threading
from collections import Counter


class Counts:
    """Counted by the lanes, read by the loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total: Counter[str] = Counter()

    def add(self, **amounts: int) -> None:
        """Of `documents`, `patches`, `dead`, `retried`, `requests`, `bytes`."""
        with self._lock:
            self._total.update(amounts)

    def total(self) -> Counter[str]:
        with self._lock:
            return self._total.copy()


def in_words(since: Counter[str], elapsed_s: float, lag: int) -> str | None:
    """One line about what moved in `elapsed_s` seconds; None where nothing did. `lag` is in records."""
    moved = {name: amount for name, amount in since.items() if amount}
    if not moved:
        return None
    said = [f"{moved.get('documents', 0) / elapsed_s:,.0f} documents/s", f"lag {lag:,}"]
    words = {"patches": "patches", "dead": "dead letters", "retried": "sent again"}
    said += [f"{word} {moved[name]:,}" for name, word in words.items() if name in moved]
    return ", ".join(said)
