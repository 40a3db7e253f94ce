"""Bodies of searches, as pure functions of what is asked.

Every count is exact: groups are composite aggregations, which are paged to their end, and never `cardinality` or a cut
`terms`. Every period is `gte` + `lt` in epoch milliseconds: Elasticsearch would complete `lte` and `gt` to .999.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

Body = dict[str, Any]

GROUPS = "groups"
PAGE = 30_000
"""Groups per page of a composite aggregation: each page searches anew, and the server's limit is 65,536 (search.max_buckets)."""

LOGINS = ("login", "login_as_anonymous")
"""EZCast counts these as logins; login_from_anonymous is in none of its figures."""
NO_LOGIN = "nologin"
"""The netid of a visitor who has not logged in."""
VIEW_S = 60
"""Seconds of one asset that make a session a view of it."""

NOT_PEOPLE = ("ignore_ip", "machine_ua", "robot_ua", "dataone_ip", "robot_ip", "d1_admin_subject")
"""Tags of robots, programs and DataONE's own hosts and staff, which DataONE's figures leave out."""
VIEWS, DOWNLOADS = "METADATA", "DATA"
"""Format types: reading metadata is a view, reading data a download; a read of neither is none of both."""


class Period(NamedTuple):
    """Days from `start` until before `end` in a zone; None: open."""

    start: date | None
    end: date | None
    zone: str

    def bounds(self, pad_days: int = 0) -> tuple[int | None, int | None]:
        """Milliseconds since 1970 of the first moment inside and the first one after, widened by `pad_days` on both sides."""
        pad = timedelta(days=pad_days)
        return self._midnight(self.start and self.start - pad), self._midnight(self.end and self.end + pad)

    def within(self, field: str, pad_days: int = 0) -> list[Body]:
        """Filter clauses; none where both ends are open."""
        start, end = self.bounds(pad_days)
        limits = {name: value for name, value in (("gte", start), ("lt", end)) if value is not None}
        return [{"range": {field: {**limits, "format": "epoch_millis"}}}] if limits else []

    def _midnight(self, day: date | None) -> int | None:
        return None if day is None else int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)).timestamp() * 1000)


def by_value(field: str) -> Body:
    """Group by a field's value; events without it are a group of their own, None."""
    return {"terms": {"field": field, "missing_bucket": True}}


def by_day(field: str, zone: str) -> Body:
    """Group by calendar day of a zone, as `2016-10-30`; events without a time are the group None."""
    return _by_date(field, zone, "day", "yyyy-MM-dd")


def by_month(field: str, zone: str) -> Body:
    return _by_date(field, zone, "month", "yyyy-MM")


def _by_date(field: str, zone: str, interval: str, written: str) -> Body:
    return {"date_histogram": {"field": field, "calendar_interval": interval, "time_zone": zone, "format": written, "missing_bucket": True}}


def grouped(filters: list[Body], by: Mapping[str, Body], metrics: Body | None = None, without: list[Body] | None = None) -> Body:
    """Exact groups of the events that pass all `filters` and no `without`; ask for pages with `after`."""
    groups: Body = {"composite": {"size": PAGE, "sources": [{name: source} for name, source in by.items()]}}
    if metrics:
        groups["aggs"] = metrics
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": filters, "must_not": without or []}},
        "aggs": {GROUPS: groups},
    }


def after(body: Body, key: Body) -> Body:
    """The same question from the group after `key` on."""
    groups = body["aggs"][GROUPS]
    return {**body, "aggs": {GROUPS: {**groups, "composite": {**groups["composite"], "after": key}}}}


# EZCast


def _actions(period: Period, *names: str) -> list[Body]:
    return [{"terms": {"action": list(names)}}, *period.within("@timestamp")]


def browsers(period: Period) -> Body:
    return grouped(_actions(period, *LOGINS), {"browser": by_value("browser_name"), "system": by_value("user_os")})


def help_views(period: Period) -> Body:
    return grouped(_actions(period, "view_help"), {"day": by_day("@timestamp", period.zone)})


