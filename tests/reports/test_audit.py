"""`tailrace audit` on real servers: a source that is whole, then broken in each way there is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.audit_cli import COLUMNS
from schemas.event import Event
from schemas.place import Place, key
from tailrace.dead import DeadLetter, Handled
from tailrace.sources import as_parsed
from tests.reports.conftest import MakeStage
from tests.reports.stage import Record, Stage

pytestmark = pytest.mark.servers

TRACE = b"".join(
    b"2016-10-03-08:%02d:00 | abcdefghijklmnopqrstuvwxyz | 10.0.0.1 | student1 | 3 | view_help\n" % minute for minute in range(10)
)
LINE = len(TRACE) // 10
DEAD_LINE = b"2016-10-03-08:59:00 | too | few\n"


def audit(stage: Stage, *words: str) -> dict[str, Any]:
    done = stage.run("audit", "--format", "json", "--settle", "0s", *words)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["clean"] is (done.exit_code == 0)
    return found


def only_source(found: dict[str, Any]) -> dict[str, Any]:
    (source,) = found["sources"]
    assert isinstance(source, dict)
    return source


def shipped(stage: Stage, content: bytes = TRACE) -> list[Record]:
    """A file that is whole on disk, in Kafka and in the index."""
    records = stage.records(stage.write("2016-10-03.trace", content))
    stage.publish(records)
    stage.process(records)
    return records


def test_a_whole_source_is_clean(ezcast: Stage) -> None:
    (place, *_), *_ = shipped(ezcast, TRACE + DEAD_LINE)
    found = audit(ezcast)
    source = only_source(found)
    assert source["problems"] == []
    assert source["files"] == [
        {
            "path": str(ezcast.folder / "2016-10-03.trace"),
            "file": place.file,
            "host": "test-host",
            "on_disk": True,
            "bytes": len(TRACE + DEAD_LINE),
            "records": 11,
            "shipped": 11,
            "repeated": 0,
            "events": 10,
            "repeated_events": 0,
            "indexed": 10,
            "dead": 1,
            "missing": 0,
            "double": 0,
            "dead_letters_missing": 0,
            "altered": 0,
            "seals_broken": 0,
            "missing_bytes": 0,
            "not_shipped_bytes": 0,
            "beyond_retention_bytes": 0,
            "beyond_retention_documents": 0,
            "beyond_retention_dead_letters": 0,
            "torn_bytes": 0,
            "clean": True,
        }
    ]
    assert (found["totals"]["files"], found["totals"]["events"], found["totals"]["indexed"]) == (1, 10, 10)


def test_records_are_read_with_the_operators_actions(stage: MakeStage, tmp_path: Path) -> None:
    actions = tmp_path / "actions.toml"
    actions.write_text('[types]\nkeyword = ["room"]\n[actions]\nroom_enter = ["room"]\n')
    ezcast = stage(ezcast={"format": "ezcast", "paths": [f"{tmp_path}/*.trace"], "actions": str(actions)})
    ezcast.source = as_parsed(ezcast.source)
    known = TRACE[:LINE].replace(b"view_help", b"room_enter | H1302")
    shipped(ezcast, TRACE + known + known.replace(b"student1", b"stu | dent1"))  # only who knows the action sees what is wrong there
    found = audit(ezcast)
    assert (found["totals"]["events"], found["totals"]["dead"]) == (11, 1)
    assert found["clean"]


def test_nothing_at_all_is_clean(ezcast: Stage) -> None:
    found = audit(ezcast)
    assert only_source(found)["files"] == []
    assert found["totals"]["files"] == 0


Break = Callable[[Stage, list[Record]], None]


def drop_document(stage: Stage, records: list[Record]) -> None:
    stage.client.delete(index=f"{stage.prefix}ezcast-2016.10", id=f"{records[3][0].file}-{records[3][1]}", refresh=True)


def put_double(stage: Stage, records: list[Record]) -> None:
    stage.put("ezcast-2016.11", f"{records[3][0].file}-{records[3][1]}")


def put_foreign(stage: Stage, _: list[Record]) -> None:
    stage.put("ezcast-2016.10", "from-nowhere")


def alter_file(stage: Stage, records: list[Record]) -> None:
    stage.write("2016-10-03.trace", TRACE[: 4 * LINE - 10] + b"X" + TRACE[4 * LINE - 9 :])


def ship_another(stage: Stage, records: list[Record]) -> None:
    place, offset, value = records[3]
    stage.publish([(place, offset, value.replace(b"view_help", b"view_info"))])


def ship_without_place(stage: Stage, _: list[Record]) -> None:
    stage.produce("raw", [(b"what is this", TRACE[:LINE])])


@pytest.mark.parametrize(
    ("damage", "figure", "problem"),
    [
        (drop_document, "missing", {"problem": "missing", "offset": 3 * LINE}),
        (put_double, "double", {"problem": "double", "offset": 3 * LINE, "indices": ["ezcast-2016.10", "ezcast-2016.11"]}),
        (put_foreign, None, {"problem": "foreign", "id": "from-nowhere", "indices": ["ezcast-2016.10"]}),
        (alter_file, "altered", {"problem": "altered", "offset": 3 * LINE}),
        (ship_another, "altered", {"problem": "conflicting", "offset": 3 * LINE}),
        (ship_without_place, None, {"problem": "no_place"}),
    ],
)
def test_each_damage_is_named_and_nothing_else(ezcast: Stage, damage: Break, figure: str | None, problem: dict[str, Any]) -> None:
    records = shipped(ezcast)
    assert audit(ezcast)["clean"]
    damage(ezcast, records)
    source = only_source(audit(ezcast))
    assert not source["clean"]
    (named,) = source["problems"]
    named["indices"] = [index.removeprefix(ezcast.prefix) for index in named.get("indices", [])]
    assert problem.items() <= named.items()
    (file,) = source["files"]
    if named.get("offset") is not None:
        assert (named["file"], named["path"]) == (file["file"], file["path"])
    wrong = {name: file[name] for name in ("missing", "double", "dead_letters_missing", "altered", "missing_bytes") if file[name]}
    assert wrong == ({figure: 1} if figure else {})
    assert file["clean"] is (figure is None)


def test_records_that_kafka_lacks_are_holes_or_not_shipped_yet(ezcast: Stage) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE))
    kept = [*records[:2], *records[4:8]]
    ezcast.publish(kept)
    ezcast.process(kept)
    source = only_source(audit(ezcast))
    places = [(named["problem"], named["offset"], named["end"]) for named in source["problems"]]
    assert places == [("hole", 2 * LINE, 4 * LINE), ("not_shipped", 8 * LINE, 10 * LINE)]
    (file,) = source["files"]
    assert (file["records"], file["shipped"], file["missing_bytes"], file["not_shipped_bytes"]) == (10, 6, 2 * LINE, 2 * LINE)


def test_a_growing_file_is_clean_only_with_allow_lag(ezcast: Stage) -> None:
    shipped(ezcast)
    ezcast.write("2016-10-03.trace", TRACE + TRACE + TRACE[: LINE // 2])
    assert not audit(ezcast)["clean"]
    (file,) = only_source(audit(ezcast, "--allow-lag"))["files"]
    assert (file["clean"], file["not_shipped_bytes"], file["torn_bytes"]) == (True, len(TRACE), LINE // 2)


def test_a_dead_letter_that_was_never_written_is_missing(ezcast: Stage) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE + DEAD_LINE))
    ezcast.publish(records)
    ezcast.process(records[:-1])
    source = only_source(audit(ezcast))
    assert [(named["problem"], named["offset"]) for named in source["problems"]] == [("dead_letter_missing", len(TRACE))]
    assert source["files"][0]["dead_letters_missing"] == 1


def test_an_event_that_became_a_dead_letter_is_no_loss(ezcast: Stage) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE))
    ezcast.publish(records)
    ezcast.process(records[1:])
    place, offset, value = records[0]
    ezcast.produce("dead", [(key(place, offset), value)])
    found = audit(ezcast)
    assert found["clean"]
    assert (found["totals"]["indexed"], found["totals"]["dead"]) == (9, 1)


def test_a_retried_letter_is_indexed_or_dead_or_missing_but_never_two_of_them(ezcast: Stage) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE))
    ezcast.publish(records)
    ezcast.process(records[1:])
    place, offset, value = records[0]
    letter = DeadLetter(key(place, offset), value, "parse", "bad", "bad", "raw", 0, 0)
    ezcast.produce("dead", [(letter.key, letter.payload)], headers=letter.headers())
    ezcast.produce("dead", [(letter.key, b"")], headers=Handled(letter.id, "retried").headers())
    assert only_source(audit(ezcast))["totals"]["missing"] == 1, "sent again, and neither here nor there"
    ezcast.produce("dead", [(letter.key, letter.payload)], headers=letter._replace(offset=11).headers())
    found = audit(ezcast)
    assert (found["clean"], found["totals"]["indexed"], found["totals"]["dead"]) == (True, 9, 1), "it failed again"
    ezcast.process(records[:1])
    found = audit(ezcast)
    assert (found["clean"], found["totals"]["indexed"], found["totals"]["dead"]) == (True, 10, 0)


def test_a_record_too_large_for_kafka_is_accounted_for_by_its_dead_letter(ezcast: Stage) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE))
    ezcast.publish([*records[:4], *records[5:9]])
    ezcast.process([*records[:4], *records[5:9]])
    for place, offset, value in (records[4], records[9]):
        ezcast.produce("dead", [(key(place, offset), value[:5])])
    assert audit(ezcast)["clean"]


def test_a_record_without_place_is_accounted_for_by_its_dead_letter(ezcast: Stage) -> None:
    shipped(ezcast)
    ship_without_place(ezcast, [])
    source = only_source(audit(ezcast))
    topic, _, position = source["problems"][0]["message"].partition("[")
    partition, _, offset = position.partition("]@")
    letter = DeadLetter(b"what is this", b"", "parse", "foreign_key", "", topic, int(partition), int(offset))
    ezcast.produce("dead", [(letter.key, letter.payload)], headers=letter.headers())
    assert audit(ezcast)["clean"]


def test_records_shipped_again_and_by_another_host_are_repeats(ezcast: Stage) -> None:
    records = shipped(ezcast)
    ezcast.publish(records[5:])
    ezcast.publish(ezcast.records(ezcast.folder / "2016-10-03.trace", host="other-host"))
    (file,) = only_source(audit(ezcast))["files"]
    assert (file["clean"], file["shipped"], file["repeated"], file["events"]) == (True, 10, 15, 10)


def test_a_file_that_is_gone_is_checked_from_kafka_on(ezcast: Stage) -> None:
    records = shipped(ezcast)
    (ezcast.folder / "2016-10-03.trace").unlink()
    (file,) = only_source(audit(ezcast))["files"]
    assert (file["clean"], file["on_disk"], file["bytes"], file["records"], file["indexed"]) == (True, False, None, None, 10)
    drop_document(ezcast, records)
    (file,) = only_source(audit(ezcast))["files"]
    assert (file["clean"], file["missing"]) == (False, 1)


def test_a_hole_in_a_file_that_is_gone_is_seen_between_its_records(ezcast: Stage) -> None:
    path = ezcast.write("2016-10-03.trace", TRACE)
    records = ezcast.records(path)
    path.unlink()
    ezcast.publish([*records[1:4], *records[6:]])
    ezcast.process([*records[1:4], *records[6:]])
    source = only_source(audit(ezcast))
    assert [(named["problem"], named["offset"], named["end"]) for named in source["problems"]] == [
        ("hole", 0, LINE),
        ("hole", 4 * LINE, 6 * LINE),
    ]


def test_a_torn_end_that_was_shipped_and_then_completed(ezcast: Stage) -> None:
    path = ezcast.write("2016-10-03.trace", TRACE)
    records = ezcast.records(path)
    place, offset, value = records[-1]
    torn = (Place(place.file, place.host, place.path, torn=True), offset, value[:30])
    path.write_bytes(TRACE[: offset + 30])
    ezcast.publish([*records[:-1], torn])
    ezcast.process([*records[:-1], torn])
    found = audit(ezcast)
    assert (found["clean"], found["totals"]["torn_bytes"], found["totals"]["dead"]) == (True, 0, 1)
    path.write_bytes(TRACE)
    ezcast.publish(records[-1:])
    source = only_source(audit(ezcast))
    assert source["files"][0]["events"] == 10
    ezcast.process(records[-1:])
    assert audit(ezcast)["totals"]["indexed"] == 10


def test_files_that_begin_alike_are_told_apart(ezcast: Stage) -> None:
    first = ezcast.write("a.trace", TRACE)
    second = ezcast.write("b.trace", TRACE[:LINE] + TRACE[5 * LINE :])
    records = [*ezcast.records(first, ordinal=1), *ezcast.records(second, ordinal=0)]
    ezcast.publish(records)
    ezcast.process(records)
    source = only_source(audit(ezcast))
    assert source["clean"], source["problems"]
    assert [(file["path"], file["file"], file["events"]) for file in source["files"]] == [
        (str(first), records[0][0].file, 10),
        (str(second), records[-1][0].file, 6),
    ]


def test_a_source_that_shares_its_index_finds_nothing_foreign_in_it(stage: MakeStage) -> None:
    pair = stage(
        web={"format": "json", "paths": [], "index": "logs", "id": "id"},
        shop={"format": "json", "paths": [], "index": "logs", "id": "id"},
    )
    place = Place("0" * 20, "test-host", "shop.log")
    pair.publish([(place, 0, b'{"id": "sale-1"}')], source="shop")
    pair.put("logs-undated", "sale-1")
    found = audit(pair)
    assert found["clean"], found["sources"]
    pair.put("logs-undated", "sale-2")
    assert [named["id"] for source in audit(pair)["sources"] for named in source["problems"]] == ["sale-2", "sale-2"]


def test_lines_with_the_same_id_are_one_event(dataone: Stage) -> None:
    line = b'{"id": "urn:node:A.%d", "event": "read", "dateLogged": "2018-05-18T10:00:00Z", "ipAddress": "192.0.2.1"}\n'
    path = dataone.write("d1.log", line % 1 + line % 2 + line % 1)
    records = dataone.records(path)
    dataone.publish(records)
    dataone.publish(records)
    dataone.process(records)
    (file,) = only_source(audit(dataone))["files"]
    assert (file["clean"], file["shipped"], file["repeated"], file["events"], file["repeated_events"]) == (True, 3, 3, 2, 1)


def test_events_on_their_way_are_waited_for(ezcast: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    records = ezcast.records(ezcast.write("2016-10-03.trace", TRACE))
    ezcast.publish(records)
    ezcast.process(records[:6])
    late = [outcome for _, outcome in ezcast.parse(records[6:]) if isinstance(outcome, Event)]
    monkeypatch.setattr("reports.audit.time.sleep", lambda _: ezcast.index([late.pop()] if late else []))
    done = ezcast.run("audit", "--settle", "2s")
    assert done.exit_code == 0, done.stdout
    assert not late


def test_a_table_in_a_pipe_is_plain(ezcast: Stage) -> None:
    drop_document(ezcast, shipped(ezcast))
    done = ezcast.run("audit", "--settle", "0s")
    assert done.exit_code == 1
    assert "\x1b" not in done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"ezcast: 1 file, below {ezcast.folder}"
    assert lines[1].split() == ["path", *COLUMNS, "clean"]
    assert lines[2].split()[0] == "2016-10-03.trace"
    assert lines[-2] == "NOT clean: 1 events missing"
    assert any(line.split()[:1] == ["missing"] and f"2016-10-03.trace @ {3 * LINE}" in line for line in lines)


def test_a_compressed_file_is_named(ezcast: Stage) -> None:
    ezcast.write("old.trace", b"\x1f\x8b\x08\x00rest")
    source = only_source(audit(ezcast))
    assert not source["clean"]
    assert [(named["problem"], named["path"]) for named in source["problems"]] == [("unreadable", str(ezcast.folder / "old.trace"))]


def test_an_unknown_source_is_refused(ezcast: Stage) -> None:
    done = ezcast.run("audit", "--source", "nobody")
    assert done.exit_code == 2
    assert "nobody is not configured; configured: ezcast" in done.stderr
