from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.settings import Settings
from tests.sinks.stage import Stage


@pytest.fixture
def stage(settings: Settings, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(settings, tmp_path)
    yield made
    made.close()
