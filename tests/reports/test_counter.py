"""COUNTER's counts: double clicks, unique sessions, machines, and what is left out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.counter import DOUBLE_CLICK_MS, METRICS, without_double_clicks
from schemas.event import Event
from schemas.source import SourceSettings
from schemas.sources import build
from streams.enrich import Enricher
from tests.reports.stage import Stage

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:45.0) Gecko/20100101 Firefox/45.0"


def bucket(at: int, format: str = "DATA") -> dict[str, Any]:
    return {"key": {"at": at, "format": format}, "doc_count": 1}


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([], []),
        ([0], [0]),
        ([0, 30_000], [30_000]),
        ([0, 30_001], [0, 30_001]),
        ([0, 20_000, 40_000, 60_000], [60_000]),
        ([0, 20_000, 60_000], [20_000, 60_000]),
    ],
)
def test_the_last_of_a_chain_counts(times: list[int], kept: list[int]) -> None:
    assert [at for at, _ in without_double_clicks(map(bucket, times))] == kept


@given(st.lists(st.integers(0, 300_000), unique=True).map(sorted))
def test_what_counts_is_followed_by_nothing_within_thirty_seconds(times: list[int]) -> None:
    kept = [at for at, _ in without_double_clicks(map(bucket, times))]
    assert kept == [at for at in times if not any(0 < other - at <= DOUBLE_CLICK_MS for other in times)]


ACCESSES = [
    # time, address, agent, pid, format
    ("2018-05-18T10:00:00.000Z", "203.0.113.1", BROWSER, "a", "METADATA"),
    ("2018-05-18T10:00:20.000Z", "203.0.113.1", BROWSER, "a", "METADATA"),  # the one before was a double click
    ("2018-05-18T10:10:00.000Z", "203.0.113.1", BROWSER, "a", "DATA"),
    ("2018-05-18T11:00:00.000Z", "203.0.113.1", BROWSER, "a", "DATA"),  # another hour, another session
    ("2018-05-18T11:00:00.000Z", "203.0.113.1", "another", "a", "DATA"),  # another user
    ("2018-05-18T10:00:05.000Z", "203.0.113.1", BROWSER, "b", "METADATA"),
    ("2018-05-31T23:59:59.000Z", "203.0.113.2", BROWSER, "b", "DATA"),
    ("2018-06-01T00:00:01.000Z", "203.0.113.2", BROWSER, "b", "DATA"),
    ("2018-05-18T10:00:00.000Z", "203.0.113.3", "curl/8.0", "a", "DATA"),
    ("2018-05-18T10:00:00.000Z", "203.0.113.4", "Googlebot", "a", "DATA"),
    ("2018-05-18T10:00:00.000Z", "192.0.2.1", BROWSER, "a", "DATA"),
    ("2018-05-18T10:00:00.000Z", "203.0.113.5", BROWSER, "a", "RESOURCE"),
]


@pytest.mark.servers
def test_counter_on_a_real_index(dataone: Stage, tmp_path: Path) -> None:
    lists = {"own_networks": "192.0.2.0/24\n", "machine_user_agents": "curl\n", "robot_user_agents": "bot\ncurl\n"}
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
    files = {name: str(tmp_path / name) for name in lists}
    enricher = Enricher(build("dataone", SourceSettings(format="dataone", index="eventlog", **files)))  # type: ignore[arg-type]
    lines = [
        json.dumps({"id": str(n), "dateLogged": at, "ipAddress": ip, "userAgent": agent, "pid": pid, "formatType": kind, "event": "read"})
        for n, (at, ip, agent, pid, kind) in enumerate(ACCESSES)
    ]
    parsed = dataone.parse(dataone.records(dataone.write("log", "".join(line + "\n" for line in lines).encode())))
    dataone.index([enricher.enrich(event) for _, event in parsed if isinstance(event, Event)])

    found = json.loads(dataone.run("report", "dataone", "counter", "--format", "json").stdout)
    rows = {(row["data_set"], row["month"], row["method"]): tuple(row[metric] for metric in METRICS) for row in found["counter"]}
    assert rows == {
        ("a", "2018-05", "regular"): (4, 3, 3, 3),
        ("a", "2018-05", "machine"): (1, 1, 1, 1),
        ("b", "2018-05", "regular"): (2, 2, 1, 1),
        ("b", "2018-06", "regular"): (1, 1, 1, 1),
    }
    assert [tuple(row.values()) for row in found["counter_by_month"]] == [
        ("2018-05", "machine", 1, 1, 1, 1),
        ("2018-05", "regular", 6, 5, 4, 4),
        ("2018-06", "regular", 1, 1, 1, 1),
    ]
