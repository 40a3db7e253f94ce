"""`tailrace audit` and what producers said of files: seals, and what was acknowledged before Kafka deleted it."""

import gzip
import time
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import TopicPartition

from schemas.event import Event
from schemas.heartbeat import Heartbeat, Seal, encode, heartbeat_key, host_key
from tailrace import kafka
from tailrace.settings import Settings
from tests.reports.stage import Record, Stage
from tests.reports.test_audit import DEAD_LINE, LINE, TRACE, audit, only_source, put_foreign, shipped

pytestmark = pytest.mark.servers


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One partition, so that its first offsets are those of the records that were published first."""
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, partitions=1))


def beat(stage: Stage, records: list[Record], acknowledged: int, sealed: bytes | None = None) -> None:
    """What a producer says of a file."""
    place = records[0][0]
    told = Heartbeat(
        file=place.file,
        host=place.host,
        path=place.path,
        path_now=place.path,
        size=acknowledged,
        mtime_ms=1,
        read=acknowledged,
        acknowledged=acknowledged,
        read_to_end=True,
        sealed=Seal(sealed.count(b"\n"), len(sealed), sha256(sealed).hexdigest()) if sealed else None,
        time_ms=1,
    )
    stage.produce("files", [(heartbeat_key(place), encode(told)), (host_key("test-host"), b"{}")])


def delete(stage: Stage, before: int, kind: kafka.Kind = "raw") -> None:
    """The records below an offset, as retention does."""
    partition = TopicPartition(kafka.topic(stage.settings.kafka, stage.name, kind), 0, before)
    admin = kafka.connect(stage.settings.kafka, 5)
    admin.delete_records([partition])[partition].result(timeout=10)


def test_a_sealed_file_that_holds_what_it_held_is_clean_compressed_and_grown_too(ezcast: Stage) -> None:
    records = shipped(ezcast)
    beat(ezcast, records, len(TRACE), TRACE[: 3 * LINE])
    assert audit(ezcast)["clean"]
    beat(ezcast, records, len(TRACE), TRACE)
    path = ezcast.folder / "2016-10-03.trace"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert audit(ezcast)["clean"]


ONE_OTHER = TRACE[: 5 * LINE] + TRACE[5 * LINE :].replace(b"10.0.0.1", b"10.0.0.2", 1)


@pytest.mark.parametrize("now", [TRACE[: 8 * LINE], ONE_OTHER])
def test_a_sealed_file_that_was_changed_or_cut_is_a_finding(ezcast: Stage, now: bytes) -> None:
    records = shipped(ezcast)
    beat(ezcast, records, len(TRACE), TRACE)
    (ezcast.folder / "2016-10-03.trace").write_bytes(now)
    source = only_source(audit(ezcast, "--allow-lag"))
    [broken] = [problem for problem in source["problems"] if problem["problem"] == "seal_broken"]
    assert f"{len(now):,} of {len(TRACE):,} bytes" in broken["message"]
    assert source["totals"]["seals_broken"] == 1
    beat(ezcast, records, len(TRACE))
    assert audit(ezcast, "--allow-lag")["totals"]["seals_broken"] == 0


def test_a_sealed_file_that_is_gone_must_be_in_kafka_whole(ezcast: Stage) -> None:
    records = shipped(ezcast)
    (ezcast.folder / "2016-10-03.trace").unlink()
    beat(ezcast, records, len(TRACE), TRACE)
    assert audit(ezcast)["clean"]
    longer = TRACE + TRACE[:LINE]
    beat(ezcast, records, len(longer), longer)
    source = only_source(audit(ezcast, "--allow-lag"))
    assert [(problem["problem"], problem["offset"], problem["end"]) for problem in source["problems"]] == [
        ("hole", len(TRACE), len(longer))
    ]
    assert source["totals"]["missing_bytes"] == LINE


def test_what_retention_deleted_is_counted_and_no_fault(ezcast: Stage) -> None:
    records = shipped(ezcast)
    beat(ezcast, records, len(TRACE))
    delete(ezcast, 4)
    found = audit(ezcast)
    source = only_source(found)
    assert (found["clean"], source["problems"], source["deleted_records"]) == (True, [], 4)
    (file,) = source["files"]
    assert (file["beyond_retention_bytes"], file["beyond_retention_documents"], file["shipped"], file["indexed"]) == (4 * LINE, 4, 6, 6)
    told = ezcast.run("audit", "--settle", "0s").stdout
    assert f"4 records were deleted from Kafka by retention: {4 * LINE:,} bytes of files, 4 documents and 0 dead letters" in told
    assert "beyond retention documents" in told.splitlines()[1]


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_file_whose_records_are_all_deleted_is_clean(ezcast: Stage, on_disk: bool) -> None:
    records = shipped(ezcast)
    beat(ezcast, records, len(TRACE))
    delete(ezcast, 10)
    if not on_disk:
        Path(records[0][0].path).unlink()
    source = only_source(audit(ezcast))
    (file,) = source["files"]
    assert (source["clean"], file["path"], file["shipped"], file["on_disk"]) == (True, records[0][0].path, 0, on_disk)
    assert (file["beyond_retention_bytes"], file["beyond_retention_documents"]) == (len(TRACE), 10)


def test_beyond_what_was_acknowledged_deletion_is_no_excuse(ezcast: Stage) -> None:
    records = shipped(ezcast)
    put_foreign(ezcast, records)
    beat(ezcast, records, 3 * LINE)
    delete(ezcast, 4)
    source = only_source(audit(ezcast))
    named = [(problem["problem"], problem.get("offset"), problem.get("end"), problem.get("id")) for problem in source["problems"]]
    assert named == [
        ("hole", 3 * LINE, 4 * LINE, None),
        ("foreign", None, None, f"{records[3][0].file}-{3 * LINE}"),
        ("foreign", None, None, "from-nowhere"),
    ]
    assert source["totals"]["beyond_retention_bytes"] == 3 * LINE


def test_a_hole_behind_a_record_that_is_there_is_a_fault_where_a_file_has_one_partition(ezcast: Stage) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE))
    ezcast.publish([*records[:6], *records[7:]])
    ezcast.process(records)
    beat(ezcast, records, len(TRACE))
    delete(ezcast, 2)
    source = only_source(audit(ezcast))
    assert [(problem["problem"], problem.get("offset")) for problem in source["problems"]] == [("hole", 6 * LINE), ("foreign", None)]
    assert (source["totals"]["beyond_retention_bytes"], source["totals"]["missing_bytes"]) == (2 * LINE, LINE)


def test_where_a_files_records_are_spread_any_of_them_may_be_deleted(dataone: Stage) -> None:
    lines = [b'{"id": "%d", "event": "read", "dateLogged": "2018-05-18T10:00:00Z", "ipAddress": "192.0.2.1"}\n' % n for n in range(6)]
    records = dataone.records(dataone.write("d1.log", b"".join(lines)))
    dataone.publish([records[number] for number in (4, 1, 0, 2, 3, 5)])
    dataone.index([outcome for _, outcome in dataone.parse(records) if isinstance(outcome, Event)])
    beat(dataone, records, sum(map(len, lines)))
    delete(dataone, 2)
    (file,) = only_source(found := audit(dataone))["files"]
    assert found["clean"]
    assert (file["shipped"], file["beyond_retention_bytes"], file["beyond_retention_documents"]) == (4, 2 * len(lines[0]), 2)


def test_a_dead_letter_older_than_the_retention_may_be_gone_before_its_record(ezcast: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE + DEAD_LINE))
    old_ms = round((time.time() - 31 * 86_400) * 1000)
    ezcast.publish(records, time_ms=old_ms)
    ezcast.process(records[1:-1])
    monkeypatch.setenv("TAILRACE_KAFKA_RAW_RETENTION", "30d")
    totals = only_source(audit(ezcast))["totals"]
    assert (totals["missing"], totals["dead_letters_missing"]) == (1, 1), "nothing was deleted"
    ezcast.produce("dead", [(b"another", b"")])
    delete(ezcast, 1, "dead")
    found = audit(ezcast)
    assert (found["clean"], found["totals"]["dead"], found["totals"]["beyond_retention_dead_letters"]) == (True, 0, 2)
    monkeypatch.setenv("TAILRACE_KAFKA_RAW_RETENTION", "32d")
    totals = only_source(audit(ezcast))["totals"]
    assert (totals["missing"], totals["dead_letters_missing"]) == (1, 1), "theirs would be there"
