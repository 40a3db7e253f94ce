"""A limit on records and bytes per second that makes files wait and discards nothing.

What is sent is owed, and the debt melts at the permitted rate; nothing is read while there is debt. So the average is exact, and a
burst is one read of one file: with a limit, about what a tenth of a second permits. A new rate applies to the debt that stands.
"""

from collections.abc import Callable

PIECES_PER_S = 10
"""The permitted bytes or records of a second are read in so many pieces."""

SMALLEST_BYTES = 256
"""... of at least so many bytes, or a low limit would cut each line into many reads."""

FIRST_RECORD_BYTES = 200
"""How long records are taken to be until some were sent."""


class Throttle:
    """Rates of 0 are no limits."""

    def __init__(self, records_per_s: float, bytes_per_s: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._at_s = clock()
        self._records = self._bytes = 0.0
        """Owed."""
        self._records_per_s, self._bytes_per_s = records_per_s, bytes_per_s
        self._record_bytes = float(FIRST_RECORD_BYTES)

    def change(self, records_per_s: float, bytes_per_s: float) -> None:
        self._records, self._bytes = self._debts()
        self._at_s = self._clock()
        self._records_per_s, self._bytes_per_s = records_per_s, bytes_per_s

    def spend(self, records: int, size: int) -> None:
        """These were sent; `size` in bytes."""
        if self.is_off:
            return
        owed_records, owed_bytes = self._debts()
        self._at_s = self._clock()
        self._records, self._bytes = owed_records + records, owed_bytes + size
        if records:
            self._record_bytes += (size / records - self._record_bytes) / 4

    def piece(self, most: int) -> int:
        """How many bytes to read at once, at most `most`."""
        rates = [rate for rate in (self._bytes_per_s, self._records_per_s * self._record_bytes) if rate]
        return min(most, max(SMALLEST_BYTES, int(min(rates) / PIECES_PER_S))) if rates else most

    @property
    def is_off(self) -> bool:
        return not (self._records_per_s or self._bytes_per_s)

    def wait_s(self) -> float:
        """How long nothing more may be sent; 0 where something may. Changes nothing, so other threads may ask."""
        if self.is_off:
            return 0.0
        owed_records, owed_bytes = self._debts()
        by_records = owed_records / self._records_per_s if self._records_per_s else 0.0
        by_bytes = owed_bytes / self._bytes_per_s if self._bytes_per_s else 0.0
        return max(by_records, by_bytes)

    def _debts(self) -> tuple[float, float]:
        """Records and bytes that are owed now; none of what is not limited."""
        elapsed_s = self._clock() - self._at_s
        return (
            max(0.0, self._records - elapsed_s * self._records_per_s) if self._records_per_s else 0.0,
            max(0.0, self._bytes - elapsed_s * self._bytes_per_s) if self._bytes_per_s else 0.0,
        )
