"""Several records of one event: the newest stands, whatever comes when and however often, and patches are not undone."""

import itertools
import threading
from types import SimpleNamespace
from typing import Any, NamedTuple

import orjson
import pytest

from schemas.envelope import EventEnvelope, Patch
from sinks.bulk import Batch, Splicer
from sinks.counts import Counts
from sinks.versions import Unreadable, settle
from sinks.writer import Writer
from tailrace import search
from tailrace.settings import Settings
from tests.sinks.test_bulk import OCTOBER_2016, SOURCE

pytestmark = pytest.mark.servers

SOLR = 1_600_893_696_876_627_830
"""`_version_` of a real event, beyond 2^53."""


class _Record(NamedTuple):
    name: str = "own.enriched"

    def topic(self) -> str:
        return self.name


class _NoDeadLetters:
    def keep(self, record: object, reason: str, message: str) -> None:
        raise AssertionError(f"{reason}: {message}")

    def count(self, events: int) -> None:
        pass


def copy_of(version: int, session: int) -> EventEnvelope:
    document = orjson.dumps({"_version_": version, "n": version - SOLR})
    return EventEnvelope("a", OCTOBER_2016, "c", "read", session, False, document, version)


class Index:
    def __init__(self, settings: Settings) -> None:
        self.client = search.connect(settings.elasticsearch, 10)
        self.prefix = settings.elasticsearch.index_prefix
        letters: Any = _NoDeadLetters()
        self.writer = Writer(self.client, settings.elasticsearch.url, {"own.enriched": "_version_"}, letters, Counts(), threading.Event())

    def write(self, *envelopes: EventEnvelope | Patch) -> dict[str, Any]:
        """The document after these came in one request."""
        batch, splicer = Batch(), Splicer(SOURCE, self.prefix)
        for envelope in envelopes:
            batch.operations.append(splicer.operation(envelope))
            batch.records.append(_Record())
        self.writer.write(batch)
        found: dict[str, Any] = self.client.get(index=f"{self.prefix}own-2016.10", id="a")["_source"]
        return found


@pytest.fixture
def index(settings: Settings) -> Index:
    return Index(settings)


@pytest.mark.parametrize("order", list(itertools.permutations([0, 7, 1 << 20])))
def test_the_newest_copy_stands_in_every_order(index: Index, order: tuple[int, ...]) -> None:
    for extra in order:
        document = index.write(copy_of(SOLR + extra, session=5))
    assert document == {"_version_": SOLR + (1 << 20), "n": 1 << 20, "sessionId": 5}


def test_the_same_in_one_request(index: Index) -> None:
    document = index.write(copy_of(SOLR + 9, 5), copy_of(SOLR, 5), copy_of(SOLR + 9, 5), Patch("a", OCTOBER_2016, 6), copy_of(SOLR, 6))
    assert document == {"_version_": SOLR + 9, "n": 9, "sessionId": 6}


def test_a_replay_after_patches_writes_again(index: Index) -> None:
    index.write(copy_of(SOLR, 5), Patch("a", OCTOBER_2016, 6), Patch("a", OCTOBER_2016, 7))
    assert index.write(copy_of(SOLR, 5))["sessionId"] == 5, "a replay begins with what was first said"
    assert index.write(copy_of(SOLR, 5), Patch("a", OCTOBER_2016, 6), Patch("a", OCTOBER_2016, 7))["sessionId"] == 7


def test_an_older_copy_does_not_undo_a_patch(index: Index) -> None:
    index.write(copy_of(SOLR + 9, 5), Patch("a", OCTOBER_2016, 6))
    assert index.write(copy_of(SOLR, 6)) == {"_version_": SOLR + 9, "n": 9, "sessionId": 6}


def test_an_older_copy_brings_the_latest_session(index: Index) -> None:
    index.write(copy_of(SOLR + 9, 5))
    assert index.write(copy_of(SOLR, 6)) == {"_version_": SOLR + 9, "n": 9, "sessionId": 6}


NO_SHARD = {"type": "no_shard_available_action_exception", "reason": "No shard available for [get]"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"docs": [{"_index": "own-2016.10", "_id": "a", "error": NO_SHARD}]}, "no_shard_available"),
        ({"docs": "none"}, "no Elasticsearch"),
        ("<html>", "no Elasticsearch"),
    ],
)
def test_a_document_that_cannot_be_looked_at_is_not_overwritten(answer: object, said: str) -> None:
    """The shard went away between the request and the question, or a proxy answers it: the document may be newer."""
    client: Any = SimpleNamespace(mget=lambda docs: SimpleNamespace(body=answer))
    operation = Splicer(SOURCE, "").operation(copy_of(SOLR, 5))
    with pytest.raises(Unreadable, match=said):
        settle(client, [operation], ["_version_"])


def test_what_somebody_took_out_of_the_index_comes_back(index: Index) -> None:
    index.write(copy_of(SOLR, 5))
    index.client.update(index=f"{index.prefix}own-2016.10", id="a", script={"source": "ctx._source.remove('sessionId')"})
    assert index.write(copy_of(SOLR, 5))["sessionId"] == 5
