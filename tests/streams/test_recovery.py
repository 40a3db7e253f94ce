"""Sessions' state after a worker has ended, in whatever way: the same, compared whole, wherever the next one runs."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.store import Partition, open_on_disk
from streams.table import topic_id
from tailrace import kafka
from tests.helpers import eventually, free_address, get
from tests.streams.cluster import Cluster, Running
from tests.streams.test_workers import clicks, expected

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(300)]

WITHIN_S = 90.0
Whole = tuple[dict[bytes, Mapping[bytes, bytes]], bytes | None]
"""The pages of all clients, and the horizon."""


def whole(partition: Partition) -> Whole:
    return {client: dict(partition.pages(client)) for client, _ in partition.clients()}, partition.horizon


def on_disk(cluster: Cluster, state: Path) -> list[Whole]:
    identity = topic_id(kafka.connect(cluster.settings.kafka), cluster.changelog)
    folder = state / "stream" / "sessionize" / "clicks-sessions"
    partitions = [open_on_disk(folder / str(number), identity) for number in range(cluster.settings.kafka.partitions)]
    found = [whole(partition) for partition in partitions]
    for partition in partitions:
        partition.close()
    return found


def recovered(worker: Running) -> int:
    """How many changelog records it read before events flowed the last time."""
    found: list[str] = []

    def said() -> bool:
        found.extend(re.findall(r"up to date: ([\d,]+) changelog records", worker.said))
        return bool(found)

    eventually(said, "its tables are recovered", WITHIN_S)
    return int(found[-1].replace(",", ""))


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
def test_state_is_the_same_after_a_kill_and_on_another_machine(cluster: Cluster, tmp_path: Path, store: str) -> None:
    cluster.environment["TAILRACE_STREAM_STORE"] = store
    made = clicks(20_000, seed=4)
    cluster.add_events(made[:15_000])
    with cluster.worker("sessionize", "--source", "clicks") as worker:
        enriched = cluster.topic("clicks", "enriched")
        eventually(lambda: sum(cluster.ends(enriched)) > 5_000, "it is under way", WITHIN_S)
        worker.kill()
    with cluster.worker("sessionize", "--source", "clicks") as worker:
        after_kill = recovered(worker)
        eventually(lambda: cluster.done("sessionize", "clicks"), "it goes on", WITHIN_S)
    total = sum(cluster.ends(cluster.changelog))
    shutil.copytree(tmp_path / "state", tmp_path / "kept")
    with cluster.worker("sessionize", "--source", "clicks") as worker:
        again = recovered(worker)
    cluster.environment["TAILRACE_STATE_DIR"] = str(tmp_path / "elsewhere")
    cluster.add_events(made[15_000:])
    with cluster.worker("sessionize", "--source", "clicks") as worker:
        elsewhere = recovered(worker)
        eventually(lambda: cluster.done("sessionize", "clicks"), "another machine does the rest", WITHIN_S)
    assert cluster.sessions("clicks") == expected(made)
    assert after_kill <= elsewhere <= total
    if store == "memory":
        assert again == elsewhere > 0
    else:
        assert again == 0, "all of it was kept"
        assert elsewhere > 0
        assert on_disk(cluster, tmp_path / "elsewhere") == [whole(partition) for partition in cluster.recover()]


def test_a_warm_standby_goes_on_with_equal_state(cluster: Cluster) -> None:
    cluster.environment["TAILRACE_STREAM_STANDBY_REPLICAS"] = "1"
    made = clicks(20_000, seed=5)

    def warm(address: str) -> bool:
        """Whether the worker at this address has all partitions up to the ends of the changelog, its own and its standbys."""
        found = re.findall(r'tailrace_stream_table_offset\{.*partition="(\d)"\} (\d+)\n', get(address, "/metrics")[1])
        held = {int(number): int(offset) for number, offset in found}
        # The last offset is a marker, which a partition's owner does not count.
        return all(end - held.get(number, -1) <= 2 for number, end in enumerate(cluster.ends(cluster.changelog)))

    with cluster.worker("sessionize", "--source", "clicks") as first:
        cluster.environment["TAILRACE_STREAM_MONITOR"] = address = free_address()
        with cluster.worker("sessionize", "--source", "clicks") as second:
            eventually(lambda: all("sessions of 2 partitions" in worker.said for worker in (first, second)), "they share", WITHIN_S)
            cluster.add_events(made[:15_000])
            eventually(lambda: cluster.done("sessionize", "clicks"), "they do it all", WITHIN_S)
            eventually(lambda: warm(address), "the second one's standbys are up to date", WITHIN_S)
            first.kill()
            cluster.add_events(made[15_000:])
            eventually(lambda: cluster.done("sessionize", "clicks"), "the second goes on alone", WITHIN_S)
            assert recovered(second) == 0, "nothing was left to read"
    assert cluster.sessions("clicks") == expected(made)
