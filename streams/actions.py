"""A source whose catalogue of actions follows the operator's file, without a restart."""

import time
from dataclasses import replace

from schemas.event import Parsed
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import ReadUsual, Source
from tailrace.sources import watch_actions
from tailrace.watched import LOOK_EVERY_S, Watched


def following(source: Source) -> Source:
    """The source, reading by its file of actions as it is now. Raises ConfigError for a file that cannot be used."""
    watched = watch_actions(source)
    if watched is None:
        return source
    followed = _Followed(watched)
    return replace(source, parse=followed.parse, usual=followed.usual)


class _Followed:
    """The two ways of a source to read records; looking at the clock adds 0.1 us to `parse`."""

    def __init__(self, watched: Watched[Source]) -> None:
        self._watched = watched
        self._look_again = time.monotonic() + LOOK_EVERY_S

    def parse(self, value: bytes, place: Place, offset: int, clock: LocalClock | None) -> Parsed:
        return self._now().parse(value, place, offset, clock)

    def usual(self, place: Place, clock: LocalClock | None) -> ReadUsual | None:
        """Of one batch: a later one is read by the file as it is then."""
        reader = self._now().usual
        return None if reader is None else reader(place, clock)

    def _now(self) -> Source:
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + LOOK_EVERY_S
            self._watched.refresh()
        return self._watched.content()
