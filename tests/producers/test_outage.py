"""A Kafka that stops answering, is killed and comes back, while files grow and rotate. Numbers are those of producers/README.md."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailrace.errors import TailraceError
from tailrace.settings import Kafka, Settings
from tests.helpers import eventually, read_topic
from tests.own_servers import OwnKafka
from tests.producers.conftest import Ship, append, event, lines, make_source, records, shipped

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(180)]

IMPATIENT = {"socket.timeout.ms": 1000, "request.timeout.ms": 500, "reconnect.backoff.max.ms": 500, "queue.buffering.max.messages": 200}
"""An outage of a few seconds is longer than every time-out."""


@pytest.fixture(scope="module")
def broker() -> Iterator[OwnKafka]:
    folder = Path(tempfile.mkdtemp(prefix="tailrace-outage-"))
    folder.chmod(0o755)  # the account that servers run under has to pass
    try:
        broker = OwnKafka(folder)
    except TailraceError as error:
        shutil.rmtree(folder)
        pytest.skip(f"no Java process can be started here, and a container is not stopped by a signal: {error.format_message()}")
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder)


@pytest.fixture
def ship(broker: OwnKafka, tmp_path: Path, request: pytest.FixtureRequest) -> Ship:
    prefix = f"{request.node.originalname[:12]}-"
    return Ship(Settings(state_dir=str(tmp_path / "state"), kafka=Kafka(bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix)))


def test_04_a_file_rotated_and_deleted_during_an_outage_is_read_to_its_end_afterwards(
    ship: Ship, broker: OwnKafka, logs: Path, quick: Callable[[str, float], None]
) -> None:
    """Longer than the wait for a file that is gone."""
    quick("GONE_S", 0.3)
    path = logs / "a.log"
    path.write_bytes(lines(0, 5))
    with ship.running(make_source(path), **IMPATIENT) as shipper:
        shipped(ship, lines(0, 5))
        broker.signal(signal.SIGSTOP)
        append(path, lines(5, 3000))
        eventually(lambda: len(shipper._publisher._producer) == 200, "the queue is full")
        path.rename(logs / "moved")
        append(logs / "moved", lines(3000, 3005))
        (logs / "moved").unlink()
        path.write_bytes(lines(10_000, 10_005))
        _outlast_time_outs()
        broker.signal(signal.SIGCONT)
        shipped(ship, lines(0, 3005), lines(10_000, 10_005))


def test_24_an_outage_longer_than_every_time_out_loses_nothing_and_keeps_the_order(ship: Ship, broker: OwnKafka, logs: Path) -> None:
    path, content = logs / "a.log", lines(0, 5000)
    path.write_bytes(lines(0, 5))
    with ship.running(make_source(path), **IMPATIENT) as shipper:
        shipped(ship, lines(0, 5))
        broker.signal(signal.SIGSTOP)
        append(path, lines(5, 5000))
        eventually(lambda: len(shipper._publisher._producer) == 200, "the queue is full")
        _outlast_time_outs()
        [file] = shipper._registry.files
        assert file.acknowledged == len(lines(0, 5))
        broker.signal(signal.SIGCONT)
        eventually(lambda: file.acknowledged == len(content), "all is acknowledged", 40)
    assert [record.value for record in read_topic(ship.settings, "trace", "raw")] == records(content), "in the order of the file"


def test_26_a_broker_that_is_killed_and_comes_back_is_used_again_without_a_restart(ship: Ship, broker: OwnKafka, logs: Path) -> None:
    path = logs / "a.log"
    path.write_bytes(lines(0, 5))
    with ship.running(make_source(path), **IMPATIENT) as shipper:
        shipped(ship, lines(0, 5))
        [file] = shipper._registry.files
        broker.kill()
        append(path, lines(5, 5000))
        eventually(lambda: len(shipper._publisher._producer) == 200, "the queue is full")
        broker.start()
        append(path, event(5000))
        eventually(lambda: file.acknowledged == len(lines(0, 5001)), "all is acknowledged", 60)
    assert [record.value for record in read_topic(ship.settings, "trace", "raw")] == records(lines(0, 5001))


def _outlast_time_outs() -> None:
    """Nothing that could be awaited may happen in this time."""
    time.sleep(4 * IMPATIENT["socket.timeout.ms"] / 1000)
