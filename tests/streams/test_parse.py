"""The parser on its own: one failing record never harms its neighbours; clocks; sizes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from demo import dataone, ezcast
from schemas.envelope import EventEnvelope, decode
from schemas.event import Dead, Event, Usual
from schemas.place import Place, key
from schemas.source import Source, SourceSettings
from schemas.sources import build
from streams.enrich import Enricher
from streams.outbox import Output
from streams.parse import Parser
from tailrace.kafka import LONGEST_KEY, LONGEST_VALUE
from tests.streams.records import Record, clicks

PLACE = Place("file", "host", "/path")
T0 = 1_525_132_800_000


def run(records: list[Record], source: Source | None = None, enrich: Any = lambda event: event) -> list[Output]:
    outputs: list[Output] = []
    parser = Parser(source or clicks(), "events", "dead", enrich)
    assert parser.run(records, 0, outputs) is None  # type: ignore[arg-type]
    return outputs


def click(identity: str, offset: int = 0, **more: Any) -> Record:
    line = {"id": identity, "time": T0, "who": "somebody", "what": "click", **more}
    return Record(key(PLACE, offset), json.dumps(line).encode(), offset=offset)


def reasons(outputs: list[Output]) -> list[str]:
    return [dict(output.headers)["reason"].decode() if output.headers else "" for output in outputs]


@pytest.mark.parametrize("name", ["ezcast", "dataone"])
def test_usual_records_become_the_same_outputs_on_the_short_way(name: Literal["ezcast", "dataone"], tmp_path: Path) -> None:
    for file, text in dataone.lists().items():
        (tmp_path / file).write_text(text)
    lists = {Path(file).stem: str(tmp_path / file) for file in ("robot_user_agents.txt", "machine_user_agents.txt", "admin_subjects.txt")}
    networks = {"own_networks": str(tmp_path / "dataone_ips.txt"), "robot_networks": str(tmp_path / "robot_ips.txt")}
    source = build(name, SourceSettings(format=name, fields={"env": "test"}, **lists, **networks))
    day = {"ezcast": ezcast.day, "dataone": dataone.day}[name](seed=1)
    lines = [line.data.removesuffix(b"\n") for line in day]
    records = [Record(key(PLACE, number), line, offset=number, timestamp=2_000_000_000_000) for number, line in enumerate(lines)]
    enricher, short, long = Enricher(source), list[Output](), list[Output]()
    taken: list[Usual] = []

    def ending(event: Usual) -> bytes:
        taken.append(event)
        found = enricher.endings()
        assert found is not None
        return found(event)

    Parser(source, "events", "dead", enricher.enrich, lambda: ending).run(records, 0, short)  # type: ignore[arg-type]
    Parser(source, "events", "dead", enricher.enrich).run(records, 0, long)  # type: ignore[arg-type]
    assert len(taken) > len(records) * 0.8
    assert [readable(output) for output in short] == [readable(output) for output in long]


def readable(output: Output) -> Any:
    if output.headers is not None:
        return output
    event = decode(output.value or b"")
    assert isinstance(event, EventEnvelope)
    return output.key, event._replace(document=orjson.dumps(orjson.loads(event.document), option=orjson.OPT_SORT_KEYS))


def test_an_event_is_keyed_by_its_client() -> None:
    (output,) = run([click("a")])
    assert (output.topic, output.key) == ("events", b"somebody")
    event = decode(output.value or b"")
    assert isinstance(event, EventEnvelope)
    assert event[:6] == ("a", T0, "somebody", "click", None, False)
    assert orjson.loads(event.document)["who"] == "somebody"


def test_an_event_without_client_is_keyed_by_its_id() -> None:
    (output,) = run([click("a", who=None)])
    assert output.key == b"a"


def test_a_parser_that_fails_buries_one_record() -> None:
    source = clicks()

    def parse(value: bytes, *rest: Any) -> list[Event | Dead]:
        if b'"bad"' in value:
            raise RuntimeError("a defect")
        return source.parse(value, *rest)

    outputs = run([click("a"), click("bad", 7), click("b")], replace(source, parse=parse))
    assert reasons(outputs) == ["", "exception", ""]
    assert outputs[1].key == key(PLACE, 7)
    assert outputs[1].value == click("bad", 7).value
    assert ("message", b"RuntimeError: a defect") in (outputs[1].headers or [])


def test_enrichment_that_fails_buries_one_record() -> None:
    def enrich(event: Event) -> Event:
        if event.id == "bad":
            event.document["wrong"] = object()
        return event

    outputs = run([click("a"), click("bad"), click("b")], enrich=enrich)
    assert reasons(outputs) == ["", "exception", ""]


def test_an_event_that_no_record_can_hold_is_a_dead_letter() -> None:
    """Control characters take six bytes in JSON, so a record that came through can be too long as a document."""
    value = orjson.dumps({"id": "a", "time": T0, "who": "somebody", "what": "x" * 10})

    def enrich(event: Event) -> Event:
        event.document["text"] = "\x01" * (LONGEST_VALUE // 5)
        return event

    outputs = run([Record(key(PLACE, 0), value)], enrich=enrich)
    assert reasons(outputs) == ["too_large"]
    assert outputs[0].value == value


def test_the_future_is_a_day_after_the_record_came() -> None:
    record = click("a")
    late = record._replace(timestamp=T0 - 86_400_000)
    assert reasons(run([late, late._replace(timestamp=T0 - 86_400_001), late._replace(timestamp=-1)])) == ["", "implausible_time", ""]


def test_records_of_no_file_are_dead_letters_under_their_own_key() -> None:
    outputs = run([Record(b"who knows", b"x"), Record(None, None), click("a")])
    assert reasons(outputs) == ["foreign_key", "foreign_key", ""]
    assert [(output.key, output.value) for output in outputs[:2]] == [(b"who knows", b"x"), (b"", b"")]


def test_a_record_of_others_leaves_room_for_its_headers() -> None:
    (output,) = run([Record(b"k" * 1_000_000, b"x" * (LONGEST_VALUE + 1))])
    assert (len(output.key), len(output.value or b"")) == (LONGEST_KEY, LONGEST_VALUE)
