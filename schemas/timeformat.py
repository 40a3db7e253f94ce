"""Times of a user's own records: text or numbers to milliseconds since 1970."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

ReadTime = Callable[[Any], int | None]
"""Milliseconds since 1970 of a value, or None where it is no time of the format."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
EARLIEST_MS = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // _MILLISECOND
LATEST_MS = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MILLISECOND
_PROBE = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)


def reader(time_format: str, zone: str) -> ReadTime:
    """Reads `iso8601`, `epoch` (seconds, a fraction may follow), `epoch_ms` or a strptime format.

    A time without a zone of its own is local time of `zone`; one that autumn repeats is taken as the first.
    Raises ValueError for a format that strptime does not know, or that leaves the day open.
    """
    if time_format == "epoch":
        return lambda value: _milliseconds(value, 1000)
    if time_format == "epoch_ms":
        return lambda value: _milliseconds(value, 1)
    if time_format == "iso8601":
        return _text_reader(datetime.fromisoformat, zone)
    _check(time_format)
    return _text_reader(lambda text: datetime.strptime(text, time_format), zone)


def iso(milliseconds: int) -> str:
    """`2018-05-18T23:55:19.290Z`."""
    return (_EPOCH + milliseconds * _MILLISECOND).isoformat(timespec="milliseconds")[:-6] + "Z"


def _milliseconds(value: Any, factor: int) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        milliseconds = round(float(value) * factor)
    except (TypeError, ValueError, OverflowError):
        return None
    return milliseconds if EARLIEST_MS <= milliseconds <= LATEST_MS else None


def _text_reader(parse: Callable[[str], datetime], zone: str) -> ReadTime:
    local = ZoneInfo(zone)

    def read(value: Any) -> int | None:
        try:
            moment = parse(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=local)
            milliseconds = (moment - _EPOCH) // _MILLISECOND
        except (TypeError, ValueError, OverflowError):
            return None
        return milliseconds if EARLIEST_MS <= milliseconds <= LATEST_MS else None

    return read


def _check(time_format: str) -> None:
    known = 'one of "iso8601", "epoch", "epoch_ms", or a strptime format such as "%Y-%m-%d %H:%M:%S"'
    try:
        probe = datetime.strptime(_PROBE.strftime(time_format), time_format)
    except ValueError as error:
        raise ValueError(f'"{time_format}" is no time format: {error}; write {known}') from None
    if probe.date() != _PROBE.date():
        raise ValueError(f'"{time_format}" does not tell year, month and day; write {known}')
