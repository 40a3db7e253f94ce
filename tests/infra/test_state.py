from pathlib import Path

import pytest

from infra import state
from infra.processes import Process
from infra.state import State
from tailrace.errors import TailraceError

STARTED = State(
    way="java",
    bootstrap_servers="127.0.0.1:9092",
    url="http://127.0.0.1:9200",
    place="/somewhere",
    processes=[Process("Kafka", 4711, "boot:1", "/somewhere/server.log")],
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    state.write(folder, STARTED)
    assert state.read(folder) == STARTED
    assert [path.name for path in folder.iterdir()] == ["servers.json"]


def test_nothing_started_is_no_error(tmp_path: Path) -> None:
    assert state.read(tmp_path / "absent") is None
    state.write(tmp_path, STARTED)
    state.forget(tmp_path)
    state.forget(tmp_path)
    assert state.read(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"{}", b'{"way": "by hand"}', b"\xff"])
def test_a_file_that_is_not_ours_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    state.file(tmp_path).write_bytes(content)
    with pytest.raises(TailraceError, match=r"servers\.json does not say what was started.*then delete it"):
        state.read(tmp_path)
