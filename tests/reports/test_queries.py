"""Bodies of searches: exact, half-open, in the source's own zone."""

import json
from datetime import UTC, date, datetime

import pytest

from reports import queries
from reports.queries import Period

ALWAYS = Period(None, None, "UTC")
BODIES = [
    *(queries.browsers, queries.help_views, queries.play_time, queries.watching, queries.logins, queries.anonymous_addresses),
    *(queries.usage, queries.countries, queries.sessions),
    lambda period: queries.events(period, "action"),
]


@pytest.mark.parametrize("body_of", BODIES)
def test_counts_are_exact_and_bounds_half_open(body_of: "queries.Body") -> None:
    body = body_of(Period(date(2016, 4, 1), date(2016, 5, 1), "Europe/Brussels"))
    text = json.dumps(body)
    assert "composite" in body["aggs"][queries.GROUPS]
    assert "cardinality" not in text
    assert '"lte"' not in text
    assert '"gt"' not in text
    assert text.count('"epoch_millis"') == 1


@pytest.mark.parametrize("body_of", BODIES)
def test_an_open_period_asks_for_no_time(body_of: "queries.Body") -> None:
    assert "epoch_millis" not in json.dumps(body_of(ALWAYS))


def test_nested_groups_are_asked_for_one_more_than_the_server_gives() -> None:
    body = queries.nested(queries.play_time(ALWAYS))
    albums = body["aggs"]["album"]
    terms = [albums["terms"], albums["aggs"]["asset"]["terms"]]
    assert terms == [{"field": field, "missing": "", "size": 65_537} for field in ("album", "asset")]
    assert albums["aggs"]["asset"]["aggs"] == {"seconds": {"sum": {"field": "play_time"}}}


def test_groups_of_no_field_or_of_too_many_values_are_not_filtered_by_them() -> None:
    def filters(*assets: str) -> str:
        return json.dumps(queries.titles(ALWAYS, assets)["query"])

    assert '"asset": ["1", "2"]' in filters("2", "1")
    assert '"asset"' not in filters("1", "")
    assert '"asset"' not in filters(*map(str, range(queries.MOST + 1)))
    assert '"asset"' not in json.dumps(queries.viewers(ALWAYS, None)["query"])


def test_a_day_begins_at_midnight_of_its_zone_whatever_the_clocks_do() -> None:
    start, end = Period(date(2016, 10, 30), date(2016, 10, 31), "Europe/Brussels").bounds()
    assert (start, end) == (_ms(2016, 10, 29, 22), _ms(2016, 10, 30, 23))
    assert end - start == 25 * 3_600_000, "the day on which clocks go back"


def test_padding_widens_by_days_not_by_hours() -> None:
    start, end = Period(date(2016, 10, 31), date(2016, 11, 1), "Europe/Brussels").bounds(pad_days=1)
    assert (start, end) == (_ms(2016, 10, 29, 22), _ms(2016, 11, 1, 23))


def test_an_open_end_stays_open() -> None:
    assert Period(date(2016, 1, 1), None, "UTC").within("@timestamp") == [
        {"range": {"@timestamp": {"gte": _ms(2016, 1, 1), "format": "epoch_millis"}}}
    ]


def test_the_next_page_asks_after_the_last_group_and_leaves_the_first_question_alone() -> None:
    body = queries.logins(ALWAYS)
    page = queries.after(body, {"action": "login", "netid": "a"})
    assert page["aggs"][queries.GROUPS]["composite"].pop("after") == {"action": "login", "netid": "a"}
    assert page == body == queries.logins(ALWAYS)


def _ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]
