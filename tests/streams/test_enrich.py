import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas import sources
from schemas.event import Event, Usual
from schemas.place import Place
from schemas.source import Source, SourceSettings
from streams import enrich
from streams.agents import STOCK_BROWSER
from streams.enrich import Enricher
from tailrace.errors import ConfigError

LISTS = {
    "own_networks": "192.0.2.0/28\n127.0.0.1\n",
    "robot_networks": "192.0.2.8/29\n198.51.100.0/24\n",
    "machine_user_agents": "curl\\/\n^java\\/\n",
    "robot_user_agents": "bot\ncurl\n",
    "admin_subjects": "CN=urn:node:KNB,DC=dataone,DC=org\n",
}


@pytest.fixture
def lists(tmp_path: Path) -> dict[str, str]:
    """Paths of small lists, by the keys of the settings."""
    for name, content in LISTS.items():
        (tmp_path / name).write_text(content)
    return {name: str(tmp_path / name) for name in LISTS}


def dataone(**settings: Any) -> Source:
    return sources.build("dataone", SourceSettings(format="dataone", index="eventlog", **settings))


def document(enricher: Enricher, **fields: Any) -> dict[str, Any]:
    return enricher.enrich(Event("a", 0, None, "read", {"tags": [], "userAgent": STOCK_BROWSER, **fields})).document


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({"ipAddress": "192.0.2.1"}, ["dataone_ip", "ignore_ip"]),
        ({"ipAddress": "::ffff:192.0.2.1"}, ["dataone_ip", "ignore_ip"]),
        ({"ipAddress": "198.51.100.9"}, ["robot_ip", "ignore_ip"]),
        ({"ipAddress": "192.0.2.9"}, ["dataone_ip", "robot_ip", "ignore_ip"]),
        ({"ipAddress": "203.0.113.1"}, []),
        ({"ipAddress": "proxy.example.org"}, []),
        ({"ipAddress": ["192.0.2.1"]}, []),
        ({"ipAddress": "1" * 100_000}, []),
        ({"userAgent": "java/1.8"}, ["machine_ua"]),
        ({"userAgent": "Java/1.8"}, []),
        ({"userAgent": "curl/8.0"}, ["machine_ua", "robot_ua"]),
        ({"userAgent": "Googlebot/2.1"}, ["robot_ua"]),
        ({"userAgent": None}, []),
        ({"userAgent": 7}, []),
        ({"subject": "CN=urn:node:KNB,DC=dataone,DC=org"}, ["d1_admin_subject"]),
        ({"subject": "cn=urn:node:KNB,DC=dataone,DC=org"}, []),
        ({"subject": {}}, []),
        ({"ipAddress": "192.0.2.9", "userAgent": "curl/8.0"}, ["dataone_ip", "robot_ip", "ignore_ip", "machine_ua", "robot_ua"]),
    ],
)
def test_tags(lists: dict[str, str], fields: dict[str, Any], tags: list[str]) -> None:
    enricher = Enricher(dataone(**lists))
    assert document(enricher, **fields)["tags"] == tags
    assert document(enricher, **fields)["tags"] == tags  # the second answer comes from the cache


def test_tags_that_stand_already_are_kept(lists: dict[str, str]) -> None:
    assert document(Enricher(dataone(**lists)), tags=["_dateparsefailure"], userAgent="bot")["tags"] == ["_dateparsefailure", "robot_ua"]


def test_case_may_be_ignored(lists: dict[str, str]) -> None:
    assert document(Enricher(dataone(user_agent_case="insensitive", **lists)), userAgent="Java/1.8")["tags"] == ["machine_ua"]


def test_machine_may_win_over_robot(lists: dict[str, str]) -> None:
    enricher = Enricher(dataone(machine_wins=True, **lists))
    assert document(enricher, userAgent="curl/8.0")["tags"] == ["machine_ua"]
    assert document(enricher, userAgent="Googlebot/2.1")["tags"] == ["robot_ua"]


def test_a_missing_agent_is_matched_as_the_empty_text(lists: dict[str, str]) -> None:
    Path(lists["robot_user_agents"]).write_text("^.?$\n")
    enricher = Enricher(dataone(**lists))
    assert [document(enricher, userAgent=agent)["tags"] for agent in (None, "", "-", "--")] == [["robot_ua"]] * 3 + [[]]


