"""A short soak; `make soak` runs long ones of any seed."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.errors import TailraceError
from tests.own_servers import OwnKafka
from tests.soak.run import soak


@pytest.fixture
def folder() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="tailrace-soak-"))
    found.chmod(0o755)  # the account that servers run under has to pass
    try:
        try:
            OwnKafka(found)
        except TailraceError as error:
            pytest.skip(f"no Java process can be started here, and a container is not stopped by a signal: {error.format_message()}")
        yield found
    finally:
        shutil.rmtree(found)


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_every_line_arrives_once_whatever_is_killed(folder: Path) -> None:
    soak(folder, seed=1, seconds=25, crowd=1, pause_s=(1.0, 4.0), say=print)
