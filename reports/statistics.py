"""Figures from groups: each function asks what it needs and shapes rows. `top`: keep that many of the largest; None: all."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from reports import queries
from reports.counter import counter
from reports.index import Ask, Bucket
from reports.queries import Period
from reports.table import Column, Table, largest, percent

Statistic = Callable[[Ask, Period, int | None], list[Table]]
Video = tuple[str, str]
"""Album and asset."""

TITLE_DAYS = (1, 8)
"""How far before the last event titles are looked for, before all events are."""


# EZCast


def browsers(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Browser and system of every login, with a login's share of all of them."""
    pairs = {(bucket["key"]["browser"], bucket["key"]["system"]): bucket["doc_count"] for bucket in ask(queries.browsers(period))}
    total = sum(pairs.values())

    def table(name: str, title: str, labels: tuple[str, ...], counts: Mapping[tuple[Any, ...], int]) -> Table:
        kept, left_out = largest({key: (count, percent(count, total)) for key, count in counts.items()}, top)
        return Table(
            name, title, (*(Column(label, "text") for label in labels), Column("logins"), Column("percent", "percent")), kept, left_out
        )

    return [
        table("browsers", "Browsers and systems of logins", ("browser", "system"), pairs),
        table("browser_totals", "Browsers", ("browser",), _summed(pairs, 0)),
        table("system_totals", "Systems", ("system",), _summed(pairs, 1)),
    ]


