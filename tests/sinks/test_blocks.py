"""Indices that take nothing for a while, for each reason that a real server has: the sink waits, says so, and goes on by itself.

All of it is done to the test's own index; the cluster's settings stay what they are.
"""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.helpers import eventually
from tests.sinks.stage import Stage, event

pytestmark = pytest.mark.servers


class Trouble(NamedTuple):
    begin: Callable[[Stage, str], object]
    """Given the stage and the name of the index, which holds documents."""
    end: Callable[[Stage, str], object]
    says: str


FLOOD_STAGE = "index.blocks.read_only_allow_delete"
"""What the server itself sets where a disk is full, and takes away when there is room again."""


TROUBLES = {
    "full_disk": Trouble(
        lambda stage, index: stage.search.indices.put_settings(index=index, settings={FLOOD_STAGE: True}),
        lambda stage, index: stage.search.indices.put_settings(index=index, settings={FLOOD_STAGE: None}),
        "disk usage exceeded flood-stage watermark",
    ),
    "closed": Trouble(
        lambda stage, index: stage.search.indices.close(index=index),
        lambda stage, index: stage.search.indices.open(index=index),
        "400 index_closed_exception",
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_an_index_that_takes_nothing_is_waited_for(stage: Stage, name: str) -> None:
    trouble = TROUBLES[name]
    stage.carry([event("first")])
    index = f"{stage.prefix}own-2016.10"
    trouble.begin(stage, index)
    stage.put([event("second")])
    sink = stage.start()
    eventually(lambda: trouble.says in stage.log.read_text(), f"the reason in {stage.log}")
    assert stage.lag() == 1
    trouble.end(stage, index)
    stage.wait_settled()
    stage.finish(sink)
    assert set(stage.documents()) == {"first", "second"}
    assert stage.dead() == []


def test_a_red_index_is_waited_for(stage: Stage) -> None:
    """The primary shard is on no node, as after the loss of one."""
    index = f"{stage.prefix}own-2016.10"
    nowhere = {"index.routing.allocation.require._name": "no such node"}
    stage.search.indices.create(index=index, settings={**nowhere, "index.number_of_replicas": 0}, wait_for_active_shards="0")
    assert stage.search.cluster.health(index=index)["status"] == "red"
    stage.put([event("first")])
    sink = stage.start()
    eventually(lambda: "503 unavailable_shards_exception" in stage.log.read_text(), f"the reason in {stage.log}", 50)
    assert stage.lag() == 1
    stage.search.indices.put_settings(index=index, settings=dict.fromkeys(nowhere))
    stage.wait_settled()
    stage.finish(sink)
    assert set(stage.documents()) == {"first"}
    assert stage.dead() == []
