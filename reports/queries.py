"""Bodies of searches, as pure functions of what is asked.

Every count is exact: groups are composite aggregations, which are paged to their end, or all of `nested` terms, and never
`cardinality` or a cut `terms`. Every period is `gte` + `lt` in epoch milliseconds: Elasticsearch would complete `lte` and `gt` to .999.
"""

from collections.abc import Collection, Mapping
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


MOST = 65_536
"""Groups that the server finds for one search, unless it is told otherwise (search.max_buckets)."""


def nested(body: Body) -> Body:
    """The same question as terms within terms, of groups `by_value` only: several processors share the work, and what all events
    of a group have in common is looked at once. 0.8 million events in 1,900 groups of two fields with a sum take half the time.

    Where there are more than `MOST` groups it fails or gives more than that. Events without a field are in the group "" of it.
    """
    groups = body["aggs"][GROUPS]
    within = groups.get("aggs")
    for source in reversed(groups["composite"]["sources"]):
        ((name, by),) = source.items()
        terms = {"terms": {"field": by["terms"]["field"], "missing": "", "size": MOST + 1}}
        within = {name: {**terms, "aggs": within} if within else terms}
    return {**body, "aggs": within}


def names(body: Body) -> list[str]:
    """What groups are grouped by, in order."""
    return [name for source in body["aggs"][GROUPS]["composite"]["sources"] for name in source]


# EZCast


def _actions(period: Period, *names: str) -> list[Body]:
    return [{"terms": {"action": list(names)}}, *period.within("@timestamp")]


def browsers(period: Period) -> Body:
    return grouped(_actions(period, *LOGINS), {"browser": by_value("browser_name"), "system": by_value("user_os")})


def help_views(period: Period) -> Body:
    return grouped(_actions(period, "view_help"), {"day": by_day("@timestamp", period.zone)})


def play_time(period: Period) -> Body:
    by = {"album": by_value("album"), "asset": by_value("asset")}
    return grouped(_actions(period, "video_play_time"), by, {"seconds": {"sum": {"field": "play_time"}}})


def last_time(period: Period) -> Body:
    """No groups: the time of the last event, which the server knows without a search where the period is open."""
    return grouped(period.within("@timestamp"), {}, {"latest": {"max": {"field": "@timestamp"}}})


def titles(period: Period, assets: Collection[str]) -> Body:
    """When each title of a video was last seen: a title can change, and early events have none."""
    by = {"album": by_value("album"), "asset": by_value("asset"), "title": by_value("asset_name")}
    filters = [*_actions(period, "video_play_time"), {"exists": {"field": "asset_name"}}, *_among("asset", assets)]
    return grouped(filters, by, {"latest": {"max": {"field": "@timestamp"}}})


def _among(field: str, values: Collection[str] | None) -> list[Body]:
    """Filter clauses; none for None, and where they would be too many for the server or have to find events without the field."""
    return [] if values is None or len(values) > MOST or "" in values else [{"terms": {field: sorted(values)}}]


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


def watched_titles(period: Period, assets: Collection[str] | None) -> Body:
    """Apart from the sums: a view whose video was renamed has two titles, and would be in both sums."""
    by = {"album": by_value("album"), "asset": by_value("asset"), "title": by_value("asset_name")}
    return grouped([*_days(period), *_among("asset", assets)], by, {"latest": {"max": {"field": "day"}}})


_EACH_ONCE = {
    "init_script": "state.found = new HashSet()",
    "map_script": "for (value in doc['netid']) state.found.add(value)",
    "combine_script": "return state.found",
    "reduce_script": "def all = new HashSet(); for (found in states) all.addAll(found); all.remove(params.nobody); return all.size()",
    "params": {"nobody": NO_LOGIN},
}


def viewers(period: Period, assets: Collection[str] | None) -> Body:
    """People per video that was viewed, counted by the server: a group for each of them would take longer to carry than to find."""
    by = {"album": by_value("album"), "asset": by_value("asset")}
    filters = [{"term": {"viewed": True}}, *_days(period), *_among("asset", assets)]
    return grouped(filters, by, {"viewers": {"scripted_metric": _EACH_ONCE}})


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
