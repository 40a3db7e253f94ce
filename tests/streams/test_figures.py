"""Metrics and health of workers."""

import json
import re
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import figures
from streams.figures import Counts, Figures
from streams.offsets import Offsets
from tailrace.metrics import expose
from tests.helpers import eventually, free_address, get
from tests.streams.cluster import Click, Cluster, lines

T0 = 1_525_132_800_000
RAW = TP("a.raw", 0)


def worker(committed: dict[TP, int], ends: dict[TP, int]) -> tuple[Figures, Any]:
    offsets: Offsets[TP] = Offsets()
    consumer = SimpleNamespace(assignment=lambda: set(ends), highwater=ends.get, _committed_offset=committed, offsets=offsets)
    tables: Any = type("Tables", (dict,), {"changelog_topics": {"changelog"}, "recovery": SimpleNamespace(read=7, remaining=0)})()
    app: Any = SimpleNamespace(consumer=consumer, tables=tables)
    return Figures(app, Counts()), app


def test_no_progress_with_work_left_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(figures, "time", SimpleNamespace(monotonic=lambda: now))
    committed, ends = {RAW: 5}, {RAW: 9, TP("changelog", 0): 3}
    mine, app = worker(committed, ends)
    assert (mine.health().status, mine.health().lag_records) == ("ok", 4)
    now += figures.STUCK_S
    assert mine.health().status.startswith("no progress for 60 s although there is work on")
    app.tables.recovery.remaining = 3
    assert mine.health().status == "ok", "nothing can be committed before tables are recovered"
    app.tables.recovery.remaining = 0
    now += figures.STUCK_S
    committed[RAW] = 6
    assert mine.health().status == "ok", "it moved"
    now += figures.STUCK_S
    committed[RAW] = 9
    assert (mine.health().status, mine.health().lag_records) == ("ok", 0)


def test_what_is_in_flight_is_told_with_its_age() -> None:
    mine, app = worker({}, {RAW: 9, TP("b.raw", 1): None})  # type: ignore[dict-item]
    app.consumer.offsets.read(RAW, 3, 5_000).done = True
    app.consumer.offsets.read(RAW, 4, 7_000)
    text = expose(mine.samples())
    assert "tailrace_stream_batches_in_flight 1\n" in text
    assert "tailrace_stream_oldest_record_seconds 7.0\n" in text
    assert 'tailrace_stream_lag_records{topic="a.raw",partition="0"} 9\n' in text
    assert "tailrace_stream_recovered_records_total 7\n" in text


@pytest.mark.servers
def test_both_roles_answer_over_http_and_sighup_ends_them(cluster: Cluster) -> None:
    records = [Click("a", T0, "somebody").line(), b"garbage", Click("b", T0 + 1, "somebody").line()]
    cluster.publish("clicks", lines("file", records))
    seen = {}
    for role in ("parse", "sessionize"):
        cluster.environment["TAILRACE_STREAM_MONITOR"] = address = free_address()
        with cluster.worker(role, "--source", "clicks") as running:
            eventually(lambda: cluster.done(role, "clicks"), f"{role} is done", 60)  # noqa: B023
            seen[role] = get(address, "/metrics")[1]
            status, body = get(address, "/health")
            assert (status, json.loads(body)["status"], json.loads(body)["lag_records"]) == (200, "ok", 0)
            running.stop(signal.SIGHUP)
    prefix = cluster.settings.kafka.topic_prefix
    assert f'tailrace_stream_records_total{{topic="{prefix}clicks.raw"}} 3\n' in seen["parse"]
    assert f'tailrace_stream_outputs_total{{topic="{prefix}clicks.dead"}} 1\n' in seen["parse"]
    assert f'tailrace_stream_outputs_total{{topic="{prefix}clicks.events"}} 2\n' in seen["parse"]
    assert f'tailrace_stream_records_total{{topic="{prefix}clicks.events"}} 2\n' in seen["sessionize"]
    assert re.search(rf'tailrace_stream_outputs_total{{topic="{prefix}clicks\.enriched"}} [2-9]\n', seen["sessionize"]), "patches count"
    assert "tailrace_stream_recovery_remaining_records 0\n" in seen["sessionize"]
    assert len(re.findall(r"tailrace_stream_table_offset\{", seen["sessionize"])) == cluster.settings.kafka.partitions
