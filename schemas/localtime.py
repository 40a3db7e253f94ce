"""Local time stamps to UTC, with the hour that autumn repeats resolved by the order of a file's lines.

02:00:00 to 02:59:59 of the last Sunday of October occurs twice in Europe/Brussels and a trace does not say which one it
means. Lines of one file are in order but for seconds, so the first stamp that steps back by more than `STEP_BACK_S`
inside the repeated hour begins the second pass. The step's offset is kept, so that lines which are read again resolve
as they did the first time.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

STEP_BACK_S = 600
"""A stamp this much before its predecessor means that the clock was put back; lines are out of order by seconds only."""


class UnknownPast(Exception):
    """An ambiguous stamp in the middle of a file whose earlier lines this clock has not seen."""


@lru_cache(maxsize=65_536)
def _hour(zone: str, hour: str) -> tuple[int, bool]:
    """UTC seconds of a local hour written `YYYY-MM-DD-HH` (first pass), and whether it occurs twice.

    An hour that spring skips is moved forward, as PHP's strtotime does. Raises ValueError for impossible dates.
    """
    naive = datetime.strptime(hour, "%Y-%m-%d-%H")
    first = naive.replace(tzinfo=ZoneInfo(zone), fold=0)
    second = naive.replace(tzinfo=ZoneInfo(zone), fold=1)
    ambiguous = second.astimezone(UTC) - first.astimezone(UTC) == timedelta(hours=1)
    return int(first.timestamp()), ambiguous


class LocalClock:
    """The clock of one file. Feed it stamps in file order; a repeated offset gives the same answer again."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._offset = -1
        self._utc: int | None = None
        self._step: int | None = None
        self._step_hour = ""

    def resolve(self, stamp: str, offset: int) -> tuple[int, int | None]:
        """UTC seconds and fold (None where the stamp is unambiguous) of a stamp `YYYY-MM-DD-HH:MM:SS`.

        Raises ValueError for a stamp that is no time; UnknownPast where the answer depends on lines not seen yet.
        """
        minute, second = int(stamp[14:16]), int(stamp[17:19])
        if minute > 59 or second > 59:
            raise ValueError(f"no such time: {stamp}")
        hour = stamp[:13]
        start, ambiguous = _hour(self.zone, hour)
        utc = start + minute * 60 + second
        fold: int | None = None
        if ambiguous:
            fold = self._fold(hour, utc, offset)
            utc += fold * 3600
        if offset > self._offset:
            self._offset, self._utc = offset, utc
        return utc, fold

    def _fold(self, hour: str, first_pass: int, offset: int) -> int:
        if self._step is not None and self._step_hour == hour:
            return int(offset >= self._step)
        if offset <= self._offset:
            return 0
        if self._utc is None:
            if offset > 0:
                raise UnknownPast
            return 0
        if self._utc > first_pass + STEP_BACK_S:
            self._step, self._step_hour = offset, hour
            return 1
        return 0