def help_views(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Help page views per day of the source's zone. All days, whatever `top`: they are a series, no ranking."""
    rows = [(bucket["key"]["day"], bucket["doc_count"]) for bucket in ask(queries.help_views(period))]
    return [Table("help", f"Help page views per day ({period.zone})", (Column("day", "text"), Column("views")), rows)]


def videos(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Most watched first, by seconds of video played. The title is the latest that the asset had."""
    ranked, left_out = largest(played(ask, period), top)
    titles = _titles(ask, period, {(album, asset) for album, asset, _ in ranked})
    rows = [(album, asset, titles.get((album, asset)), seconds) for album, asset, seconds in ranked]
    columns = (Column("album", "text"), Column("asset", "text"), Column("title", "text"), Column("play_time", "seconds"))
    return [Table("videos", "Most watched videos", columns, rows, left_out)]


def played(ask: Ask, period: Period) -> dict[Video, tuple[int]]:
    """Seconds played of each video."""
    sums: dict[Video, tuple[int]] = defaultdict(lambda: (0,))
    for bucket in ask(queries.play_time(period), nested=True):
        sums[_video(bucket)] = (sums[_video(bucket)][0] + int(bucket["seconds"]["value"]),)
    return sums


def _titles(ask: Ask, period: Period, wanted: Collection[Video]) -> dict[Video, str]:
    """The latest title of each video that has one. The newest events are asked first: a day of them names most of what is watched."""
    found: dict[Video, str] = {}
    (last,) = ask(queries.last_time(period), nested=True)
    for stretch in _newest_first(period, last.get("latest", {}).get("value")):
        missing = {video for video in wanted if video not in found}
        if missing:
            found = _latest(ask(queries.titles(stretch, {asset for _, asset in missing}))) | found
    return found


def _newest_first(period: Period, last: float | None) -> Iterator[Period]:
    """The period in stretches, each with more days than those after it; `last`: the time of its last event."""
    if last is None:
        return
    end = datetime.fromtimestamp(last / 1000, ZoneInfo(period.zone)).date() + timedelta(days=1)
    until = period.end
    for days in TITLE_DAYS:
        start = end - timedelta(days=days)
        if period.start is not None and start <= period.start:
            break
        yield period._replace(start=start, end=until)
        until = start
    yield period._replace(end=until)


def _latest(buckets: Iterable[Bucket]) -> dict[Video, str]:
    """Of the titles of each video the one that was last seen."""
    titles: dict[Video, tuple[float, str]] = {}
    for bucket in buckets:
        if bucket["key"]["title"]:
            titles[_video(bucket)] = max(titles.get(_video(bucket), (0.0, "")), (bucket["latest"]["value"], bucket["key"]["title"]))
    return {video: title for video, (_, title) in titles.items()}


def views(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Sessions that watched at least a minute of an asset within one daily file: what EZCast calls a view."""
    watched: dict[tuple[str, str], int] = defaultdict(int)
    for bucket in ask(queries.watching(period)):
        if bucket["seconds"]["value"] >= queries.VIEW_S:
            watched[bucket["key"]["album"] or "", bucket["key"]["asset"] or ""] += 1
    rows, left_out = largest({asset: (count,) for asset, count in watched.items()}, top)
    title = f"Views (sessions of at least {queries.VIEW_S} s in one file)"
    return [Table("views", title, (Column("album", "text"), Column("asset", "text"), Column("views")), rows, left_out)]


def watched(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Most viewed first, from the sums that the stream keeps: the same for any number of events.

    A view is a browser session that played at least a minute of the video on one local day; viewers are different logins.
    """
    family = queries.SUMMED_VIEWS
    ranked, left_out = largest(viewed(ask, period), top)
    assets = {asset for _, asset, *_ in ranked} if left_out else None
    viewers = {_video(bucket): bucket["viewers"]["value"] for bucket in ask(queries.viewers(period, assets), family, nested=True)}
    titles = _latest(ask(queries.watched_titles(period, assets), family))
    rows = [
        (album, asset, titles.get((album, asset)), views, viewers.get((album, asset), 0), seconds)
        for album, asset, views, seconds in ranked
    ]
    columns = (Column("album", "text"), Column("asset", "text"), Column("title", "text"))
    counted = (Column("views"), Column("viewers"), Column("play_time", "seconds"))
    return [Table("watched", "Most viewed videos", (*columns, *counted), rows, left_out)]


def viewed(ask: Ask, period: Period) -> dict[Video, tuple[int, int]]:
    """Views and seconds of each video, from the sums that the stream keeps."""
    sums: dict[Video, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for bucket in ask(queries.watched(period), queries.SUMMED_VIEWS):
        views, seconds = sums[_video(bucket)]
        sums[_video(bucket)] = (views + bucket["doc_count"] * bool(bucket["key"]["viewed"]), seconds + int(bucket["seconds"]["value"]))
    return sums


def _video(bucket: Bucket) -> Video:
    return bucket["key"]["album"] or "", bucket["key"]["asset"] or ""


def logins(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """One row: logins by kind, and how many different people and, where nobody logged in, addresses they came from."""
    by_action: dict[str, int] = dict.fromkeys(queries.LOGINS, 0)
    people = set()
    for bucket in ask(queries.logins(period)):
        by_action[bucket["key"]["action"]] += bucket["doc_count"]
        people.add(bucket["key"]["netid"])
    addresses = sum(bucket["key"]["ip"] is not None for bucket in ask(queries.anonymous_addresses(period)))
    total = sum(by_action.values())
    columns = (Column("logins"), *map(Column, queries.LOGINS), Column("logged_in_users"), Column("anonymous_addresses"))
    row = (total, *by_action.values(), len(people - {queries.NO_LOGIN, None}), addresses)
    return [Table("logins", "Logins", columns, [row] if total else [])]


# DataONE


def usage(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Views and downloads per data set and month, people only; the most used data sets first."""
    months: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for bucket in ask(queries.usage(period)):
        key = bucket["key"]
        months[key["pid"], key["month"]][_use(key["format"])] += bucket["doc_count"]
    uses: dict[tuple[str], int] = defaultdict(int)
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (pid, month), (viewed, downloaded) in months.items():
        uses[(pid,)] += viewed + downloaded
        totals[month] = [sum(pair) for pair in zip(totals[month], (viewed, downloaded, 1), strict=True)]
    ranked, left_out = largest({pid: (count,) for pid, count in uses.items()}, top)
    rank = {pid: place for place, (pid, _) in enumerate(ranked)}
    rows = sorted(
        ((pid, month, *counts) for (pid, month), counts in months.items() if pid in rank), key=lambda row: (rank[row[0]], row[1] or "")
    )
    counts = (Column("views"), Column("downloads"))
    return [
        Table("usage", "Use of data sets, without robots", (Column("data_set", "text"), Column("month", "text"), *counts), rows, left_out),
        Table(
            "usage_by_month",
            "Use by month",
            (Column("month", "text"), *counts, Column("data_sets")),
            sorted(((month, *sums) for month, sums in totals.items()), key=lambda row: row[0] or ""),
        ),
    ]


def sessions(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Sessions of people by the month they began in, with their mean length from first to last event."""
    zone = ZoneInfo(period.zone)
    start, end = period.bounds()
    months: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for bucket in ask(queries.sessions(period)):
        began, ended = bucket["start"]["value"], bucket["end"]["value"]
        if (start is not None and began < start) or (end is not None and began >= end):
            continue
        month = months[datetime.fromtimestamp(began / 1000, UTC).astimezone(zone).strftime("%Y-%m")]
        month[0] += 1
        month[1] += bucket["doc_count"]
        month[2] += (ended - began) / 1000
    columns = (Column("sessions"), Column("events"), Column("mean_length", "seconds"))
    totals = [sum(column) for column in zip(*months.values(), strict=True)]
    return [
        Table(
            "sessions",
            "Sessions by month of their start, without robots",
            (Column("month", "text"), *columns),
            [(month, *_mean(sums)) for month, sums in sorted(months.items())],
        ),
        Table("session_totals", "All sessions", columns, [_mean(totals)] if totals else []),
    ]


def _mean(sums: list[float]) -> tuple[int, int, float]:
    count, events, seconds = sums
    return int(count), int(events), round(seconds / count, 1)


def countries(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """Views and downloads by country (ISO 3166 code), people only; None: the address is in no country's range."""
    uses: dict[tuple[str | None], list[int]] = defaultdict(lambda: [0, 0])
    for bucket in ask(queries.countries(period)):
        uses[(bucket["key"]["country"],)][_use(bucket["key"]["format"])] += bucket["doc_count"]
    total = sum(map(sum, uses.values()))
    ranked, left_out = largest({country: (sum(counts), *counts, percent(sum(counts), total)) for country, counts in uses.items()}, top)
    columns = (Column("country", "text"), Column("reads"), Column("views"), Column("downloads"), Column("percent", "percent"))
    return [Table("countries", "Countries, without robots", columns, ranked, left_out)]


def _use(format_type: str) -> int:
    return (queries.VIEWS, queries.DOWNLOADS).index(format_type)


# Any source


def events(kind_field: str | None) -> Statistic:
    """Events per day and kind; the day None: events without a usable time."""

    def per_day(ask: Ask, period: Period, top: int | None) -> list[Table]:
        rows = [
            (bucket["key"]["day"], bucket["key"].get("kind"), bucket["doc_count"]) for bucket in ask(queries.events(period, kind_field))
        ]
        return [
            Table(
                "events",
                f"Events per day ({period.zone}) and kind",
                (Column("day", "text"), Column("kind", "text"), Column("events")),
                rows,
            )
        ]

    return per_day


def _summed(counts: Mapping[tuple[Any, ...], int], at: int) -> dict[tuple[Any, ...], int]:
    """Sums over all but one position of the keys."""
    sums: dict[tuple[Any, ...], int] = defaultdict(int)
    for key, count in counts.items():
        sums[(key[at],)] += count
    return sums


EZCAST: dict[str, Statistic] = {
    "browsers": browsers,
    "help": help_views,
    "videos": videos,
    "views": views,
    "watched": watched,
    "logins": logins,
}
DATAONE: dict[str, Statistic] = {"usage": usage, "sessions": sessions, "countries": countries, "counter": counter}
