"""A pipeline of its own for each system test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailrace.settings import Settings
from tests.system.pipeline import Pipeline

MakePipeline = Callable[..., Pipeline]


@pytest.fixture
def pipeline(settings: Settings, tmp_path: Path) -> MakePipeline:
    """pipeline(name={…block…}): a Pipeline with these sources; files go to `tmp_path / "logs"`."""

    def make(**sources: dict[str, Any]) -> Pipeline:
        (tmp_path / "logs").mkdir(exist_ok=True)
        return Pipeline(settings, tmp_path, sources)

    return make


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir(exist_ok=True)
    return folder


def ezcast(logs: Path, **more: Any) -> dict[str, Any]:
    return {"format": "ezcast", "paths": [f"{logs}/*.trace"], "timezone": "Europe/Brussels", **more}


def dataone(logs: Path, **more: Any) -> dict[str, Any]:
    return {
        "format": "dataone",
        "paths": [f"{logs}/*.log*"],
        "index": "eventlog",
        "name": "eventlog",
        "fields": {"env": "production"},
        **more,
    }
