"""Trace lines of our own, and what their parser makes of one."""

from schemas.event import Dead, Event, Parsed
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import SourceSettings
from schemas.sources import build

BRUSSELS = "Europe/Brussels"
SOURCE = build("ezcast", SourceSettings(format="ezcast", timezone=BRUSSELS))
PLACE = Place("f11e", "web1", "/traces/2016-04-05.trace")
TORN = Place("f11e", "web1", "/traces/2016-04-05.trace", torn=True)
HEAD = b"2016-04-05-20:13:23 | s1d | 192.0.2.7 | user1 | "
PLAY = b"4 | video_play | INFO-pub | 2016_04_05_10h00 | 3901 | 12.75 | cam | low | from_button"
HELP = HEAD + b"1 | view_help"


def parse(record: bytes, place: Place = PLACE, offset: int = 100) -> Parsed:
    return SOURCE.parse(record, place, offset, LocalClock(BRUSSELS))


def event(record: bytes, place: Place = PLACE) -> Event:
    (only,) = parse(record, place)
    assert isinstance(only, Event), only
    return only


def dead(record: bytes, place: Place = PLACE) -> Dead:
    (only,) = parse(record, place)
    assert isinstance(only, Dead), only
    return only
