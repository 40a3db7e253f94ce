"""Months that a source need not keep go, and nothing else does."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from elasticsearch import Elasticsearch
from hypothesis import given
from hypothesis import strategies as st

from sinks import templates
from sinks.retention import Month, expired
from tailrace import search
from tailrace.errors import TailraceError
from tailrace.settings import Settings
from tests.sinks.test_bulk import SOURCE

DAY_S = 86_400.0
NOVEMBER = datetime(2026, 11, 22, 12, tzinfo=UTC)


def month(over: datetime, *keep_days: float | None) -> Month:
    sources = tuple(replace(SOURCE, retention_s=None if days is None else days * DAY_S) for days in keep_days)
    return Month("own-…", sources, over, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("over", "keep_days", "gone"),
    [
        (datetime(2026, 10, 1, tzinfo=UTC), [60], False),
        (datetime(2026, 10, 1, tzinfo=UTC), [50], True),
        (datetime(2026, 12, 1, tzinfo=UTC), [0], False),
        (datetime(2010, 2, 1, tzinfo=UTC), [None], False),
        (datetime(2010, 2, 1, tzinfo=UTC), [50, None], False),
        (datetime(2026, 10, 1, tzinfo=UTC), [50, 60], False),
        (datetime(2026, 9, 1, tzinfo=UTC), [50, 60], True),
    ],
)
def test_a_month_goes_when_its_last_moment_is_too_far_back_for_all(over: datetime, keep_days: list[float | None], gone: bool) -> None:
    assert expired([month(over, *keep_days)], NOVEMBER) == ([month(over, *keep_days)] if gone else [])


@given(st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)), st.floats(0, 5_000))
def test_no_event_goes_before_its_time(time: datetime, keep_days: float) -> None:
    over = datetime(time.year + time.month // 12, time.month % 12 + 1, 1, tzinfo=UTC)
    age = NOVEMBER - time.replace(tzinfo=UTC)
    if expired([month(over, keep_days)], NOVEMBER):
        assert age.total_seconds() > keep_days * DAY_S


CONFIG = """
[sources.shop]
format = "json"
retention = "400d"

[sources.shop-web]
format = "json"
"""


class Shop:
    """Indices of two sources, of which one keeps 400 days, and a stranger's."""

    def __init__(self, settings: Settings, client: Elasticsearch, folder: Path) -> None:
        self.client = client
        self.prefix = settings.elasticsearch.index_prefix
        self._settings = settings
        self._config = folder / "tailrace.toml"
        self._config.write_text(CONFIG)
        for name in EXPIRED | KEPT:
            hidden = {"index.hidden": True} if "sessions" in name else {}
            self.client.indices.create(index=f"{self.prefix}{name}", settings={"number_of_replicas": 0, **hidden})
        self.client.indices.close(index=f"{self.prefix}shop-2017.01")
        for number in range(3):
            self.client.index(index=f"{self.prefix}shop-2016.10", id=str(number), document={"n": number}, refresh=True)

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        own = ["TAILRACE_ELASTICSEARCH_URL=" + self._settings.elasticsearch.url, f"TAILRACE_ELASTICSEARCH_INDEX_PREFIX={self.prefix}"]
        command = ["env", *own, sys.executable, "-m", "tailrace.cli", "--config", str(self._config), "retention", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)

    def indices(self) -> set[str]:
        return {name.removeprefix(self.prefix) for name in self.client.indices.get(index=f"{self.prefix}*", expand_wildcards="all")}


EXPIRED = {"shop-2016.10", "shop-2017.01", "shop-sessions-2016.10", "generation-v2-shop-2016.10"}
KEPT = {"shop-2100.01", "shop-undated", "shop-web-2016.10", "shop-archive", "shop-2016", "workshop-2016.10", "shop-views-2100.01"}


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Shop:
    return Shop(settings, search.connect(settings.elasticsearch, 10), tmp_path)


@pytest.mark.servers
def test_what_has_expired_goes_after_a_yes_and_nothing_else(shop: Shop) -> None:
    looked = shop.run("--dry-run")
    assert looked.returncode == 0, looked.stderr
    for name in EXPIRED:
        assert f"expired: {shop.prefix}{name}," in looked.stdout
    assert "3 documents" in looked.stdout
    assert "4 of 7 indices expired" in looked.stdout
    assert shop.indices() == EXPIRED | KEPT
    unasked = shop.run()
    assert (unasked.returncode, shop.indices()) == (2, EXPIRED | KEPT)
    assert "give --yes" in unasked.stderr
    done = shop.run("--yes")
    assert done.returncode == 0, done.stderr
    assert shop.indices() == KEPT
    assert "nothing has expired; there are 3 indices" in shop.run("--yes").stdout


@pytest.mark.servers
def test_months_that_are_over_are_merged(shop: Shop) -> None:
    name = f"{shop.prefix}shop-web-2016.10"
    for number in range(5):
        shop.client.index(index=name, id=str(number), document={"n": number}, refresh=True)
    before = shop.client.indices.stats(index=name)["indices"][name]["primaries"]["segments"]["count"]
    assert before > 1
    merged = shop.run("--source", "shop-web", "--force-merge")
    assert merged.returncode == 0, merged.stderr
    assert f"merging 1 of 1, {name}, 5 documents" in merged.stdout
    assert shop.client.indices.stats(index=name)["indices"][name]["primaries"]["segments"]["count"] == 1
    assert "0 indices of months that are over can be merged" in shop.run("--source", "shop-web", "--force-merge", "--dry-run").stdout


@pytest.mark.servers
def test_a_policy_of_a_lifecycle_that_the_server_does_not_know_is_told(settings: Settings) -> None:
    own = msgspec.structs.replace(settings.elasticsearch, ilm_policy="thirty-days")
    with search.connect(own, 10) as client:
        if "index.lifecycle.name" in str(client.cluster.get_settings(include_defaults=True, flat_settings=True)):
            pytest.skip("this server has index lifecycle management")
        with pytest.raises(TailraceError, match=r"elasticsearch.ilm_policy"):
            templates.install(client, own, [SOURCE])
