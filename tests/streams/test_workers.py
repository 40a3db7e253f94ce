"""The two workers on a real Kafka: nothing missing, sessions right, whatever dies."""

import random
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest
from click import echo

from schemas.envelope import SessionSummary
from schemas.session import session_id
from streams.members import Member
from tailrace import kafka
from tailrace.errors import TooManyDead
from tests.helpers import eventually
from tests.streams.cluster import Click, Cluster, lines
from tests.streams.test_sessions import oracle, summaries

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

T0 = 1_525_132_800_000
MINUTE = 60_000
WITHIN_S = 60.0
"""Long enough for the group to give up a worker that was killed, on a busy machine."""


def clicks(count: int, seed: int, clients: int = 300) -> list[Click]:
    """Two days of `clients`, shuffled within an hour, a tenth of them hours late, a tenth twice."""
    draw = random.Random(seed)
    made = [
        Click(f"click-{seed}-{number:06}", T0 + draw.randrange(0, 2 * 24 * 60) * MINUTE, f"client {draw.randrange(clients)}")
        for number in range(count)
    ]
    arrival = {click.id: click.time + draw.choice([0] * 9 + [30 * 60 * MINUTE]) + draw.randrange(60) * MINUTE for click in made}
    return sorted([*made, *draw.sample(made, count // 10)], key=lambda click: arrival[click.id])


def expected(events: list[Click]) -> tuple[dict[str, int | None], dict[int, SessionSummary]]:
    """The session of each event and the sessions' summaries, by a sorted scan."""
    members: dict[str, set[Member]] = defaultdict(set)
    for click in events:
        members[click.who].add((click.time, click.id))
    ids: dict[str, int | None] = {}
    sessions: dict[int, SessionSummary] = {}
    for who, found in members.items():
        starts = oracle(found)
        ids |= {event: session_id(who, start) for (_, event), start in starts.items()}
        for session in summaries(starts).values():
            identity = session_id(who, session.start)
            sessions[identity] = SessionSummary(identity, who, *session[:3])
    return ids, sessions


def test_parse_passes_events_on_and_buries_what_cannot_be_named(cluster: Cluster) -> None:
    good = Click("good", T0, "somebody")
    large = Click("large", T0, "somebody", "x" * 3_000_000)
    early = Click("early", 1_000_000_000_000, "somebody")
    late = Click("late", 4_000_000_000_000, "somebody")
    long_client = Click("long-client", T0, "w" * 2_000)
    records = [good.line(), b"{garbage \x00\xff", early.line(), late.line(), large.line(), long_client.line()]
    cluster.publish("clicks", [*lines("a", records), (b"no place", b"x", 0), (b"", b"y", 0)])
    with cluster.worker("parse", "--source", "clicks"):
        eventually(lambda: cluster.done("parse", "clicks"), "everything is parsed", WITHIN_S)
    events = cluster.events("clicks")
    assert set(events) == {"good", "large"}
    assert (events["good"].time, events["good"].client, events["good"].session) == (T0, "somebody", None)
    assert cluster.dead("clicks") == sorted(
        [
            ("client_too_long", long_client.line()),
            ("foreign_key", b"x"),
            ("foreign_key", b"y"),
            ("implausible_time", early.line()),
            ("implausible_time", late.line()),
            ("not_json", records[1]),
        ]
    )


def test_a_broken_release_stops_before_it_buries_a_topic_and_a_file_of_garbage_does_not(cluster: Cluster) -> None:
    cluster.publish("clicks", lines("garbage", [b"not json %d" % number for number in range(3_000)]))
    cluster.publish("clicks", lines("good", [Click("a", T0, "somebody").line()]))
    with cluster.worker("parse", "--source", "clicks"):
        eventually(lambda: cluster.done("parse", "clicks"), "a file of garbage is dead letters", WITHIN_S)
    assert len(cluster.dead("clicks")) == 3_000
    for file in range(8):
        cluster.publish("clicks", lines(f"file-{file}", [b"another format %d" % number for number in range(1_500)]))
    with cluster.worker("parse", "--source", "clicks") as worker:
        assert worker.end() == TooManyDead.exit_code
    assert "max_dead_share" in worker.said.splitlines()[-1]
    assert not cluster.done("parse", "clicks"), "what it stopped at is read again"


@pytest.mark.parametrize(("role", "out"), [("parse", "events"), ("sessionize", "enriched")])
def test_a_record_that_kafka_refuses_stops_the_worker_before_its_offset(cluster: Cluster, role: str, out: kafka.Kind) -> None:
    """Going on would lose it; ending with an error has somebody look, and the record is read again."""
    made = [Click("small", T0, "somebody"), Click("large", T0, "somebody", random.Random(5).randbytes(5_000).hex())]
    cluster.publish("clicks", lines("file", (click.line() for click in made)))
    cluster.add_events(made if role == "sessionize" else [])
    refusing = cluster.topic("clicks", out)
    cluster.configure(refusing, "max.message.bytes", "2000")
    with cluster.worker(role, "--source", "clicks") as worker:
        assert worker.end() == 1
    assert "error: Kafka did not take" in worker.said.splitlines()[-1]
    assert "Traceback" not in worker.said
    assert sum(cluster.committed(role, "clicks")) == 0
    cluster.configure(refusing, "max.message.bytes", "200000")
    with cluster.worker(role, "--source", "clicks"):
        eventually(lambda: cluster.done(role, "clicks"), "it goes on when Kafka takes it", WITHIN_S)
    assert set(cluster.events("clicks") if role == "parse" else cluster.sessions("clicks")[0]) == {"small", "large"}


def test_both_roles_and_all_sources_run_under_one_supervisor(cluster: Cluster) -> None:
    cluster.publish("clicks", lines("file", [Click("a", T0, "somebody").line()]))
    cluster.publish("ezcast", lines("trace", [b"2016-10-30-12:00:00 | one | 192.0.2.1 | nologin | 3 | login"]))
    with cluster.worker():
        for source in ("clicks", "ezcast"):
            eventually(lambda: sum(cluster.ends(cluster.topic(source, "enriched"))) > 0, f"{source} has a session", WITHIN_S)  # noqa: B023
    assert cluster.sessions("clicks")[0] == {"a": session_id("somebody", T0)}
    assert cluster.sessions("ezcast")[0] == {"trace-0": session_id("one", 1_477_825_200_000)}


def test_offsets_are_committed_within_seconds_of_the_last_record(cluster: Cluster) -> None:
    """A backfill ends when the committed offsets have reached the ends, so a trickle must not wait for a full batch."""
    with cluster.worker("parse", "--source", "clicks"):
        for number in range(3):
            cluster.publish("clicks", lines(f"file {number}", [Click(str(number), T0, "somebody").line()]))
            eventually(lambda: cluster.done("parse", "clicks"), "one record is committed", 20 if number == 0 else 5)


@pytest.mark.faults
def test_killed_workers_lose_nothing_and_sessions_follow_from_the_set(cluster: Cluster) -> None:
    made = clicks(30_000, seed=1)
    for number in range(8):
        cluster.publish("clicks", lines(f"file {number}", (click.line() for click in made[number::8])))
    for role, out in (("parse", "events"), ("sessionize", "enriched")):
        _kill_in_mid_flow(cluster, role, cluster.topic("clicks", out), len(made) // 20)  # type: ignore[arg-type]
        _kill_in_mid_flow(cluster, role, cluster.topic("clicks", out), len(made) // 3)  # type: ignore[arg-type]
        with cluster.worker(role, "--source", "clicks"):
            eventually(lambda: cluster.done(role, "clicks"), f"{role} has finished", WITHIN_S)  # noqa: B023
    assert set(cluster.events("clicks")) == {click.id for click in made}
    assert cluster.dead("clicks") == []
    assert cluster.sessions("clicks") == expected(made)


def _kill_in_mid_flow(cluster: Cluster, role: str, out: str, outputs: int) -> None:
    """Start a worker and kill it when it has sent so many outputs."""
    before = sum(cluster.ends(out))
    with cluster.worker(role, "--source", "clicks") as worker:
        eventually(lambda: sum(cluster.ends(out)) > before + outputs, f"{role} is under way", WITHIN_S)
        worker.kill()
    assert not cluster.done(role, "clicks"), "it was killed too late to prove anything"


@pytest.mark.faults
@pytest.mark.parametrize("cluster", [8], indirect=True)
def test_four_workers_that_come_and_are_killed_at_random_give_the_sessions_of_the_set(
    cluster: Cluster, pytestconfig: pytest.Config
) -> None:
    draw = random.Random(pytestconfig.getoption("--seed"))
    killed, made = 0, clicks(40_000, seed=11)
    size = len(made) // 8
    parts = [made[begin : begin + size] for begin in range(0, len(made), size)]
    enriched = cluster.topic("clicks", "enriched")
    with ExitStack() as stack:
        workers = [stack.enter_context(cluster.worker("sessionize", "--source", "clicks")) for _ in range(4)]
        for part in parts:
            wanted = sum(cluster.ends(enriched)) + draw.randrange(len(part))
            cluster.add_events(part)
            eventually(lambda: sum(cluster.ends(enriched)) > wanted, "they are under way", WITHIN_S)  # noqa: B023
            for victim in draw.sample(workers, draw.choice([0, 0, 1, 2])):
                victim.kill()
                workers.remove(victim)
                killed += 1
            while len(workers) < draw.randint(2, 4):
                workers.append(stack.enter_context(cluster.worker("sessionize", "--source", "clicks")))
        eventually(lambda: cluster.done("sessionize", "clicks"), "those that are left finish", WITHIN_S)
        assert all(worker.process.poll() is None for worker in workers), "nobody ends whom nobody kills"
    assert cluster.sessions("clicks") == expected(made)
    patches = cluster.patches("clicks")
    echo(f"{killed} workers killed; {patches} for {len(made):,} events")
    assert patches.written == patches.changed, "not one patch that says nothing new, kills or not"
    assert patches.written <= 1.1 * patches.least, "1.09 times as many where each event is a batch of its own"


def test_a_worker_started_in_the_repeated_hour_looks_back(cluster: Cluster) -> None:
    """02:00 to 02:59 of 2016-10-30 occur twice in Brussels; which one a line means, earlier lines say."""

    def trace(stamp: str) -> bytes:
        return f"2016-10-30-{stamp} | session | 192.0.2.1 | nologin | 3 | login".encode()

    before = [f"0{hour}:{minute:02}:00" for hour in (1, 2) for minute in range(0, 60, 10)]
    second_pass = [f"02:{minute:02}:30" for minute in range(0, 60, 10)]
    other = [trace("02:30:00") for _ in range(3_000)]
    records = list(lines("trace", [trace(stamp) for stamp in [*before, *second_pass]]))
    cut = len(before) + 2
    same_partition = [(key, value, records[0][2]) for key, value, _ in lines("other", other)]
    with cluster.worker("parse", "--source", "ezcast"):
        cluster.publish("ezcast", [*records[:cut], *same_partition])
        eventually(lambda: cluster.done("parse", "ezcast"), "the first part is parsed", WITHIN_S)
    with cluster.worker("parse", "--source", "ezcast"):
        cluster.publish("ezcast", records[cut:])
        eventually(lambda: cluster.done("parse", "ezcast"), "the rest is parsed", WITHIN_S)
    found = {event.id: event.time for event in cluster.events("ezcast").values() if event.id.startswith("trace-")}
    times = [time for _, time in sorted(found.items(), key=lambda item: int(item[0].rpartition("-")[2]))]
    assert times == sorted(times, key=lambda time: time or 0)
    assert len(times) == len(records)


def test_without_kafka_it_says_so_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "tailrace.toml"
    config.write_text('[kafka]\nbootstrap_servers = "127.0.0.1:1"\n')
    done = subprocess.run(
        [sys.executable, "-m", "tailrace.cli", "--config", str(config), "stream", "parse", "--wait", "0s"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 69
    assert [line for line in done.stderr.splitlines() if line.startswith("error:")] == done.stderr.splitlines()[-1:]
    assert "Kafka does not answer at 127.0.0.1:1" in done.stderr