def test_agents_are_looked_for_only_where_they_belong(lists: dict[str, str]) -> None:
    Path(lists["robot_user_agents"]).write_text("^.?$\n")
    enricher = Enricher(replace(dataone(**lists), user_agent_expected=False))
    assert enricher.enrich(Event("a", 0, None, "logout", {"tags": []})).document == {"tags": []}
    assert enricher.enrich(Event("a", 0, None, "login", {"tags": [], "userAgent": ""})).document["tags"] == ["robot_ua"]


def test_without_lists_nothing_is_known() -> None:
    enricher = Enricher(dataone(user_agent_details=False))
    found = document(enricher, ipAddress="127.0.0.1")
    assert found.pop("counter").keys() == {"user", "session", "method", "lists"}
    assert found == {"tags": [], "userAgent": STOCK_BROWSER, "ipAddress": "127.0.0.1"}


def test_what_an_agent_says_stands_beside_it() -> None:
    enricher = Enricher(dataone())
    assert document(enricher)["user_agent"]["name"] == "Chrome"
    assert "user_agent" not in document(enricher, userAgent="")
    assert "user_agent" not in document(Enricher(dataone(user_agent_details=False)))
    login = {"ip": "192.0.2.1", "user_agent": STOCK_BROWSER}
    campus = Enricher(sources.build("ezcast", SourceSettings(format="ezcast")))
    assert campus.enrich(Event("a", 0, None, "login", login)).document["user_agent"] == STOCK_BROWSER


def test_counter_fields_are_those_of_reads_only(lists: dict[str, str]) -> None:
    enricher = Enricher(dataone(**lists))
    assert document(enricher, ipAddress="192.0.2.1")["counter"]["excluded"] == "dataone_ip"
    assert document(enricher, ipAddress="203.0.113.1", userAgent="java/1.8")["counter"]["method"] == "machine"
    assert document(enricher, subject="CN=urn:node:KNB,DC=dataone,DC=org")["counter"]["excluded"] == "admin_subject"
    assert "counter" not in enricher.enrich(Event("a", 0, None, "replicate", {"tags": []})).document
    spellings = [document(enricher, ipAddress=text)["counter"] for text in ("203.0.113.1", "::ffff:203.0.113.1")]
    assert spellings[0] == spellings[1]


@pytest.mark.parametrize("key", LISTS)
def test_the_version_of_the_lists_changes_with_their_entries_alone(lists: dict[str, str], key: str) -> None:
    enricher = Enricher(dataone(**lists))

    def version() -> str:
        enricher.refresh()
        return str(document(enricher)["counter"]["lists"])

    before = version()
    path = Path(lists[key])
    path.write_text("# a comment\n\n" + LISTS[key])
    assert version() == before
    path.write_text("")
    assert version() == before
    path.write_text(LISTS[key] + "203.0.113.99\n")
    assert version() != before
    path.write_text(LISTS[key])
    assert version() == before == document(Enricher(dataone(**lists)))["counter"]["lists"]


def test_the_operator_of_the_network_stands_beside_the_place(asn_database: Path, tmp_path: Path) -> None:
    database = tmp_path / "ASN.mmdb"
    enricher = Enricher(dataone(geoip_asn=str(database)))
    assert "geoip" not in document(enricher, ipAddress="192.0.2.1")
    database.symlink_to(asn_database)
    enricher.refresh()
    assert document(enricher, ipAddress="192.0.2.1")["geoip"] == {"ip": "192.0.2.1", "asn": 64_496, "as_org": "Example University"}
    assert document(enricher, ipAddress="198.51.100.1")["tags"] == []


