"""An operator teaches a running pipeline a new action: a few lines in a file, no restart, no index to repair."""

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import eventually
from tests.system.conftest import MakePipeline, ezcast
from tests.system.pipeline import Pipeline

pytestmark = [pytest.mark.servers, pytest.mark.timeout(200)]

ROOMS = '[types]\ntext = ["remark"]\ninteger = ["seats"]\n[actions]\nroom_enter = ["album", "seats", "remark"]\n'
LINE = "2018-04-05-20:13:00 | s1 | 192.0.2.7 | user1 | 3 | room_enter | INFO-pub | 40 | two words\n"


def test_a_new_action_while_everything_runs(pipeline: MakePipeline, logs: Path, tmp_path: Path) -> None:
    actions, trace = tmp_path / "actions.toml", logs / "2018-04-05.trace"
    actions.write_text("[actions]\n")
    trace.write_text(LINE)
    run = pipeline(ezcast=ezcast(logs, actions=str(actions)))
    process = run.start("run")
    try:
        eventually(lambda: documents(run), "the first event stands in the index", 60)
        (tmp_path / "new.toml").write_text(ROOMS)
        (tmp_path / "new.toml").replace(actions)
        eventually(lambda: "seats" in properties(run), "the index has the new fields")

        def write_until_known() -> bool:
            with trace.open("a") as out:
                out.write(LINE)
            return "seats" in documents(run)[-1]

        eventually(write_until_known, "the parse worker knows the action", 60)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    found = documents(run)
    assert [tags for tags, _ in groupby(document["tags"] for document in found)] == [["_unknown_action"], []]
    assert (found[0]["elem2"], found[-1]["seats"], found[-1]["remark"]) == ("40", 40, "two words")
    assert (properties(run)["seats"]["type"], properties(run)["remark"]["type"]) == ("long", "text")


def documents(run: Pipeline) -> list[dict[str, Any]]:
    """In the order of the file."""
    return sorted(run.documents("ezcast").values(), key=lambda document: document["offset"])


def properties(run: Pipeline) -> dict[str, Any]:
    (index,) = run.search.indices.get_mapping(index=run.pattern("ezcast")).values()
    found: dict[str, Any] = index["mappings"]["properties"]
    return found
