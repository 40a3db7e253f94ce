"""The writer against answers that a healthy server does not give: lost ones, half ones, late ones, and documents that break it."""

import json
import threading
from typing import Any

import pytest

from schemas.envelope import EventEnvelope, Patch
from sinks import writer
from sinks.bulk import Batch, Splicer
from sinks.counts import Counts
from sinks.writer import Writer
from tailrace import search
from tailrace.errors import Refused
from tailrace.settings import Elasticsearch, Settings
from tests.sinks.proxy import Answer, Forward, Proxy, Trouble, error
from tests.sinks.stage import event
from tests.sinks.test_bulk import OCTOBER_2016, SOURCE

pytestmark = pytest.mark.servers

BROKEN = {"type": "null_pointer_exception", "reason": 'Cannot invoke "Object.toString()" because it is null'}


class Letters:
    """Keeps reasons and ids of dead letters. Records are envelopes here."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []

    def keep(self, record: EventEnvelope | Patch, reason: str, message: str) -> None:
        self.kept.append((record.id, reason))
        assert message

    def confirm(self, cancelled: threading.Event) -> None:
        pass

    def count(self, events: int) -> None:
        pass


class Desk:
    """A writer whose server is troubled."""

    def __init__(self, settings: Settings) -> None:
        self.own = settings.elasticsearch
        self.letters = Letters()
        self.counts = Counts()
        self.cancelled = threading.Event()

    def write(self, trouble: Trouble, *records: EventEnvelope | Patch, request_timeout: float = 30.0) -> list[int]:
        """Write through a proxy; the sizes of the requests."""
        batch, splicer = Batch(), Splicer(SOURCE, self.own.index_prefix)
        for record in records:
            batch.operations.append(splicer.operation(record))
            batch.records.append(record)
        letters: Any = self.letters
        with Proxy(self.own.url, trouble).running() as proxy:
            client = search.client(Elasticsearch(url=proxy.url), request_timeout=request_timeout)
            with client:
                client.info()  # a sink asks that first
                Writer(client, proxy.url, {}, letters, self.counts, self.cancelled).write(batch)
        return proxy.bulks

    def ids(self) -> set[str]:
        with search.client(self.own) as client:
            client.indices.refresh(index=f"{self.own.index_prefix}*")
            return {hit["_id"] for hit in client.search(index=f"{self.own.index_prefix}*", size=1_000)["hits"]["hits"]}


@pytest.fixture
def desk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(writer, "LONGEST_PAUSE_S", 0.01)
    return Desk(settings)


def breaks_requests(number: int, body: bytes, forward: Forward) -> Answer:
    """The whole request fails while the poisonous document is in it."""
    return error(500, "null_pointer_exception") if b"poison" in body else forward(body)


def breaks_items(number: int, body: bytes, forward: Forward) -> Answer:
    """Only the poisonous document's item fails."""
    if b"poison" not in body:
        return forward(body)
    lines = body.split(b"\n")[:-1]
    operations = [b"%b\n%b\n" % pair for pair in zip(lines[::2], lines[1::2], strict=True)]
    sound = [operation for operation in operations if b"poison" not in operation]
    done = iter(json.loads(forward(b"".join(sound)).body)["items"] if sound else [])
    items = [{"index": {"status": 500, "error": BROKEN}} if b"poison" in operation else next(done) for operation in operations]
    headers = {"content-type": "application/json", "X-elastic-product": "Elasticsearch"}
    return Answer(200, json.dumps({"errors": True, "items": items}).encode(), headers)


@pytest.mark.parametrize("trouble", [breaks_requests, breaks_items])
def test_a_document_that_breaks_the_server_is_found_and_kept(desk: Desk, trouble: Trouble) -> None:
    records = [event(f"sound-{number}") for number in range(20)]
    sizes = desk.write(trouble, *records[:13], event("poison"), *records[13:])
    assert desk.letters.kept == [("poison", "breaks_elasticsearch")]
    assert desk.ids() == {record.id for record in records}
    _probe, alone, *_ = sorted(set(sizes))
    assert sizes.count(alone) >= writer.TRIES_ALONE, "it had its chances alone"
    assert desk.counts.total()["dead"] == 1


def test_a_server_that_is_broken_for_a_while_costs_nothing(desk: Desk) -> None:
    def recovering(number: int, body: bytes, forward: Forward) -> Answer:
        return error(500, "node_closed_exception") if number <= writer.TRIES_ALONE else forward(body)

    desk.write(recovering, event("a"), event("b"))
    assert desk.letters.kept == []
    assert desk.ids() == {"a", "b"}


def test_a_server_that_breaks_on_everything_buries_nothing(desk: Desk) -> None:
    """Whatever is sent, and for long: no document is at fault."""
    last = 3 * (writer.TRIES_ALONE + writer.TRIES_TOGETHER)

    def broken(number: int, body: bytes, forward: Forward) -> Answer:
        return error(500, "null_pointer_exception") if number <= last else forward(body)

    assert len(desk.write(broken, event("a"), event("b"))) > last
    assert desk.letters.kept == []
    assert desk.ids() == {"a", "b"}


def half(number: int, body: bytes, forward: Forward) -> Answer:
    """The connection breaks in the middle of the answer, after the server has done what it was asked."""
    answer = forward(body)
    cut = answer.body[: len(answer.body) // 2]
    return Answer(answer.status, cut, {**answer.headers, "content-length": str(len(answer.body))}) if number == 1 else answer


def test_half_an_answer_is_none(desk: Desk) -> None:
    assert len(desk.write(half, event("a"), Patch("a", OCTOBER_2016, 7))) == 2
    assert (desk.ids(), desk.letters.kept) == ({"a"}, [])


def test_an_answer_that_comes_too_late_is_asked_for_again(desk: Desk) -> None:
    heard = threading.Event()

    def late(number: int, body: bytes, forward: Forward) -> Answer:
        answer = forward(body)
        if number == 1:
            heard.wait(10)
        else:
            heard.set()
        return answer

    assert len(desk.write(late, event("a"), request_timeout=1.0)) == 2
    assert (desk.ids(), desk.letters.kept) == ({"a"}, [])


def test_the_server_is_given_the_time_that_it_asks_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(desk.cancelled, "wait", lambda timeout: pauses.append(timeout) and None)

    def busy(number: int, body: bytes, forward: Forward) -> Answer:
        return error(503, "unavailable_shards_exception", **{"retry-after": "7"}) if number <= 2 else forward(body)

    desk.write(busy, event("a"))
    assert pauses == [7.0, 7.0]


@pytest.mark.parametrize(
    ("status", "error_type", "advice"),
    [
        (401, "security_exception", "check elasticsearch.username and its password"),
        (403, "security_exception", "tailrace access elasticsearch"),
        (404, "index_not_found_exception", "action.auto_create_index"),
    ],
)
@pytest.mark.parametrize("of", ["request", "item"])
def test_what_no_retry_heals_ends_it_with_advice(desk: Desk, status: int, error_type: str, advice: str, of: str) -> None:
    def refuse(number: int, body: bytes, forward: Forward) -> Answer:
        whole = error(status, error_type)
        items = [{"index": {"status": status, "error": {"type": error_type, "reason": "no"}}}]
        answer = json.dumps({"errors": True, "items": items}).encode()
        return whole if of == "request" else Answer(200, answer, whole.headers)

    with pytest.raises(Refused, match=rf"{status} {error_type}.*{advice}"):
        desk.write(refuse, event("a"))
    assert desk.letters.kept == []
