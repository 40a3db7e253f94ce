"""What goes wrong on real machines: said in one line, or kept as a dead letter; neighbours go on."""

import os
from pathlib import Path

import pytest

from schemas.place import split_key
from tests.system.conftest import MakePipeline, ezcast
from tests.system.test_ezcast import SMALL_TRACE

pytestmark = [pytest.mark.servers, pytest.mark.timeout(200)]

EVENTS_OF_SMALL_TRACE = 9


def test_an_empty_folder_is_no_error(pipeline: MakePipeline, logs: Path) -> None:
    run = pipeline(ezcast=ezcast(logs))
    done = run.run("ship", "--once")
    assert "*.trace" in done.stdout + done.stderr


def test_garbage_and_oversized_lines_are_dead_letters_and_neighbours_arrive(pipeline: MakePipeline, logs: Path) -> None:
    (logs / "2016-10-03.trace").write_bytes(SMALL_TRACE)
    garbage = bytes(range(256)).replace(b"\n", b"") * 50 + b"\n" + b"\x00\xff\xfe\n"
    (logs / "garbage.trace").write_bytes(garbage)
    long = b"2016-10-04-08:00:00 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 0 | contact_send |  | Q | "
    head = b"2016-10-04-08:00:00 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 3 | view_help\n"
    tail = b"2016-10-04-08:00:09 | abcdefghijklmnopqrstuvwxyz | 164.15.1.1 | student001 | 3 | view_help\n"
    (logs / "2016-10-04.trace").write_bytes(head + long + b"x" * 1_500_000 + b"\n" + long + b"y" * 20_000_000 + b"\n" + tail)
    run = pipeline(ezcast=ezcast(logs))
    run.backfill()
    documents = run.documents("ezcast")
    by_file = {name: [d for d in documents.values() if d["source"].endswith(name)] for name in ("10-03.trace", "10-04.trace")}
    assert len(by_file["10-03.trace"]) == EVENTS_OF_SMALL_TRACE
    assert sorted(d["action"] for d in by_file["10-04.trace"]) == ["contact_send", "view_help", "view_help"]
    assert len(next(d for d in by_file["10-04.trace"] if d["action"] == "contact_send")["message"]) == 1_500_000
    reasons = sorted((Path(split_key(letter.key)[0].path).name, letter.reason) for letter in run.dead("ezcast"))
    assert reasons == [
        ("2016-10-03.trace", "too_few_columns"),
        ("2016-10-04.trace", "record_too_large"),
        ("garbage.trace", "orphan_continuation"),
        ("garbage.trace", "orphan_continuation"),
    ]
    assert run.audit()["clean"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything: the producers' tests drop privileges for this")
def test_an_unreadable_file_is_said_and_its_neighbours_arrive(pipeline: MakePipeline, logs: Path) -> None:
    (logs / "2016-10-03.trace").write_bytes(SMALL_TRACE)
    closed = logs / "closed.trace"
    closed.write_bytes(SMALL_TRACE)
    closed.chmod(0)
    run = pipeline(ezcast=ezcast(logs))
    done = run.run("ship", "--once", check=False)
    assert done.returncode == 1
    assert "closed.trace" in done.stderr
    closed.chmod(0o600)


@pytest.mark.parametrize("role", [["ship", "--once"], ["stream", "parse"], ["stream", "sessionize"], ["sink"], ["run", "--once"]])
def test_no_kafka_is_one_line_and_exit_69(pipeline: MakePipeline, logs: Path, role: list[str]) -> None:
    run = pipeline(ezcast=ezcast(logs))
    done = run.run(*role, "--wait", "0s", check=False, TAILRACE_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 69, done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1, done.stderr


@pytest.mark.parametrize("role", [["sink"], ["report", "ezcast"], ["audit"], ["run", "--once"]])
def test_no_elasticsearch_is_one_line_and_exit_69(pipeline: MakePipeline, logs: Path, role: list[str]) -> None:
    run = pipeline(ezcast=ezcast(logs))
    done = run.run(*role, "--wait", "0s", check=False, TAILRACE_ELASTICSEARCH_URL="http://127.0.0.1:1")
    assert done.returncode == 69, done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1, done.stderr
