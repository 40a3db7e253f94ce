"""What is not Elasticsearch's own answer about a document buries none: proxies between, with pages and limits of their own."""

from collections.abc import Callable

import pytest

from sinks import writer
from tailrace.errors import Refused, TailraceError
from tailrace.settings import Settings
from tests.sinks.proxy import Answer, Forward, Trouble, error
from tests.sinks.stage import event
from tests.sinks.test_writer import Desk

pytestmark = pytest.mark.servers

PAGE = b"<html><head><title>Sorry</title></head><body>nothing here</body></html>"
HTML = {"content-type": "text/html; charset=utf-8", "server": "nginx/1.27.1"}
JSON = {"content-type": "application/json"}
LIMIT = 2_000


@pytest.fixture
def desk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(writer, "LONGEST_PAUSE_S", 0.01)
    return Desk(settings)


def for_a_while(answer: Answer | Callable[[Answer], Answer]) -> Trouble:
    """A proxy answers everything with this, or makes this of every answer, for longer than a document is tried; then all is well."""
    last = 2 * (writer.TRIES_ALONE + writer.TRIES_TOGETHER)

    def trouble(number: int, body: bytes, forward: Forward) -> Answer:
        if number > last:
            return forward(body)
        return answer if isinstance(answer, Answer) else answer(forward(body))

    return trouble


def cut(answer: Answer) -> Answer:
    return answer._replace(body=answer.body[: len(answer.body) // 2])


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status, PAGE, HTML) for status in (200, 400, 404, 405, 429, 500, 502)),
        Answer(200, b"", {}),
        Answer(200, b"{}", JSON),
        Answer(200, b'{"errors":false,"items":{}}', JSON),
        Answer(400, b'{"error":{"type":"bad","reason":"by a gateway"}}', JSON),
        Answer(404, b"default backend - 404", {"content-type": "text/plain"}),
        Answer(404, b"<html>", {"content-type": "application/problem+json"}),
        cut,
    ],
)
def test_a_page_instead_of_an_answer_is_none(desk: Desk, answer: Answer | Callable[[Answer], Answer]) -> None:
    desk.write(for_a_while(answer), event("a"), event("b"))
    assert desk.letters.kept == []
    assert desk.ids() == {"a", "b"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(403, PAGE, HTML), r"403 <html>.*Sorry.*\(not Elasticsearch's own answer\); have what stands between let"),
        (Answer(407, b"", HTML), "407 .*have what stands between let"),
        (Answer(401, PAGE, HTML), "401 .*check elasticsearch.username and its password"),
        (
            Answer(301, PAGE, {**HTML, "location": "https://new.example/_bulk"}),
            "only redirects, to https://new.example/_bulk .*elasticsearch.url",
        ),
        (Answer(302, b"", {"location": "/login"}), "only redirects, to /login .*elasticsearch.url"),
    ],
)
def test_what_no_retry_heals_ends_it_and_says_who_answered(desk: Desk, answer: Answer, said: str) -> None:
    with pytest.raises(TailraceError, match=said) as caught:
        desk.write(lambda *_: answer, event("a"))
    assert isinstance(caught.value, Refused) is (answer.status > 400)
    assert desk.letters.kept == []


def narrow(number: int, body: bytes, forward: Forward) -> Answer:
    """nginx, with a limit of bytes."""
    return Answer(413, b"<html><center><h1>413 Request Entity Too Large</h1></center></html>", HTML) if len(body) > LIMIT else forward(body)


def test_a_proxys_limit_halves_requests(desk: Desk) -> None:
    sizes = desk.write(narrow, *(event(f"{number}") for number in range(40)))
    assert max(sizes) > LIMIT
    assert desk.letters.kept == []
    assert desk.ids() == {f"{number}" for number in range(40)}


def test_a_document_beyond_a_proxys_limit_ends_it_and_is_not_buried(desk: Desk) -> None:
    with pytest.raises(TailraceError, match=r"lets no request of 3,.* bytes pass: 413 .*client_max_body_size"):
        desk.write(narrow, event("a"), event("large", message="m" * 3_000), event("b"))
    assert desk.letters.kept == []


def test_a_document_beyond_elasticsearchs_own_limit_is_buried(desk: Desk) -> None:
    def full(number: int, body: bytes, forward: Forward) -> Answer:
        return Answer(413, b"", {}) if len(body) > LIMIT else forward(body)

    desk.write(full, event("a"), event("large", message="m" * 3_000), event("b"))
    assert desk.letters.kept == [("large", "refused_by_elasticsearch")]
    assert desk.ids() == {"a", "b"}


def test_what_elasticsearch_says_to_every_request_is_about_no_document(desk: Desk) -> None:
    with pytest.raises(TailraceError, match="takes no request at all: 400 illegal_argument_exception"):
        desk.write(lambda *_: error(400, "illegal_argument_exception"), event("a"), event("b"))
    assert desk.letters.kept == []


def test_what_elasticsearch_says_to_one_document_alone_buries_it_when_it_takes_others(desk: Desk) -> None:
    """And not while it cannot say whether it does."""
    probed = 0

    def picky(number: int, body: bytes, forward: Forward) -> Answer:
        nonlocal probed
        if writer.PROBE_ID.encode() in body:
            probed += 1
            return error(503, "unavailable_shards_exception") if probed < 3 else forward(body)
        return error(400, "action_request_validation_exception") if b"poison" in body else forward(body)

    desk.write(picky, event("a"), event("poison"), event("b"))
    assert desk.letters.kept == [("poison", "refused_by_elasticsearch")]
    assert probed == 3
    assert desk.ids() == {"a", "b"}
