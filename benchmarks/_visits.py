"""A campus of EZCast visits as large as asked: some 40 events each, 100,000 a day, few lectures with most of the audience.

The demo's campus shows every action and every oddity; this one has the numbers that decide how long a question takes:
4,000 people, 2,000 recordings in 120 albums.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from typing import NamedTuple

from schemas.event import Event
from schemas.ezcast.catalogue import built_in
from schemas.localtime import LocalClock
from schemas.place import Place
from tailrace.settings import Settings
from tailrace.sources import load_source

SOURCE = "ezcast"
ZONE = "Europe/Brussels"

EVENTS_A_DAY = 100_000
FIRST_DAY = datetime(2016, 2, 1)
OPENING_H, OPEN_H = 7, 16
PEOPLE = 4_000
ALBUMS, RECORDINGS = 120, 2_000
BROWSERS = [("Chrome", "Windows"), ("Firefox", "Windows"), ("Chrome", "Mac"), ("Safari", "Mac"), ("Firefox", "Linux"), ("Safari", "iOS")]
PIECE_S = 30
"""The player reports what was watched in pieces of this length."""


class Visit(NamedTuple):
    day: str
    """Name of the daily file."""
    browser: str
    system: str
    lines: list[str]


def visits(events: int, seed: int = 1) -> Iterator[Visit]:
    """Whole visits, day after day, until there are so many events; the last one is cut."""
    random = Random(seed)
    shares = list(accumulate(1 / rank for rank in range(1, RECORDINGS + 1)))
    recordings = [(f"COURSE-{number % ALBUMS:03}-pub", f"2016_{number:04}", f"Leçon {number}") for number in range(RECORDINGS)]
    made = 0
    while made < events:
        day = FIRST_DAY + timedelta(days=made // EVENTS_A_DAY)
        start = day + timedelta(hours=OPENING_H + random.random() * OPEN_H / 2)
        browser, system = random.choice(BROWSERS)
        recording = random.choices(recordings, cum_weights=shares)[0]
        lines = _lines(random, start, recording, {"browser_name": browser, "user_os": system, "user_agent": f"{browser} on {system}"})
        lines = lines[: events - made]
        made += len(lines)
        yield Visit(f"{day:%Y-%m-%d}.trace", browser, system, lines)


def _lines(random: Random, start: datetime, recording: tuple[str, str, str], values: dict[str, str]) -> list[str]:
    album, asset, title = recording
    values |= {"album": album, "asset": asset, "asset_name": title, "type": "cam", "video_duration": "3600", "quality": "high"}
    number = random.randrange(PEOPLE)
    head = f"{random.getrandbits(128):032x}"[:26], f"164.15.{number // 250}.{number % 250}"
    netid = "nologin" if number % 7 == 0 else f"student{number}"
    lines: list[str] = []

    def trace(action: str, level: int) -> None:
        fields = [values.get(name, "1") for name in forms[action][0].fields]
        lines.append(" | ".join((f"{start:%Y-%m-%d-%H:%M:%S}", *head, netid, str(level), action, *fields)))

    forms = built_in().forms
    trace("login_as_anonymous" if netid == "nologin" else "login", 1)
    trace("view_albums", 1)
    if random.random() < 0.05:
        trace("view_help", 1)
    trace("view_album_assets", 2)
    trace("view_asset_details", 3)
    trace("video_play", 4)
    for piece in range(random.randint(1, 60)):
        start += timedelta(seconds=PIECE_S)
        values |= {"start": str(piece * PIECE_S), "play_time": str(PIECE_S), "video_time": str(piece * PIECE_S)}
        trace("video_play_time", 4)
        if random.random() < 0.1:
            trace(random.choice(("video_seeked", "video_pause", "video_volume_up")), 4)
    return lines


def documents(settings: Settings, amount: int) -> Iterator[tuple[Event, int]]:
    """Parsed events as the pipeline makes them, each with its session."""
    parse = load_source(settings, SOURCE).parse
    clocks: dict[str, LocalClock] = {}
    offset = 0
    for session, visit in enumerate(visits(amount), start=1):
        place = Place(file=visit.day, host="ezcast-1", path=f"/var/lib/ezcast/traces/{visit.day}")
        clock = clocks.setdefault(visit.day, LocalClock(ZONE))
        for line in visit.lines:
            (event,) = parse(line.encode(), place, offset, clock)
            assert isinstance(event, Event), event
            event.document["session_browser"], event.document["session_os"] = visit.browser, visit.system
            offset += len(line) + 1
            yield event, session
