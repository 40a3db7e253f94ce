"""The demo's writer: what stands in the files at the end is what the ledger says, through rotations and half lines."""

import re
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from demo import writer
from demo.ledger import Entry, Ledger, load
from demo.lines import Line
from demo.truth import differences
from demo.writer import Logs, main
from reports.findings import FileAudit, SourceAudit


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "HALF_LINE_S", (0.0, 0.0))
    monkeypatch.setattr(writer, "PAUSE_S", 0.0)


def write(folder: Path) -> Ledger:
    result = CliRunner().invoke(main, [str(folder), "--seconds", "1"])
    assert result.exit_code == 0, result.output
    return load(folder / writer.LEDGER)


@pytest.mark.usefixtures("quick")
def test_files_hold_what_the_ledger_says(tmp_path: Path) -> None:
    ledger = write(tmp_path)
    assert ledger.finished
    assert ledger.total().records == ledger.planned
    assert {path: (tmp_path / path).stat().st_size for path in ledger.files} == {path: entry.bytes for path, entry in ledger.files.items()}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")} == set(ledger.files)


@pytest.mark.usefixtures("quick")
def test_the_event_log_is_rotated_twice_without_a_broken_line(tmp_path: Path) -> None:
    write(tmp_path)
    logs = sorted((tmp_path / writer.EVENTS).iterdir())
    assert [log.name for log in logs] == ["d1logagg.log", "d1logagg.log.1", "d1logagg.log.2"]
    broken = [line for log in logs for line in log.read_bytes().splitlines() if not re.fullmatch(rb'\{.*\}|\["no", "event"\]', line)]
    assert len(broken) == 1  # the one that was written broken


@pytest.mark.usefixtures("quick")
def test_it_refuses_to_write_twice(tmp_path: Path) -> None:
    write(tmp_path)
    result = CliRunner().invoke(main, [str(tmp_path)])
    assert result.exit_code == 1
    assert "written to before" in result.output


def test_a_torn_line_is_cut_before_its_first_line_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a reader could take the first physical line of an event for all of it."""
    halves: list[bytes] = []
    log = tmp_path / "traces" / "a.trace"
    monkeypatch.setattr("demo.writer.time.sleep", lambda _: halves.append(log.read_bytes()))
    logs = Logs(tmp_path, Ledger(), Random(1))
    for _ in range(50):
        logs.append([Line(0.0, "a.trace", b"begin\r\nend\n")], torn=True)
    logs.close()
    whole = b"begin\r\nend\n"
    assert log.read_bytes() == whole * 50
    for count, half in enumerate(halves):
        rest = half.removeprefix(whole * count)
        assert rest
        assert b"\n" not in rest


def audit(*, events: int, repeated: int, indexed: int) -> list[SourceAudit]:
    file = FileAudit(
        path="/logs/traces/a.trace",
        file="f",
        host="h",
        on_disk=True,
        bytes=10,
        records=5,
        dead=1,
        events=events,
        repeated_events=repeated,
        indexed=indexed,
    )
    nothing = dict.fromkeys(("foreign", "no_place", "unreadable", "deleted_records", "not_harvested"), 0)
    return [SourceAudit(source="ezcast", clean=True, files=[file], totals={}, problems=[], **nothing)]


def test_the_truth_is_compared_file_by_file() -> None:
    folder = Path("/logs")
    ledger = Ledger(files={"traces/a.trace": Entry(bytes=10, records=5, events=3, repeats=1, dead=1)})
    assert differences(ledger, folder, audit(events=3, repeated=1, indexed=3)) == []
    assert differences(ledger, folder, audit(events=2, repeated=2, indexed=3)) == []
    assert differences(ledger, folder, audit(events=2, repeated=1, indexed=2)) == [
        "traces/a.trace: 4 events with repeats written, 3 audited",
        "all files: 3 events written, 2 audited",
    ]
    assert differences(ledger, folder, [])[0] == "traces/a.trace: written, but not audited"
    assert differences(Ledger(), folder, audit(events=0, repeated=0, indexed=0)) == ["traces/a.trace: the writer knows nothing of it"]
