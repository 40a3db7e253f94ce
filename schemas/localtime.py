"""Local time stamps to UTC, with the hour that autumn repeats resolved by the order of a file's lines.

02:00:00 to 02:59:59 of the last Sunday of October occurs twice in Europe/Brussels and a trace does not say which one it
means. Lines of one file are in order but for seconds, so the first stamp that steps back by more than `STEP_BACK_S`
inside the repeated hour, or into it from later the same day, begins the second pass. The step's offset is kept, so that
lines which are read again resolve as they did the first time.

Zones that repeat anything but one whole hour of the clock (Lord Howe Island: half of one) get the first pass throughout. Offsets are
taken as whole minutes, which all are since 1972.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

STEP_BACK_S = 600
"""A stamp this much before its predecessor means that the clock was put back; lines are out of order by seconds only."""

STEP_BACK_MAX_S = 86_400
"""A stamp further back than this follows a forged or broken one, which says nothing about the clock."""

Moment = tuple[int, str, int | None]
"""Seconds since 1970, the same as text (`2016-04-05T18:13:23.000Z`), and the fold, None where the local stamp is unambiguous."""

_HOUR = re.compile(r"\d{4}-\d\d-\d\d-\d\d", re.ASCII)
_SIXTY = {f"{n:02}": n for n in range(60)}


class UnknownPast(Exception):
    """An ambiguous stamp in the middle of a file whose earlier lines this clock has not seen."""


@lru_cache(maxsize=65_536)
def _hour(zone: str, hour: str) -> tuple[int, bool]:
    """UTC seconds of a local hour written `YYYY-MM-DD-HH` (first pass), and whether it occurs twice.

    An hour that spring skips is moved forward, as PHP's strtotime does. Raises ValueError for impossible dates.
    """
    if not _HOUR.fullmatch(hour):
        raise ValueError(f"no such hour: {hour}")
    try:
        naive = datetime.strptime(hour, "%Y-%m-%d-%H")
        first = naive.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
        second = naive.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"no such hour: {hour}") from None
    return int(first.timestamp()) // 60 * 60, second - first == timedelta(hours=1)


@lru_cache(maxsize=65_536)
def _minute(zone: str, minute: str) -> tuple[int, str, bool]:
    """UTC seconds and text of a local minute written `YYYY-MM-DD-HH:MM:` (first pass), and whether its hour occurs twice.

    Raises ValueError.
    """
    start, ambiguous = _hour(zone, minute[:13])
    if len(minute) != 17 or minute[13] != ":" or minute[16] != ":" or minute[14:16] not in _SIXTY:
        raise ValueError(f"no such minute: {minute}")
    start += _SIXTY[minute[14:16]] * 60
    return start, _utc_minute(start), ambiguous


def _utc_minute(seconds: int) -> str:
    """`2016-04-05T18:13:` of seconds since 1970."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:}"


class LocalClock:
    """The clock of one file. Feed it stamps in file order; a repeated offset gives the same answer again."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._minute = ""
        """The last stamp's, and what it is."""
        self._resolved = 0, "", False
        self._first = 0
        self._offset = -1
        self._utc: int | None = None
        self._step: int | None = None
        self._step_hour = ""

    def resolve(self, stamp: str, offset: int) -> Moment:
        """The moment of a stamp `YYYY-MM-DD-HH:MM:SS`.

        Raises ValueError for a stamp that is no time; UnknownPast where the answer depends on lines not seen yet.
        """
        if stamp[:17] != self._minute:
            self._resolved, self._minute = _minute(self.zone, stamp[:17]), stamp[:17]
        utc, minute, ambiguous = self._resolved
        second = stamp[17:]
        try:
            utc += _SIXTY[second]
        except KeyError:
            raise ValueError(f"no such time: {stamp}") from None
        fold: int | None = None
        if ambiguous:
            fold = self._fold(stamp[:13], utc, offset)
            if fold:
                utc += 3600
                minute = _utc_minute(utc)
        if offset > self._offset:
            if self._utc is None:
                self._first = offset
            self._offset, self._utc = offset, utc
        return utc, f"{minute}{second}.000Z", fold

    def _fold(self, hour: str, first_pass: int, offset: int) -> int:
        if offset == 0:
            return 0  # a file that begins inside the hour; nothing says which of the two it is
        if self._utc is None or offset < self._first:
            raise UnknownPast
        if self._step is not None and self._step_hour == hour:
            return int(offset >= self._step)
        if offset > self._offset and STEP_BACK_S < self._utc - first_pass <= STEP_BACK_MAX_S:
            self._step, self._step_hour = offset, hour
            return 1
        return 0
