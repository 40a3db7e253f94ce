"""A sink that stands still until another one has taken over, and then goes on."""

import signal
import threading
import time

import pytest

from schemas.envelope import Patch
from sinks import lease
from sinks.lease import Lease, StoodStill
from tests.helpers import eventually
from tests.sinks.proxy import Answer, Forward, Proxy, error
from tests.sinks.stage import OCTOBER_2016, Stage, as_indexed, event


@pytest.mark.servers
@pytest.mark.faults
@pytest.mark.timeout(180)
def test_what_a_sink_had_in_hand_when_it_was_stopped_undoes_nothing_later(stage: Stage) -> None:
    open_again = threading.Event()

    def shut(number: int, body: bytes, forward: Forward) -> Answer:
        return forward(body) if open_again.is_set() else error(503, "unavailable_shards_exception")

    first = [event(f"f-{number}", n=number) for number in range(100)]
    stage.put(first)
    with Proxy(stage.url, shut).running() as proxy:
        frozen = stage.start(TAILRACE_ELASTICSEARCH_URL=proxy.url)
        eventually(lambda: len(proxy.bulks) >= 2, "it has events in hand")
        frozen.send_signal(signal.SIGSTOP)
        successor = stage.start()
        stage.wait_settled()
        stage.put([Patch(one.id, OCTOBER_2016, 2) for one in first])
        stage.wait_settled()
        open_again.set()
        sent = len(proxy.bulks)
        frozen.send_signal(signal.SIGCONT)
        assert frozen.wait(30) == 1
        assert len(proxy.bulks) == sent, "nothing was sent any more"
    assert "error: this sink stood still for" in stage.log.read_text()
    stage.finish(successor)
    assert stage.documents() == {one.id: {**as_indexed(one), "sessionId": 2} for one in first}


def test_a_lease_lasts_while_the_process_runs_and_once_run_out_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    ticked = threading.Semaphore(0)

    def clock(_: int) -> float:
        ticked.release()
        return now_s[0]

    monkeypatch.setattr(time, "clock_gettime", clock)
    monkeypatch.setattr(lease, "TICK_S", 0.001)
    its = Lease()
    with its.kept():
        for _ in range(5):
            now_s[0] += lease.LEASE_S - 1
            _await_ticks(ticked)
            its.check()
        now_s[0] += lease.LEASE_S + 1
        _await_ticks(ticked)
        for _ in range(2):
            with pytest.raises(StoodStill, match="stood still for 5 s"):
                its.check()


def _await_ticks(ticked: threading.Semaphore) -> None:
    """Two looks at the clock from now on, or the end of them."""
    while ticked.acquire(blocking=False):
        pass
    for _ in range(2):
        ticked.acquire(timeout=0.5)