def play_time(period: Period) -> Body:
    """Seconds played per asset and title: an asset's title can change, and early events have none."""
    return grouped(
        _actions(period, "video_play_time"),
        {"album": by_value("album"), "asset": by_value("asset"), "title": by_value("asset_name")},
        {"seconds": {"sum": {"field": "play_time"}}, "latest": {"max": {"field": "@timestamp"}}},
    )


def watching(period: Period) -> Body:
    """Seconds played per asset, file and session: EZCast cuts sessions at midnight, with its daily files."""
    return grouped(
        _actions(period, "video_play_time"),
        {"album": by_value("album"), "asset": by_value("asset"), "file": by_value("file"), "session": by_value("session")},
        {"seconds": {"sum": {"field": "play_time"}}},
    )


SUMMED_VIEWS = "views"
"""The family of documents that the stream sums views up in: one a browser session, video and day."""


def _days(period: Period) -> list[Body]:
    """Views have a local day and no time."""
    limits = {name: day.isoformat() for name, day in (("gte", period.start), ("lt", period.end)) if day is not None}
    return [{"range": {"day": {**limits, "format": "strict_date"}}}] if limits else []


def watched(period: Period) -> Body:
    """Sums of views per video, of those that reached a minute and of those that did not."""
    by = {"album": by_value("album"), "asset": by_value("asset"), "viewed": by_value("viewed")}
    return grouped(_days(period), by, {"seconds": {"sum": {"field": "play_time"}}})


def watched_titles(period: Period) -> Body:
    """Apart from the sums: a view whose video was renamed has two titles, and would be in both sums."""
    by = {"album": by_value("album"), "asset": by_value("asset"), "title": by_value("asset_name")}
    return grouped(_days(period), by, {"latest": {"max": {"field": "day"}}})


def viewers(period: Period) -> Body:
    """People per video that was viewed."""
    by = {"album": by_value("album"), "asset": by_value("asset"), "netid": by_value("netid")}
    return grouped([{"term": {"viewed": True}}, *_days(period)], by)


def logins(period: Period) -> Body:
    return grouped(_actions(period, *LOGINS), {"action": by_value("action"), "netid": by_value("netid")})


def anonymous_addresses(period: Period) -> Body:
    return grouped([*_actions(period, *LOGINS), {"term": {"netid": NO_LOGIN}}], {"ip": by_value("ip")})


# DataONE


def _people() -> list[Body]:
    return [{"terms": {"tags": list(NOT_PEOPLE)}}]


def reads(period: Period) -> list[Body]:
    """Filter clauses: views and downloads of the period."""
    return [{"term": {"event.key": "read"}}, {"terms": {"formatType": [VIEWS, DOWNLOADS]}}, *period.within("dateLogged")]


def usage(period: Period) -> Body:
    by = {"pid": by_value("pid.key"), "month": by_month("dateLogged", period.zone), "format": by_value("formatType")}
    return grouped(reads(period), by, without=_people())


def countries(period: Period) -> Body:
    by = {"country": by_value("geoip.country_code2.keyword"), "format": by_value("formatType")}
    return grouped(reads(period), by, without=_people())


SESSION_PAD_DAYS = 1
"""Sessions of a period are looked up this much around it, so that those across its ends are seen whole."""


def sessions(period: Period) -> Body:
    """Each session's events, start and end; -1 is no session."""
    return grouped(
        [{"range": {"sessionId": {"gte": 1}}}, *period.within("dateLogged", SESSION_PAD_DAYS)],
        {"session": {"terms": {"field": "sessionId"}}},
        {"start": {"min": {"field": "dateLogged"}}, "end": {"max": {"field": "dateLogged"}}},
        without=_people(),
    )


# Any source


def events(period: Period, kind_field: str | None) -> Body:
    by = {"day": by_day("@timestamp", period.zone)}
    if kind_field:
        by["kind"] = by_value(kind_field)
    return grouped(period.within("@timestamp"), by)