@pytest.mark.parametrize(
    ("address", "client_class"),
    [
        ("192.0.2.1", "own"),
        ("127.0.0.1", "own"),
        ("127.0.0.2", "private"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("169.254.1.1", "private"),
        ("::1", "private"),
        ("fe80::1", "private"),
        ("fd00::1", "private"),
        ("172.32.0.0", "public"),
        ("203.0.113.1", "public"),
        ("2001:db8::1", "public"),
        ("noip", None),
    ],
)
def test_a_campus_classes_its_clients(lists: dict[str, str], address: str, client_class: str | None) -> None:
    campus = sources.build("ezcast", SourceSettings(format="ezcast", own_networks=lists["own_networks"]))
    found = Enricher(campus).enrich(Event("a", 0, None, "login", {"tags": [], "ip": address})).document
    assert found.get("client_class") == client_class
    assert found["tags"] == []


def empty(file: Path) -> None:
    file.write_text("")


def spoil(file: Path) -> None:
    file.write_text("bot|\n" if "agents" in file.name else "nonsense\n")


def replace_with_crlf(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(b"# new\r\n198.51.100.7\r\nnewbot\r\n" if "agents" in file.name else b"# new\r\n203.0.113.7\r\n")
    new.rename(file)


@pytest.mark.parametrize(("change", "takes"), [(empty, False), (spoil, False), (Path.unlink, False), (replace_with_crlf, True)])
def test_a_list_that_changes_while_running(
    lists: dict[str, str], change: Callable[[Path], None], takes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrich, "LOOK_EVERY_S", 0.0)
    enricher = Enricher(dataone(**lists))

    def tags() -> tuple[bool, ...]:
        old = (
            "dataone_ip" in document(enricher, ipAddress="192.0.2.1")["tags"],
            "robot_ua" in document(enricher, userAgent="Googlebot")["tags"],
        )
        new = (
            "dataone_ip" in document(enricher, ipAddress="203.0.113.7")["tags"],
            "robot_ua" in document(enricher, userAgent="newbot")["tags"],
        )
        return *old, *new

    assert tags() == (True, True, False, True)
    change(Path(lists["own_networks"]))
    change(Path(lists["robot_user_agents"]))
    assert tags() == ((False, False, True, True) if takes else (True, True, False, True))


def test_files_are_looked_at_once_in_a_while(lists: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(enrich.time, "monotonic", lambda: now[0])
    enricher = Enricher(dataone(**lists))
    replace_with_crlf(Path(lists["own_networks"]))
    now[0] += enrich.LOOK_EVERY_S / 2
    assert document(enricher, ipAddress="192.0.2.1")["tags"] == ["dataone_ip", "ignore_ip"]
    now[0] += enrich.LOOK_EVERY_S / 2
    assert document(enricher, ipAddress="192.0.2.1")["tags"] == []


@pytest.mark.parametrize("key", LISTS)
def test_a_missing_list_is_an_error_that_names_the_key(lists: dict[str, str], key: str) -> None:
    Path(lists[key]).unlink()
    with pytest.raises(ConfigError, match=rf"sources\.dataone\.{key} = .*cannot read it"):
        Enricher(dataone(**lists))


def test_a_pattern_that_matches_everybody_is_an_error_that_names_it(lists: dict[str, str]) -> None:
    Path(lists["robot_user_agents"]).write_text("spider\nbot|\n")
    with pytest.raises(ConfigError, match=r"sources\.dataone\.robot_user_agents = .*line 2: the pattern 'bot\|' matches the empty text"):
        Enricher(dataone(**lists))


def test_a_missing_database_is_said_once_and_events_go_on(tmp_path: Path, city_database: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = tmp_path / "City.mmdb"
    with caplog.at_level(logging.INFO):
        enricher = Enricher(dataone(geoip_city=str(database)))
        for _ in range(3):
            enricher.refresh()
            assert document(enricher, ipAddress="128.111.54.80")["tags"] == []
    assert len(caplog.records) == 1
    assert "there is no such file" in caplog.records[0].getMessage()
    database.symlink_to(city_database)
    enricher.refresh()
    assert document(enricher, ipAddress="128.111.54.80")["geoip"]["city_name"] == "Santa Barbara"


def test_no_database_at_all_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        enricher = Enricher(dataone())
        enricher.refresh()
    assert [record.getMessage() for record in caplog.records] == ["sources.dataone.geoip_city is not set: events go without geography"]


@pytest.mark.parametrize("address", ["10.0.0.1", "proxy.example.org", "", None])
def test_what_cannot_be_located_is_tagged(city_database: Path, address: str | None) -> None:
    found = document(Enricher(dataone(geoip_city=str(city_database))), ipAddress=address)
    assert found["tags"] == ["_geoip_lookup_failure"]
    assert "geoip" not in found


@pytest.mark.parametrize(("case", "key"), [("sensitive", "tags"), ("insensitive", "tags_ci")])
@pytest.mark.parametrize("lines", ["events.jsonl", "samples/generated.jsonl"])
def test_real_and_generated_events_have_the_expected_tags_and_geography(
    shared: Path, city_database: Path, lines: str, case: str, key: str
) -> None:
    folder = shared / "dataone"
    source = dataone(
        own_networks=str(folder / "dataone_ips.txt"),
        robot_networks=str(folder / "robot_ips.txt"),
        machine_user_agents=str(folder / "machine_user_agents.txt"),
        robot_user_agents=str(folder / "robot_user_agents.txt"),
        admin_subjects=str(folder / "admin_subjects.txt"),
        geoip_city=str(city_database),
        user_agent_case=case,
    )
    enricher, expected = Enricher(source), _expected(folder / "samples", lines)
    seen = set()
    for line in (folder / lines).read_bytes().splitlines():
        [event] = source.parse(line, Place("f", "h", "p"), 0, None)
        assert isinstance(event, Event)
        wanted, found = expected[event.id], enricher.enrich(event).document
        admin = ["d1_admin_subject"] if wanted.get("admin") else []
        own = [tag for tag in found["tags"] if tag != "d1_admin_subject"] if "admin" not in wanted else found["tags"]
        assert sorted(own) == sorted([*wanted[key], *wanted["failures"], *admin])
        for name, value in wanted.get("geoip", {}).items():
            assert found["geoip"][name] == value
        seen.add(event.id)
    assert seen == set(expected)


def _expected(folder: Path, lines: str) -> dict[str, dict[str, Any]]:
    if lines == "events.jsonl":
        events: dict[str, dict[str, Any]] = json.loads((folder / "events.expected.json").read_text())["events"]
        return events
    return {row["id"]: row for row in map(json.loads, (folder / "generated.expected.jsonl").read_text().splitlines())}


def usual(kind: str, **more: Any) -> Usual:
    return Usual("a", 0, "x", kind, "192.0.2.7", b"{", **more)


def test_an_ending_holds_what_enrichment_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrich, "LOOK_EVERY_S", 0.0)
    robots = tmp_path / "robots.txt"
    robots.write_text("192.0.2.0/24\n")
    enricher = Enricher(sources.build("ezcast", SourceSettings(format="ezcast", robot_networks=str(robots))))
    for tags in (["robot_ip", "ignore_ip"], []):
        ending = enricher.endings()
        assert ending is not None
        for _ in range(2):  # the second answer comes from the cache
            added = enricher.enrich(Event("a", 0, None, "view_help", {"tags": [], "ip": "192.0.2.7"})).document
            assert json.loads(b"{" + ending(usual("view_help"))) | {"ip": "192.0.2.7"} == added
            assert added["tags"] == tags
        robots.write_text("198.51.100.0/24\n")


@pytest.mark.parametrize("kind", ["read", "replicate"])
@pytest.mark.parametrize("agent", ["", STOCK_BROWSER, "curl/8.0", "x" * 3_000 + "bot"])
@pytest.mark.parametrize("subject", [None, "public", "CN=urn:node:KNB,DC=dataone,DC=org"])
def test_an_ending_goes_by_agent_subject_and_kind_too(lists: dict[str, str], kind: str, agent: str, subject: str | None) -> None:
    enricher = Enricher(dataone(**lists))
    ending = enricher.endings()
    assert ending is not None
    record = {"ipAddress": "192.0.2.7", "userAgent": agent, "subject": subject}
    added = enricher.enrich(Event("a", 0, None, kind, {"tags": [], **record})).document
    assert json.loads(b"{" + ending(usual(kind, agent=agent, subject=subject))) | record == added


def test_there_are_no_endings_where_people_are_hidden() -> None:
    hidden = sources.build("ezcast", SourceSettings(format="ezcast", pseudonymize=True))
    assert Enricher(hidden, b"key").endings() is None
