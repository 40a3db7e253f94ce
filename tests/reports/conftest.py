from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tailrace.settings import Settings
from tests.reports.stage import Stage

MakeStage = Callable[..., Stage]


@pytest.fixture
def stage(settings: Settings, tmp_path: Path) -> Iterator[MakeStage]:
    """stage(name={…block…}): a Stage of that source, and of further ones beside it."""
    made: list[Stage] = []

    def make(**blocks: dict[str, Any]) -> Stage:
        made.append(Stage(settings, tmp_path, **blocks))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def ezcast(stage: MakeStage, tmp_path: Path) -> Stage:
    return stage(ezcast={"format": "ezcast", "paths": [f"{tmp_path}/*.trace"], "timezone": "Europe/Brussels"})


@pytest.fixture
def dataone(stage: MakeStage, tmp_path: Path) -> Stage:
    return stage(dataone={"format": "dataone", "paths": [f"{tmp_path}/*.log"], "index": "eventlog"})
