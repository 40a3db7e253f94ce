"""Shaping rows from groups, without a server."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from reports import queries, statistics
from reports.index import Bucket
from reports.queries import Period
from reports.table import percent

ALWAYS = Period(None, None, "UTC")


class Canned:
    """Answers each question with the next of the given lists of groups."""

    def __init__(self, *answers: list[Bucket]) -> None:
        self.answers = list(answers)
        self.asked: list[queries.Body] = []

    def __call__(self, body: queries.Body, family: str | None = None, *, nested: bool = False) -> Iterator[Bucket]:
        self.asked.append(body)
        yield from self.answers.pop(0)


def group(count: int, metrics: dict[str, float] | None = None, **key: Any) -> Bucket:
    return {"key": key, "doc_count": count, **{name: {"value": value} for name, value in (metrics or {}).items()}}


def test_browsers_are_ranked_and_summed() -> None:
    ask = Canned(
        [group(1, browser="Chrome", system="Linux"), group(2, browser="Firefox", system="Linux"), group(1, browser=None, system=None)]
    )
    pairs, by_browser, by_system = statistics.browsers(ask, ALWAYS, None)
    assert pairs.rows == [("Firefox", "Linux", 2, 50.0), (None, None, 1, 25.0), ("Chrome", "Linux", 1, 25.0)]
    assert by_browser.rows == [("Firefox", 2, 50.0), (None, 1, 25.0), ("Chrome", 1, 25.0)]
    assert by_system.rows == [("Linux", 3, 75.0), (None, 1, 25.0)]


def test_top_keeps_the_largest_and_says_how_many_it_left_out() -> None:
    ask = Canned([group(n, browser=f"b{n}", system="s") for n in range(1, 6)])
    pairs, by_browser, by_system = statistics.browsers(ask, ALWAYS, 2)
    assert (pairs.rows, pairs.left_out) == ([("b5", "s", 5, 33.33), ("b4", "s", 4, 26.67)], 3)
    assert (len(by_browser.rows), by_browser.left_out, by_system.left_out) == (2, 3, 0)


def test_a_video_is_an_album_and_an_asset_whose_title_is_the_latest() -> None:
    def played(seconds: float, album: str, asset: str) -> Bucket:
        return group(1, {"seconds": seconds}, album=album, asset=asset)

    def titled(title: str, latest: float, album: str, asset: str) -> Bucket:
        return group(1, {"latest": latest}, album=album, asset=asset, title=title)

    last = datetime(2016, 10, 20, 12, tzinfo=UTC).timestamp() * 1000
    ask = Canned(
        [played(35, "A", "1"), played(34, "B", "1"), played(7, "", ""), played(3, "A", "2")],
        [group(1, {"latest": last})],
        [titled("old", 5, "A", "1"), titled("new", 9, "A", "1")],
        [titled("renamed since", 4, "A", "1"), titled("other", 4, "B", "1")],
        [titled("second", 1, "A", "2")],
    )
    (videos,) = statistics.videos(ask, ALWAYS, None)
    assert videos.rows == [("A", "1", "new", 35), ("B", "1", "other", 34), ("", "", None, 7), ("A", "2", "second", 3)]
    assert [_range(body) for body in ask.asked[2:]] == [
        {"gte": _ms(2016, 10, 20)},
        {"gte": _ms(2016, 10, 13), "lt": _ms(2016, 10, 20)},
        {"lt": _ms(2016, 10, 13)},
    ]


def test_titles_are_looked_for_within_the_period_and_only_as_long_as_one_is_missing() -> None:
    last = datetime(2016, 10, 20, 12, tzinfo=UTC).timestamp() * 1000
    played = [group(1, {"seconds": 35}, album="A", asset="1")]
    ask = Canned(played, [group(1, {"latest": last})], [group(1, {"latest": 5}, album="A", asset="1", title="new")])
    (videos,) = statistics.videos(ask, Period(date(2016, 10, 1), date(2016, 10, 21), "UTC"), None)
    assert videos.rows == [("A", "1", "new", 35)]
    assert _range(ask.asked[2]) == {"gte": _ms(2016, 10, 20), "lt": _ms(2016, 10, 21)}
    ask = Canned(played, [group(1, {"latest": last})], [])
    statistics.videos(ask, Period(date(2016, 10, 20), None, "UTC"), None)
    assert _range(ask.asked[2]) == {"gte": _ms(2016, 10, 20)}


def _range(body: queries.Body) -> dict[str, int]:
    (limits,) = (clause["range"]["@timestamp"] for clause in body["query"]["bool"]["filter"] if "range" in clause)
    return {name: value for name, value in limits.items() if name != "format"}


def _ms(*day: int) -> int:
    return int(datetime(*day, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def test_a_view_takes_a_minute_of_one_session_in_one_file() -> None:
    def watched(seconds: float, session: str, file: str) -> Bucket:
        return group(1, {"seconds": seconds}, album="A", asset="1", session=session, file=file)

    ask = Canned([watched(60, "s1", "monday"), watched(59, "s2", "monday"), watched(75, "s1", "tuesday")])
    (views,) = statistics.views(ask, ALWAYS, None)
    assert views.rows == [("A", "1", 2)]


def test_people_and_addresses_are_counted_once() -> None:
    ask = Canned(
        [
            group(3, action="login", netid="ada"),
            group(1, action="login", netid="nologin"),
            group(1, action="login", netid=None),
            group(2, action="login_as_anonymous", netid="nologin"),
            group(1, action="login_as_anonymous", netid="ada"),
        ],
        [group(2, ip="10.0.0.1"), group(1, ip=None)],
    )
    (logins,) = statistics.logins(ask, ALWAYS, None)
    assert [column.name for column in logins.columns] == ["logins", "login", "login_as_anonymous", "logged_in_users", "anonymous_addresses"]
    assert logins.rows == [(8, 5, 3, 1, 1)]
    assert statistics.logins(Canned([], []), ALWAYS, None)[0].rows == []


def test_usage_ranks_data_sets_and_keeps_their_months_together() -> None:
    ask = Canned(
        [
            group(1, pid="a", month="2018-05", format="DATA"),
            group(2, pid="a", month="2018-06", format="METADATA"),
            group(4, pid="b", month="2018-05", format="METADATA"),
            group(1, pid="b", month="2018-05", format="DATA"),
            group(1, pid="c", month=None, format="DATA"),
        ]
    )
    usage, by_month = statistics.usage(ask, ALWAYS, 2)
    assert usage.rows == [("b", "2018-05", 4, 1), ("a", "2018-05", 0, 1), ("a", "2018-06", 2, 0)]
    assert usage.left_out == 1
    assert by_month.rows == [(None, 0, 1, 1), ("2018-05", 4, 2, 2), ("2018-06", 2, 0, 1)]


def test_sessions_belong_to_the_month_they_begin_in_and_to_the_period_they_begin_in() -> None:
    def session(count: int, start: datetime, end: datetime) -> Bucket:
        return group(count, {"start": start.timestamp() * 1000, "end": end.timestamp() * 1000}, session=1)

    def at(month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
        return datetime(2018, month, day, hour, minute, tzinfo=UTC)

    groups = [
        session(2, at(4, 30, 23, 50), at(5, 1, 0, 10)),  # begins before the period
        session(3, at(5, 2), at(5, 2, 0, 10)),
        session(1, at(5, 3), at(5, 3)),
        session(5, at(5, 31, 23, 50), at(6, 1, 0, 10)),  # ends after it
        session(1, at(6, 1), at(6, 1)),  # begins after it
    ]
    months, totals = statistics.sessions(Canned(groups), Period(date(2018, 5, 1), date(2018, 6, 1), "UTC"), None)
    assert months.rows == [("2018-05", 3, 9, 600.0)]
    assert totals.rows == [(3, 9, 600.0)]
    months, totals = statistics.sessions(Canned(groups), ALWAYS, None)
    assert [row[:3] for row in months.rows] == [("2018-04", 1, 2), ("2018-05", 3, 9), ("2018-06", 1, 1)]
    assert totals.rows == [(5, 12, 600.0)]


def test_no_sessions_have_no_mean() -> None:
    assert [table.rows for table in statistics.sessions(Canned([]), ALWAYS, None)] == [[], []]


def test_countries_share_the_reads() -> None:
    ask = Canned([group(3, country="BE", format="DATA"), group(1, country="BE", format="METADATA"), group(4, country=None, format="DATA")])
    (countries,) = statistics.countries(ask, ALWAYS, None)
    assert countries.rows == [(None, 4, 0, 4, 50.0), ("BE", 4, 1, 3, 50.0)]


def test_a_share_of_nothing_is_nothing() -> None:
    assert percent(0, 0) == 0.0
