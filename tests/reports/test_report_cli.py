"""`tailrace report` on a real index."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.event import Event
from tests.reports.conftest import MakeStage
from tests.reports.stage import Stage

pytestmark = pytest.mark.servers

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:45.0) Gecko/20100101 Firefox/45.0"
TRACE = f"""\
2016-10-03-08:00:00 | s1 | 10.0.0.1 | ada | 1 | login | Firefox | 45.0 | Linux | {AGENT}
2016-10-03-08:01:00 | s1 | 10.0.0.1 | ada | 3 | video_play_time | INFO-F-101-pub | 2016_09_20_10h00 | Cours 1 | cam | 0 | 30
2016-10-03-08:02:00 | s1 | 10.0.0.1 | ada | 3 | video_play_time | INFO-F-101-pub | 2016_09_20_10h00 | Cours 1 bis | cam | 30 | 30
2016-10-03-09:00:00 | s2 | 10.0.0.2 | nologin | 1 | login_as_anonymous | Chrome | 53.0 | Windows | {AGENT}
2016-10-03-09:01:00 | s2 | 10.0.0.2 | nologin | 3 | video_play_time | INFO-F-102-pub | 2016_09_21_10h00 | Cours 2 | cam | 0 | 12
2016-10-03-23:59:59 | s1 | 10.0.0.1 | ada | 3 | view_help
2016-10-04-00:00:00 | s1 | 10.0.0.1 | ada | 3 | view_help
2016-10-04-00:00:01 | s1 | 10.0.0.1 | ada | 3 | view_help
2016-10-05-10:00:00 | s3 | 10.0.0.3 | ada | 1 | login | Firefox | 45.0 | Linux | {AGENT}
""".encode()


@pytest.fixture
def traced(ezcast: Stage) -> Stage:
    ezcast.process(ezcast.records(ezcast.write("2016-10-03.trace", TRACE)))
    return ezcast


def answer(stage: Stage, *words: str) -> dict[str, Any]:
    done = stage.run("report", *words, "--format", "json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_ezcast_as_json(traced: Stage) -> None:
    assert answer(traced, "ezcast") == {
        "browsers": [
            {"browser": "Firefox", "system": "Linux", "logins": 2, "percent": 66.67},
            {"browser": "Chrome", "system": "Windows", "logins": 1, "percent": 33.33},
        ],
        "browser_totals": [
            {"browser": "Firefox", "logins": 2, "percent": 66.67},
            {"browser": "Chrome", "logins": 1, "percent": 33.33},
        ],
        "system_totals": [
            {"system": "Linux", "logins": 2, "percent": 66.67},
            {"system": "Windows", "logins": 1, "percent": 33.33},
        ],
        "help": [{"day": "2016-10-03", "views": 1}, {"day": "2016-10-04", "views": 2}],
        "videos": [
            {"album": "INFO-F-101-pub", "asset": "2016_09_20_10h00", "title": "Cours 1 bis", "play_time": 60},
            {"album": "INFO-F-102-pub", "asset": "2016_09_21_10h00", "title": "Cours 2", "play_time": 12},
        ],
        "views": [{"album": "INFO-F-101-pub", "asset": "2016_09_20_10h00", "views": 1}],
        "watched": [],  # sums of the stream, which has not run here
        "logins": [{"logins": 3, "login": 2, "login_as_anonymous": 1, "logged_in_users": 1, "anonymous_addresses": 1}],
    }


def test_a_period_is_half_open_in_the_sources_zone(traced: Stage) -> None:
    assert answer(traced, "ezcast", "help", "--from", "2016-10-04") == {"help": [{"day": "2016-10-04", "views": 2}]}
    assert answer(traced, "ezcast", "help", "--to", "2016-10-04") == {"help": [{"day": "2016-10-03", "views": 1}]}
    assert answer(traced, "ezcast", "logins", "--from", "2016-10-05", "--to", "2016-10-06")["logins"][0]["logins"] == 1


def test_csv_is_one_table_for_each_report(traced: Stage) -> None:
    done = traced.run("report", "ezcast", "browsers", "help", "--format", "csv", "--top", "1")
    assert done.stdout == "browser,system,logins,percent\nFirefox,Linux,2,66.67\n\nday,views\n2016-10-03,1\n2016-10-04,2\n"


def test_text_in_a_pipe(traced: Stage) -> None:
    done = traced.run("report", "ezcast", "videos", "--top", "1")
    assert done.stdout == (
        "Most watched videos\n"
        "  album           asset             title        play time\n"
        "  INFO-F-101-pub  2016_09_20_10h00  Cours 1 bis    0:01:00\n"
        "  1 more; --top shows them\n"
    )


def test_events_of_any_source_by_day_and_kind(traced: Stage) -> None:
    rows = answer(traced, "events")["events"]
    assert sum(row["events"] for row in rows) == 9
    assert rows[-1] == {"day": "2016-10-05", "kind": "login", "events": 1}
    assert {"day": "2016-10-04", "kind": "view_help", "events": 2} in rows


def test_events_of_a_source_of_ones_own(stage: MakeStage) -> None:
    shop = stage(shop={"format": "json", "paths": [], "time": "at", "kind": "what", "id": "id"})
    path = shop.write("shop.log", b'{"id":"1","at":"2024-03-01T10:00:00Z","what":"sale"}\n{"id":"2","at":"2024-03-01T11:00:00Z"}\n')
    shop.process(shop.records(path))
    assert answer(shop, "events", "--source", "shop") == {
        "events": [{"day": "2024-03-01", "kind": None, "events": 1}, {"day": "2024-03-01", "kind": "sale", "events": 1}]
    }


def test_events_without_a_time_have_no_day_and_are_in_no_period(dataone: Stage) -> None:
    path = dataone.write("d1.log", b'{"id":"1","event":"read","dateLogged":"2018-05-18T10:00:00Z"}\n{"id":"2","event":"read"}\n')
    dataone.process(dataone.records(path))
    dated = {"day": "2018-05-18", "kind": "read", "events": 1}
    assert answer(dataone, "events") == {"events": [{"day": None, "kind": "read", "events": 1}, dated]}
    assert answer(dataone, "events", "--from", "2018-01-01") == {"events": [dated]}


def test_an_empty_index_is_said_and_no_error(ezcast: Stage) -> None:
    done = ezcast.run("report", "ezcast", "--format", "json")
    assert done.exit_code == 0
    assert set(map(json.dumps, json.loads(done.stdout).values())) == {"[]"}
    assert "no events of ezcast in the index" in done.stderr
    done = ezcast.run("report", "ezcast", "videos")
    assert (done.exit_code, done.stdout) == (0, "Most watched videos\n  none\n")


def test_more_groups_than_a_page_holds_are_all_counted(traced: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer(traced, "ezcast")
    monkeypatch.setattr("reports.queries.PAGE", 1)
    monkeypatch.setattr("reports.queries.MOST", 1)
    assert answer(traced, "ezcast") == whole


def test_the_title_of_the_last_play_counts_however_long_ago(ezcast: Stage) -> None:
    def play(day: str, album: str, asset: str, *title: str) -> str:
        return " | ".join([f"{day}-08:00:00", "s1", "10.0.0.1", "ada", "3", "video_play_time", album, asset, *title, "cam", "0", "30"])

    lines = [
        play("2016-10-20", "A", "1", "last"),
        play("2016-10-14", "A", "1", "last but one"),
        play("2016-10-14", "B", "1", "of a week ago"),
        play("2016-03-01", "B", "1", "of spring"),
        play("2016-03-01", "B", "2", "not seen since"),
    ]
    ezcast.process(ezcast.records(ezcast.write("2016-10-20.trace", "".join(f"{line}\n" for line in lines).encode())))
    titles = {(row["album"], row["asset"]): row["title"] for row in answer(ezcast, "ezcast", "videos")["videos"]}
    assert titles == {("A", "1"): "last", ("B", "1"): "of a week ago", ("B", "2"): "not seen since"}


def test_people_are_counted_once_for_each_video_that_they_viewed(ezcast: Stage) -> None:
    def view(id: str, netid: str | list[str], asset: str = "1", play_time: int = 70) -> None:
        summed = {"album": "A", "asset": asset, "netid": netid, "play_time": play_time, "viewed": play_time >= 60}
        ezcast.put(f"ezcast-views-2016.{4 + len(id)}", id, {**summed, "@timestamp": "2016-04-05T00:00:00.000Z", "day": "2016-04-05"})

    ezcast.put("ezcast-2016.04", "1", {"@timestamp": "2016-04-05T00:00:00.000Z"})
    view("a", "ada")
    view("bb", "ada")
    view("c", ["nologin", "grace"])
    view("d", "alan", play_time=59)
    view("e", "nologin", asset="2")
    rows = answer(ezcast, "ezcast", "watched")["watched"]
    assert [(row["asset"], row["views"], row["viewers"], row["play_time"]) for row in rows] == [("1", 3, 2, 269), ("2", 1, 0, 70)]
    done = ezcast.run("report", "ezcast", "watched", "--format", "csv", "--top", "1")
    assert done.stdout.splitlines()[1] == "A,1,,3,2,269"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataone"], "no source of format dataone is configured; configured: ezcast"),
        (["ezcast", "--source", "other"], "other is not among the sources it can be: ezcast"),
        (["ezcast", "lunches"], "'lunches' is not one of"),
        (["ezcast", "--from", "yesterday"], "does not match the format '%Y-%m-%d'"),
        (["ezcast", "--from", "2016-01-02", "--to", "2016-01-02"], "is not after --from"),
        (["ezcast", "--top", "0"], "--top"),
    ],
)
def test_what_cannot_be_asked_is_refused(ezcast: Stage, words: list[str], said: str) -> None:
    done = ezcast.run("report", *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_indices_of_a_source_whose_name_begins_alike_are_left_out(stage: MakeStage) -> None:
    both = stage(**{name: {"format": "json", "paths": [], "id": "id"} for name in ("shop", "shop-test")})
    both.put("shop-2024.03", "1", {"@timestamp": "2024-03-01T10:00:00Z"})
    both.put("shop-test-2024.03", "2", {"@timestamp": "2024-03-02T10:00:00Z"})
    assert [row["day"] for row in answer(both, "events", "--source", "shop")["events"]] == ["2024-03-01"]
    assert [row["day"] for row in answer(both, "events", "--source", "shop-test")["events"]] == ["2024-03-02"]


def test_ezcasts_own_samples_give_its_own_statistics(ezcast: Stage, shared: Path) -> None:
    samples = shared / "ezcast" / "samples"
    for trace in sorted(samples.glob("*.trace")):
        ezcast.process(ezcast.records(trace))
    right = json.loads((samples / "statistics.json").read_text())
    found = answer(ezcast, "ezcast")
    assert [(row["browser"], row["system"], row["logins"]) for row in found["browsers"]] == [
        (row["browser"], row["os"], row["logins"]) for row in right["all_time"]["browser_os"]
    ]
    assert {row["browser"]: row["logins"] for row in found["browser_totals"]} == right["all_time"]["browsers"]
    assert {row["system"]: row["logins"] for row in found["system_totals"]} == right["all_time"]["systems"]
    assert {row["day"]: row["views"] for row in found["help"]} == right["help_page_views_per_day"]
    videos = [{name: row[name] for name in ("album", "asset", "play_time")} for row in found["videos"]]
    assert videos == right["top_play_time"]
    views = {(row["album"], row["asset"]): row["views"] for row in found["views"]}
    assert views == {(row["album"], row["asset"]): row["views"]["total"] for row in right["assets"] if row["views"]["total"]}
    for period, figures in {"2000-01-01..2029-12-31": right["all_time"], **right["periods"]}.items():
        first, last = period.split("..")
        (row,) = answer(ezcast, "ezcast", "logins", "--from", first, "--to", _next_day(last))["logins"]
        assert row["logins"] == figures["logins"], period
        assert row["logged_in_users"] == figures["logged_in_users"], period
        assert row["anonymous_addresses"] == figures["anonymous_users"], period


def test_dataones_generated_events_give_the_answers_of_its_own_queries(dataone: Stage, shared: Path) -> None:
    folder = shared / "dataone"
    expected = {row["id"]: row for row in map(json.loads, (folder / "samples/generated.expected.jsonl").read_text().splitlines())}
    golden = {
        query["id"]: query["golden_generated"] for query in json.loads((folder / "queries.json").read_text()) if "golden_generated" in query
    }
    outcomes = dataone.parse(dataone.records(folder / "samples" / "generated.jsonl"))
    numbers = {session: number for number, session in enumerate(sorted({str(row["session"]) for row in expected.values()}), 1)}
    events = []
    for _, event in outcomes:
        assert isinstance(event, Event)
        row = expected[event.id]
        event.document["tags"] += row["tags"]  # without d1_admin_subject, as the answers were made
        if row["session"] is not None:
            event.document["sessionId"] = -1 if row["session"] == "-1" else numbers[row["session"]]
        events.append(event)
    dataone.index(events)

    may = answer(dataone, "dataone", "usage", "countries", "--from", "2012-01-01", "--to", "2018-06-01")
    by_pid: dict[str, int] = {}
    for row in may["usage"]:
        by_pid[row["data_set"]] = by_pid.get(row["data_set"], 0) + row["views"] + row["downloads"]
    right = {pid: count for _, pid, count in golden["q17_dataset_landing"]["/aggregations/package_pid_list/buckets#filters"]}
    assert {pid: by_pid[pid] for pid in right} == right
    assert by_pid["knb.92020.1"] == 28, "q18, ds2"
    assert sum(row["reads"] for row in may["countries"]) == sum(by_pid.values())

    everything = answer(dataone, "dataone")
    assert [(row["sessions"], row["events"]) for row in everything["session_totals"]] == [
        (golden["q16_sessions"]["/aggregations/group_by_session/buckets#count"], 529 - _without_session(events))
    ]
    assert sum(row["sessions"] for row in everything["sessions"]) == everything["session_totals"][0]["sessions"]


@pytest.mark.parametrize("words", ["report events", "audit", "sessions repair --dry-run"])
def test_a_closed_index_is_named_since_no_search_sees_it(traced: Stage, words: str, caplog: pytest.LogCaptureFixture) -> None:
    closed = f"{traced.prefix}ezcast-2016.10"
    traced.client.indices.close(index=closed)
    traced.run(*words.split(), "--source", "ezcast")
    assert f"whose documents are not seen (`POST /NAME/_open` opens one): {closed}" in caplog.text


def _without_session(events: list[Event]) -> int:
    """People's reads with session -1: the query counts them as hits and leaves them out of its groups."""
    skipped = {"ignore_ip", "machine_ua", "robot_ua", "dataone_ip", "robot_ip", "d1_admin_subject"}
    return len({event.id for event in events if event.document.get("sessionId") == -1 and not skipped & set(event.document["tags"])})


def _next_day(day: str) -> str:
    return str(date.fromisoformat(day) + timedelta(days=1))


@pytest.mark.servers
def test_a_view_with_two_titles_is_one_view(ezcast: Stage) -> None:
    view = {"album": "A", "asset": "1", "netid": "ada", "play_time": 70, "viewed": True}
    for day, title in (("2016-04-05", ["old", "new"]), ("2016-04-06", "new")):
        ezcast.put("ezcast-views-2016.04", day, {**view, "@timestamp": f"{day}T00:00:00.000Z", "day": day, "asset_name": title})
    found = ezcast.run("report", "ezcast", "watched", "--format", "json")
    assert found.exit_code == 0, found.output
    (row,) = json.loads(found.stdout)["watched"]
    assert (row["title"], row["views"], row["play_time"]) == ("new", 2, 140)
