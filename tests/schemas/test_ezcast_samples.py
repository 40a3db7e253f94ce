"""The shared sample files, read as a producer and a parse agent would, against every entry that they should give."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from schemas import framing
from schemas.event import Dead, Event
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import SourceSettings
from schemas.sources import build

SOURCE = build("ezcast", SourceSettings(format="ezcast", timezone="Europe/Brussels"))
TAGS = {"event": [], "unknown_action": ["_unknown_action"], "field_count": ["_field_count"]}
Entry = dict[str, Any]


def records(data: bytes) -> list[tuple[int, bytes]]:
    """Offset and bytes of each record, without its last line feed; the torn end of the file last."""
    ends = framing.split(data, SOURCE.record_start, final=True)
    if data and (not ends or ends[-1] < len(data)):
        ends.append(len(data))
    return [(begin, data[begin:end].removesuffix(b"\n")) for begin, end in zip([0, *ends], ends, strict=False)]


def parse_file(file: Path) -> list[Event | Dead]:
    data, clock = file.read_bytes(), LocalClock("Europe/Brussels")
    found: list[Event | Dead] = []
    for offset, record in records(data):
        torn = offset + len(record) == len(data)
        found += SOURCE.parse(record, Place("id", "host", file.name, torn=torn), offset, clock)
    return found


def expected_document(entry: Entry) -> Entry:
    problems = []
    if entry["ip"] == "noip":
        problems.append("ip:noip")
    if entry["level"] is None:
        problems.append("level:not_an_integer" if entry["level_raw"] else "level:empty")
    problems += [f"{name}:{reason}" for name, reason in entry.get("problems", {}).items()]
    columns = {
        "@timestamp": entry["utc"].replace("Z", ".000Z"),
        "timestamp": entry["time"],
        "session": entry["session_id"],
        "ip": None if entry["ip"] == "noip" else entry["ip"],
        "netid": entry["netid"],
        "level": entry["level"],
        "action": entry["action"],
        "fold": entry.get("fold"),
    }
    fields = entry["fields"] if entry["kind"] == "event" else {f"elem{n}": text for n, text in enumerate(entry["raw"], 1)}
    document = {name: value for name, value in (columns | fields).items() if value is not None}
    document |= {"tags": TAGS[entry["kind"]], "host": "host", "source": entry["file"], "file": "id", "offset": entry["offset"]}
    return document | ({"problems": sorted(problems)} if problems else {})


def typed(document: Entry) -> Entry:
    """1 and 1.0 and True are equal in Python, not in an index."""
    return {name: (type(value).__name__, value) for name, value in document.items()}


@pytest.fixture(scope="module")
def entries(shared: Path) -> dict[str, list[Entry]]:
    by_file: dict[str, list[Entry]] = defaultdict(list)
    for line in (shared / "ezcast" / "samples" / "expected.jsonl").read_text().rstrip("\n").split("\n"):
        entry = json.loads(line)
        by_file[entry["file"]].append(entry)
    return by_file


def test_every_entry_and_nothing_else(entries: dict[str, list[Entry]], shared: Path) -> None:
    assert sum(map(len, entries.values())) == 1824
    for name, expected in entries.items():
        file = shared / "ezcast" / "samples" / name
        data, found = file.read_bytes(), parse_file(file)
        assert len(found) == len(expected), name
        for item, entry in zip(found, expected, strict=True):
            payload = data[entry["offset"] : entry["offset"] + entry["length"]].removesuffix(b"\n")
            if isinstance(item, Dead):
                assert (item.reason, item.offset, item.payload) == (entry.get("reason"), entry["offset"], payload), entry
                continue
            document = item.document | ({"problems": sorted(item.document["problems"])} if "problems" in item.document else {})
            assert typed(document) == typed(expected_document(entry)), entry
            assert (item.id, item.kind) == (f"id-{entry['offset']}", entry["action"])
            assert item.time is not None
            assert item.client == (entry["session_id"] or f"{entry['ip']}|{entry['netid']}")


def test_the_files_read_twice_give_the_same(entries: dict[str, list[Entry]], shared: Path) -> None:
    for name in entries:
        file = shared / "ezcast" / "samples" / name
        clock = LocalClock("Europe/Brussels")
        once, again = (
            [SOURCE.parse(record, Place("id", "host", name), offset, clock) for offset, record in records(file.read_bytes())]
            for _ in range(2)
        )
        assert once == again, name
