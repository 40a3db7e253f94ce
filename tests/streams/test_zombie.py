"""A worker that stands still until the group has given it up, and then goes on, on a real Kafka."""

import signal
from collections import defaultdict

import pytest

from streams.sessions import Client
from tests.helpers import eventually
from tests.streams.cluster import Click, Cluster, Running
from tests.streams.test_workers import clicks, expected

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(300)]

WITHIN_S = 90.0


def recovered(cluster: Cluster) -> dict[str, set[tuple[int, str]]]:
    """The events of every client, as a worker that starts now would recover them."""
    return {
        client.decode(): set(Client(3_600_000, partition.pages(client)).members)
        for partition in cluster.recover()
        for client, _ in partition.clients()
    }


def members(made: list[Click]) -> dict[str, set[tuple[int, str]]]:
    found: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for click in made:
        found[click.who].add((click.time, click.id))
    return dict(found)


def freeze(cluster: Cluster, worker: Running, outputs: int) -> None:
    """Stop the worker's process in mid flow, with transactions under way."""
    enriched = cluster.topic("clicks", "enriched")
    eventually(lambda: sum(cluster.ends(enriched)) > outputs, "it is under way", WITHIN_S)
    worker.process.send_signal(signal.SIGSTOP)
    assert not cluster.done("sessionize", "clicks"), "it was stopped too late to prove anything"


def test_a_worker_that_comes_back_from_standing_still_contradicts_nobody(cluster: Cluster) -> None:
    made = clicks(40_000, seed=3)
    parts = made[:30_000], made[30_000:36_000], made[36_000:]
    cluster.add_events(parts[0])
    with cluster.worker("sessionize", "--source", "clicks") as frozen:
        freeze(cluster, frozen, 1_000)
        with cluster.worker("sessionize", "--source", "clicks") as successor:
            cluster.add_events(parts[1])
            eventually(lambda: cluster.done("sessionize", "clicks"), "its successor does the rest", WITHIN_S)
            frozen.process.send_signal(signal.SIGCONT)
            cluster.add_events(parts[2])
            eventually(lambda: cluster.done("sessionize", "clicks"), "the group goes on", WITHIN_S)
            assert successor.process.poll() is None, successor.said
        assert frozen.end() == 1
        assert "another worker has taken over" in frozen.said.splitlines()[-1]
    assert cluster.sessions("clicks") == expected(made)
    assert recovered(cluster) == members(made)
