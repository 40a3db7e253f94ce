"""Going back to where a record begins; and the command."""

import os
import re
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from producers import content, rewind
from producers.checkpoint import Store, peek
from schemas.place import split_key
from tailrace.cli import main
from tailrace.settings import Settings
from tests.helpers import read_topic
from tests.producers.conftest import START, event
from tests.producers.test_cli import configure, ship

LINES = st.lists(st.sampled_from([event(1), event(2, "y" * 30), b"continued\n", b"\n", b"|\n"]), max_size=12)


@pytest.mark.parametrize("start", [None, START])
@given(lines=LINES, torn=st.sampled_from([b"", b"2016-", event(3)[:-1]]), data=st.data(), block=st.integers(1, 40))
def test_the_start_is_the_last_at_or_before_the_offset(
    tmp_path_factory: pytest.TempPathFactory,
    start: re.Pattern[bytes] | None,
    lines: list[bytes],
    torn: bytes,
    data: st.DataObject,
    block: int,
) -> None:
    whole = b"".join(lines) + torn
    path = tmp_path_factory.getbasetemp() / f"rewind-{os.getpid()}.log"
    path.write_bytes(whole)
    offset = data.draw(st.integers(0, len(whole)))
    begins = [0] + [at.end() for at in re.finditer(rb"\n", whole)]
    expected = max(begin for begin in begins if begin <= offset and (begin == 0 or start is None or start.match(whole, begin)))
    patch = pytest.MonkeyPatch()
    with closing(content.open_file(path)) as opened, patch.context() as patched:
        patched.setattr(rewind, "_BLOCK_BYTES", block)
        if start is None or block >= 40:  # a line is judged by what follows it: a block holds more than a record's start
            assert rewind.record_start(opened, offset, start) == expected


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), *words])


@pytest.mark.servers
def test_records_from_there_on_are_sent_again_under_the_same_keys(tmp_path: Path, settings: Settings) -> None:
    config, path = configure(tmp_path, settings), tmp_path / "logs" / "a.trace"
    path.write_bytes(b"".join(map(event, range(5))))
    assert ship(config, "--once").exit_code == 0
    done = run(config, "rewind", str(path), "--to", str(2 * len(event(0)) + 7))
    assert done.exit_code == 0, done.output
    assert f"going back to its start\n{path}: back from byte 140 to byte 56; 84 B will be sent again" in done.stdout
    assert ship(config, "--once").exit_code == 0
    keys = [record.key or b"" for record in read_topic(settings, "ezcast", "raw")]
    assert sorted(split_key(key)[1] for key in keys) == [0, 28, 56, 56, 84, 84, 112, 112]
    assert len(set(keys)) == 5


@pytest.mark.servers
def test_what_cannot_be_rewound_is_refused_and_nothing_changes(tmp_path: Path, settings: Settings) -> None:
    config, path = configure(tmp_path, settings), tmp_path / "logs" / "a.trace"
    path.write_bytes(event(1))
    assert ship(config, "--once").exit_code == 0
    (tmp_path / "logs" / "new.trace").write_bytes(event(9))
    before = peek(tmp_path / "state" / "ship")
    for words, answer in (
        ((str(path), "--to", "29"), "acknowledged up to byte 28 only"),
        ((str(tmp_path / "gone.trace"),), "gone.trace does not exist"),
        ((str(config),), "is named by no source's paths"),
        ((str(tmp_path / "logs" / "new.trace"),), "nothing of"),
    ):
        refused = run(config, "rewind", *words)
        assert refused.exit_code == 1
        assert answer in refused.stderr
    with closing(Store(tmp_path / "state" / "ship")):
        refused = run(config, "rewind", str(path))
    assert refused.exit_code == 1
    assert "cannot rewind: another producer" in refused.stderr
    assert peek(tmp_path / "state" / "ship") == before
