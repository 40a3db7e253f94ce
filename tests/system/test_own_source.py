"""A source of the user's own needs a block of configuration and nothing else."""

from pathlib import Path

import pytest

from tests.system.conftest import MakePipeline

pytestmark = [pytest.mark.servers, pytest.mark.timeout(200)]


def test_three_formats_by_configuration_alone(pipeline: MakePipeline, logs: Path) -> None:
    (logs / "shop.csv").write_text("2024-03-01 10:00:00;alice-1;order;19.90;2\n2024-03-01 10:30:00;alice-1;order;x;1\n2024-03-01\n")
    (logs / "door.jsonl").write_text('{"at": 1709287200, "who": "badge7", "open": true}\nnot json\n')
    (logs / "web.log").write_text(
        '192.0.2.7 [01/Mar/2024:11:00:00 +0100] "GET /a" 200\n192.0.2.7 [01/Mar/2024:11:00:05 +0100] "GET /b" 404\n'
    )
    run = pipeline(
        shop={
            "format": "delimited",
            "paths": [f"{logs}/*.csv"],
            "delimiter": ";",
            "columns": ["at", "customer", "what", "price", "pieces"],
            "types": {"price": "float", "pieces": "integer"},
            "time": "at",
            "time_format": "%Y-%m-%d %H:%M:%S",
            "timezone": "Europe/Brussels",
            "client": ["customer"],
            "kind": "what",
        },
        door={
            "format": "json",
            "paths": [f"{logs}/*.jsonl"],
            "types": {"open": "boolean"},
            "time": "at",
            "time_format": "epoch",
            "client": ["who"],
        },
        web={
            "format": "regex",
            "paths": [f"{logs}/web.log"],
            "pattern": r'(?P<address>\S+) \[(?P<at>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d+)',
            "types": {"status": "integer", "address": "ip"},
            "time": "at",
            "time_format": "%d/%b/%Y:%H:%M:%S %z",
            "client": ["address"],
            "address": "address",
        },
    )
    run.backfill()

    shop = sorted(run.documents("shop").values(), key=lambda document: document["offset"])
    assert [(d["@timestamp"], d["customer"], d.get("price"), d["pieces"]) for d in shop] == [
        ("2024-03-01T09:00:00.000Z", "alice-1", 19.9, 2),
        ("2024-03-01T09:30:00.000Z", "alice-1", None, 1),
    ]
    assert shop[1]["problems"] == ["price:not_a_number"]
    assert shop[0]["sessionId"] == shop[1]["sessionId"] > 0
    assert [letter.reason for letter in run.dead("shop")] == ["too_few_columns"]

    (door,) = run.documents("door").values()
    assert (door["who"], door["open"], door["@timestamp"]) == ("badge7", True, "2024-03-01T10:00:00.000Z")
    assert [letter.reason for letter in run.dead("door")] == ["not_json"]

    web = sorted(run.documents("web").values(), key=lambda document: document["offset"])
    assert [(d["address"], d["request"], d["status"]) for d in web] == [("192.0.2.7", "GET /a", 200), ("192.0.2.7", "GET /b", 404)]
    mapping = run.search.indices.get_mapping(index=run.pattern("web"))
    properties = next(iter(mapping.values()))["mappings"]["properties"]
    assert properties["status"]["type"] in ("long", "integer")
    assert properties["address"]["type"] == "ip"
    assert run.audit()["clean"]
