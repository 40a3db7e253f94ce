import io

import pytest

from producers.progress import Counts, FileCounts, Progress, clock, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


HALF = Counts(acknowledged=1_500_000, total=3_000_000, records=9_000, files=2)
LONGEST = (FileCounts("/logs/a", 100_000, 1_100_000, 2_100_000), FileCounts("/logs/b", 0, 0, 400_000))


def test_a_pipe_gets_plain_lines_and_only_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("producers.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    progress = Progress(out)
    progress.begin(Counts(500_000, 3_000_000, 0, 2))
    for now[0] in (101.0, 104.0, 110.0, 111.0):
        progress.show(lambda: HALF)
    assert out.getvalue() == " 50% 1.5 MB of 3.0 MB in 2 files, 9,000 records, 0.1 MB/s, 0:10, 0:15 left\n"


def test_the_files_that_have_most_to_go_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("producers.progress.time.monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "100")
    plain, terminal = io.StringIO(), Terminal()
    shown = Progress(plain), Progress(terminal)
    now[0] = 110.0
    for progress in shown:
        progress.show(lambda: HALF._replace(longest=LONGEST))
    assert plain.getvalue().splitlines()[1:] == [
        "  /logs/a: 52% 1.1 MB of 2.1 MB, 0.1 MB/s, 0:10 left",
        "  /logs/b: 0% 0 B of 400.0 kB, 0.0 MB/s",
    ]
    [line] = terminal.getvalue().removeprefix("\r\x1b[K").splitlines()
    assert len(line) == 99, "a line that wraps could not be drawn over"
    assert "left; /logs/a: 52% 1.1 MB" in line


def test_a_terminal_gets_one_line_that_changes() -> None:
    out = Terminal()
    progress = Progress(out)
    progress.show(lambda: HALF)
    progress.end(Counts(3_000_000, 3_000_000, 18_000, 2))
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().count("\r\x1b[K") == 2
    assert "100% 3.0 MB of 3.0 MB" in out.getvalue()


def test_nothing_to_do_is_all_done() -> None:
    out = io.StringIO()
    Progress(out).end(Counts(0, 0, 0, 0))
    assert out.getvalue().startswith("100% 0 B of 0 B")


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (3e12, "3.0 TB")])
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (3725, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert clock(seconds) == text
