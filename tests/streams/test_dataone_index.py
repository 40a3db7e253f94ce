"""Parser, enrichment and mapping before a real Elasticsearch, without Kafka: sessions come from a plain sorted scan."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from schemas import sources
from schemas.event import Event
from schemas.place import Place
from schemas.source import Source, SourceSettings
from sinks import templates
from streams.enrich import Enricher
from tailrace import search
from tailrace.settings import Settings

PLACE = Place("f1", "cn.example.org", "/logs/d1logagg.log")
HOUR_MS = 3_600_000

pytestmark = pytest.mark.servers


@pytest.fixture
def client(settings: Settings) -> Iterator[Elasticsearch]:
    with search.connect(settings.elasticsearch) as found:
        yield found


def dataone(**settings: Any) -> Source:
    return sources.build("dataone", SourceSettings(format="dataone", index="eventlog", fields={"env": "production"}, **settings))


def events(source: Source, lines: Iterable[bytes]) -> list[Event]:
    """Enriched events, one for each id."""
    enricher = Enricher(source)
    found = [event for line in lines for event in source.parse(line, PLACE, 0, None) if isinstance(event, Event)]
    return list({event.id: enricher.enrich(event) for event in found}.values())


def sessions(source: Source, found: list[Event]) -> dict[str, int]:
    """Session ids of the reads: -1 without client or time, else counted from 1 where a client's gap exceeds an hour."""
    reads = [event for event in found if source.has_session(event.kind)]
    ids = {event.id: -1 for event in reads}
    by_client: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for event in reads:
        if event.client is not None and event.time is not None:
            by_client[event.client].append((event.time, event.id))
    session = 0
    for visits in by_client.values():
        before = -2 * HOUR_MS
        for time, id_ in sorted(visits):
            session += time - before > HOUR_MS
            ids[id_], before = session, time
    return ids


def put(client: Elasticsearch, settings: Settings, source: Source, found: list[Event]) -> None:
    """Index them as the sink does; raises where Elasticsearch refuses one."""
    templates.install(client, settings.elasticsearch, [source])
    ids, prefix = sessions(source, found), settings.elasticsearch.index_prefix
    bulk(
        client,
        (
            {
                "_index": prefix + source.index_for(event.time),
                "_id": event.id,
                "_source": event.document | ({"sessionId": ids[event.id]} if event.id in ids else {}),
            }
            for event in found
        ),
        refresh=True,
    )


@pytest.mark.parametrize(
    ("lines", "golden", "admins"),
    [("events.jsonl", "golden", True), ("events.jsonl", "golden", False), ("samples/generated.jsonl", "golden_generated", False)],
)
def test_the_index_answers_the_25_queries(
    client: Elasticsearch,
    settings: Settings,
    shared: Path,
    city_database: Path,
    lines: str,
    golden: str,
    admins: bool,
) -> None:
    folder = shared / "dataone"
    source = dataone(
        own_networks=str(folder / "dataone_ips.txt"),
        robot_networks=str(folder / "robot_ips.txt"),
        machine_user_agents=str(folder / "machine_user_agents.txt"),
        robot_user_agents=str(folder / "robot_user_agents.txt"),
        admin_subjects=str(folder / "admin_subjects.txt") if admins else None,
        geoip_city=str(city_database),
    )
    put(client, settings, source, events(source, (folder / lines).read_bytes().splitlines()))
    url, prefix = settings.elasticsearch.url, settings.elasticsearch.index_prefix
    script = [sys.executable, str(folder / "check_queries.py"), "--es", url, "--prefix", prefix, "--set", golden]
    told = subprocess.run(script, capture_output=True, text=True, timeout=100, check=False)
    assert (told.stdout, told.returncode) == (f"PASS 25 queries, 0 differ from {golden}\n", 0)


def test_elasticsearch_sees_the_instants_and_addresses_that_the_parser_sees(client: Elasticsearch, settings: Settings) -> None:
    dates = ["19Z", "19.2Z", "19.29Z", "19.293Z", "19.293999999Z", "19.29+02:00", "19.29-0530"]
    addresses = [
        "192.0.2.1",
        "::ffff:192.0.2.2",
        "2001:0DB8::00AB",
        "fe80::1%eth0",
        "::192.0.2.3",
        "2001:db8:0:1:1:1:1:1",
        "64:ff9b::1.2.3.4",
    ]
    lines = [
        msgspec.json.encode({"id": f"{date} {address}", "dateLogged": f"2018-05-18T23:55:{date}", "ipAddress": address})
        for date in dates
        for address in addresses
    ]
    source = dataone()
    found = events(source, lines)
    put(client, settings, source, found)
    fields = [{"field": "dateLogged", "format": "epoch_millis"}, {"field": "@timestamp", "format": "epoch_millis"}, {"field": "ipAddress"}]
    seen = _hits(client, settings, docvalue_fields=fields)
    assert {id_: hit["fields"] for id_, hit in seen.items()} == {
        event.id: {"dateLogged": [str(event.time)], "@timestamp": [str(event.time)], "ipAddress": [event.client]} for event in found
    }


NO_DATES = ["2018-05-18T23:55:19", "2018-02-30T00:00:00Z", "18/May/2018:23:55:19 +0000", "", "1526687719", 1526687719, {"a": 1}, None]
NO_ADDRESSES = ["", " ", "proxy.example.org", "192.000.2.1", "192.0.2.1 ", "192.0.2.0/24", 7, ["192.0.2.1", "::1"], None]
HOSTILE: list[dict[str, Any]] = [
    *({name: value} for name in ("tags", "beat", "fields", "geoip", "@timestamp", "offset") for value in ("x", 1, {"a": 1}, ["x"], None)),
    *(
        {name: value}
        for name in ("pid", "size", "isRepeatVisit", "readPermission")
        for value in ("x", 1, {"a": 1}, [{"a": 1}], 2**70, True)
    ),
    *({name: 1} for name in ("", " ", ".", ".a", "a.", "a..b", "pid.key", "beat.name", "_id", "_source", "_routing", "x" * 40_000)),
    *({"pid": "x" * length} for length in (8_191, 8_192, 40_000)),
    *({"pid": "\U0001f30d" * 8_191, "subject": "\U0001f30d" * 40_000, "nodeId": "é" * 40_000} for _ in range(1)),
    *({"newField": value} for value in (1, "x", "2018-05-18", True, 1.5, {"a": 1}, [1, "x"], 2**70, [[1]], None)),
    *({f"new{number}": number} for number in range(20)),
]


def test_elasticsearch_takes_every_document(client: Elasticsearch, settings: Settings) -> None:
    records = [*({"dateLogged": date} for date in NO_DATES), *({"ipAddress": address} for address in NO_ADDRESSES), *HOSTILE]
    lines = [
        msgspec.json.encode({"id": f"{number}", "dateLogged": "2018-05-18T23:55:19Z"} | record) for number, record in enumerate(records)
    ]
    source = dataone()
    found = events(source, lines)
    assert len(found) == len(records)
    put(client, settings, source, found)
    undated = {event.id for event in found if event.time is None}
    assert undated == {str(number) for number in range(len(NO_DATES))}
    seen = _hits(client, settings)
    assert seen.keys() == {event.id for event in found}
    assert {id_ for id_, hit in seen.items() if hit["_index"].endswith("eventlog-undated")} == undated


def _hits(client: Elasticsearch, settings: Settings, **body: Any) -> dict[str, Any]:
    answer = client.search(index=f"{settings.elasticsearch.index_prefix}eventlog-*", size=1_000, source=False, **body)
    return {hit["_id"]: hit for hit in answer["hits"]["hits"]}
