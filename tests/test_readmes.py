"""A room's README names every module of the room, so that a reader finds each, and links to what is there."""

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOMS = ["tailrace", "producers", "streams", "sinks", "reports"]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_is_named(room: str) -> None:
    text = (REPOSITORY / room / "README.md").read_text()
    modules = {module.stem for module in (REPOSITORY / room).glob("*.py")} - {"__init__"}
    assert {module for module in modules if not re.search(rf"\b{module}\b", text)} == set()


@pytest.mark.parametrize("readme", ["README.md", *(f"{room}/README.md" for room in [*ROOMS, "schemas", "benchmarks"])])
def test_links_lead_somewhere(readme: str) -> None:
    path = REPOSITORY / readme
    broken = [link for link in LINK.findall(path.read_text()) if not (path.parent / Path(link)).exists()]
    assert broken == []
