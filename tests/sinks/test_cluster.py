"""A cluster of three Elasticsearch nodes with a replica of everything, which loses nodes while sinks write to it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from elasticsearch import ApiError, Elasticsearch, TransportError

from tailrace.errors import TailraceError
from tailrace.settings import Settings
from tests.helpers import eventually
from tests.own_servers import OwnElasticsearch, elasticsearch_cluster
from tests.sinks.stage import Stage, event

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

REPLICATED = {"TAILRACE_ELASTICSEARCH_NUMBER_OF_REPLICAS": "1", "TAILRACE_ELASTICSEARCH_NUMBER_OF_SHARDS": "2"}
PART = 4_000
PATIENCE_S = 240


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[OwnElasticsearch]]:
    folder = Path(tempfile.mkdtemp(prefix="tailrace-cluster-"))
    folder.chmod(0o755)  # the account that servers run under has to pass
    found: list[OwnElasticsearch] = []
    try:
        found += elasticsearch_cluster(folder, 3)
        start(found)
        yield found
    except TailraceError as error:
        pytest.skip(f"no Java process can be started here, and a container is not stopped by a signal: {error.format_message()}")
    finally:
        for node in found:
            node.stop()
        shutil.rmtree(folder)


@pytest.fixture
def stage(settings: Settings, nodes: list[OwnElasticsearch], tmp_path: Path) -> Iterator[Stage]:
    url = ",".join(node.url for node in nodes)
    made = Stage(msgspec.structs.replace(settings, elasticsearch=msgspec.structs.replace(settings.elasticsearch, url=url)), tmp_path)
    yield made
    made.close()


def start(nodes: list[OwnElasticsearch]) -> None:
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait()


def put(stage: Stage, part: int) -> set[str]:
    """Put events on the topic; their ids."""
    ids = [f"part-{part}-{number}" for number in range(PART)]
    stage.put(event(id, client=f"client-{number % 97}", n=number) for number, id in enumerate(ids))
    return set(ids)


def begun(client: Elasticsearch, prefix: str) -> bool:
    """Whether documents are there, each with its replica."""
    try:
        ready = client.cluster.health(wait_for_status="green", timeout="1s")["status"] == "green"
        return ready and client.count(index=f"{prefix}*")["count"] > 0
    except (ApiError, TransportError):  # shards of a new index, a master that is being elected
        return False


def complete(stage: Stage, ids: set[str]) -> bool:
    """Whether all documents are found, and no others; the client may ask the node that is away, or one that waits for a master."""
    try:
        return stage.documents().keys() == ids
    except (ApiError, TransportError):
        return False


def test_a_node_that_is_killed_in_mid_load_costs_nothing(stage: Stage, nodes: list[OwnElasticsearch]) -> None:
    """The one that leads the cluster; two sinks share the partitions, and one of them is killed as well."""
    sinks = [stage.start(**REPLICATED) for _ in range(2)]
    ids = put(stage, 0)
    eventually(lambda: begun(stage.search, stage.prefix), "the first documents with their replicas", PATIENCE_S)
    master = stage.search.cat.master(format="json", h="node")[0]["node"]
    victim = nodes[int(str(master).removeprefix("node-"))]
    ids |= put(stage, 1)
    victim.kill()
    ids |= put(stage, 2)
    sinks[0].kill()
    sinks[0].wait(10)
    stage.wait_settled(PATIENCE_S)
    eventually(lambda: complete(stage, ids), "all are found while the node is away", PATIENCE_S)
    victim.start()
    ids |= put(stage, 3)
    stage.wait_settled(PATIENCE_S)
    said = stage.finish(sinks[1])
    assert stage.documents().keys() == ids
    assert not stage.dead(), said


def test_a_restart_of_the_whole_cluster_is_waited_for(stage: Stage, nodes: list[OwnElasticsearch]) -> None:
    sink = stage.start(**REPLICATED)
    ids = put(stage, 0)
    eventually(lambda: begun(stage.search, stage.prefix), "the first documents with their replicas", PATIENCE_S)
    for node in nodes:
        node.kill()
    ids |= put(stage, 1)
    eventually(lambda: "does not take everything yet" in stage.log.read_text(), "the sink says what it waits for", PATIENCE_S)
    start(nodes)
    stage.wait_settled(PATIENCE_S)
    said = stage.finish(sink)
    assert stage.documents().keys() == ids
    assert not stage.dead(), said
