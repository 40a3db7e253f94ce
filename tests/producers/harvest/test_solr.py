"""One question, one answer: what Solr says, and what it says when something is wrong."""

import socket
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from tailrace import solr as questions
from tailrace.solr import Address, Page, Question, Trouble, ask
from tests.producers.harvest.solr import Fault, Handler, RealSolr, SolrServer, event


def address(url: str, **more: Any) -> Address:
    return Address.of(url, more.get("filter"), more.get("username"), more.get("password"))


def pages(question: Question) -> list[Page]:
    found = [ask(question)]
    while found[-1].heads:
        found.append(ask(question._replace(cursor=found[-1].cursor)))
    return found


def ids(found: list[Page]) -> list[str]:
    return [head.id for page in found for head in page.heads]


def test_pages_give_every_document_once_in_order_of_versions(either: SolrServer | RealSolr) -> None:
    either.add(*(event(number) for number in (3, 1, 4, 5, 2)))
    either.commit()
    found = pages(Question(address(either.url), 0, rows=2))
    assert [len(page.heads) for page in found] == [2, 2, 1, 0]
    assert ids(found) == [f"urn:node:KNB.{number}" for number in (3, 1, 4, 5, 2)]
    assert {page.found for page in found} == {5}
    assert found[-1].cursor == found[-2].cursor
    versions = [head.version for page in found for head in page.heads]
    assert versions == sorted(set(versions))
    documents = [msgspec.json.decode(document) for page in found for document in page.documents]
    assert [document["_version_"] for document in documents] == versions
    assert [document["readPermission"] for document in documents] == [["public", "CN=é,DC=dataone"]] * 5


def test_what_is_not_committed_is_not_there(either: SolrServer | RealSolr) -> None:
    either.add(event(1))
    assert ids(pages(Question(address(either.url), 0))) == []
    either.commit()
    assert ids(pages(Question(address(either.url), 0))) == ["urn:node:KNB.1"]


def test_versions_bound_what_is_asked_for_on_both_sides(either: SolrServer | RealSolr) -> None:
    for number in range(4):
        either.add(event(number))
    either.commit()
    versions = [head.version for page in pages(Question(address(either.url), 0)) for head in page.heads]
    assert ids(pages(Question(address(either.url), versions[1], versions[2]))) == ["urn:node:KNB.1", "urn:node:KNB.2"]
    assert ids(pages(Question(address(either.url), versions[3] + 1))) == []


def test_an_event_that_is_indexed_again_moves_to_the_end_while_pages_are_read(either: SolrServer | RealSolr) -> None:
    either.add(*(event(number) for number in range(4)))
    either.commit()
    first = ask(Question(address(either.url), 0, rows=2))
    either.add(event(0, size=77))
    either.commit()
    rest = pages(Question(address(either.url), 0, rows=2, cursor=first.cursor))
    assert ids([first, *rest]) == [f"urn:node:KNB.{number}" for number in (0, 1, 2, 3, 0)]


def test_a_bare_page_has_ids_and_versions_only(either: SolrServer | RealSolr) -> None:
    either.add(event(1))
    either.commit()
    [page, _] = pages(Question(address(either.url), 0, bare=True))
    assert set(msgspec.json.decode(page.documents[0])) == {"id", "_version_"}


def test_a_filter_narrows(either: SolrServer | RealSolr) -> None:
    either.add(event(1), event(2, nodeId="urn:node:DRYAD"))
    either.commit()
    assert ids(pages(Question(address(either.url, filter='nodeId:"urn:node:DRYAD"'), 0))) == ["urn:node:KNB.2"]


@pytest.mark.parametrize(("core", "filter", "message"), [("nope", None, "HTTP 404"), ("event_core", "nodeId:[", "Cannot parse 'nodeId:['")])
def test_a_question_that_cannot_be_answered_is_told_from_a_core_in_trouble(
    either: SolrServer | RealSolr, core: str, filter: str | None, message: str
) -> None:
    with pytest.raises(Trouble, match="HTTP 40") as trouble:
        ask(Question(address(either.url.replace("event_core", core), filter=filter), 0))
    assert trouble.value.wrong
    assert message in str(trouble.value)
    assert "\n" not in str(trouble.value)


def test_a_cursor_of_another_core_is_refused(either: SolrServer | RealSolr) -> None:
    with pytest.raises(Trouble, match="cursorMark"):
        ask(Question(address(either.url), 0, cursor="zzz"))


def hang_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def garbage_that_says_gzip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", "5")
    handler.end_headers()
    handler.wfile.write(b"hello")


def hang(handler: Handler) -> None:
    handler.connection.settimeout(5)
    handler.rfile.read(1)  # until the client has had enough
    handler.close_connection = True


OK = b'{"responseHeader":{"status":0%s},"response":{"numFound":1,"start":0,"docs":[%s]},"nextCursorMark":"x"}'


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda it: it.answer(500, b'{"error":{"msg":"Java\\nheap space","code":500}}'), "HTTP 500: Java heap space"),
        (lambda it: it.answer(503, b"<html>SolrCore is loading</html>", "text/html"), "HTTP 503: Service Unavailable"),
        (lambda it: it.answer(200, b"<html>a proxy's page</html>", "text/html"), "is not what Solr writes .*a proxy's page"),
        (lambda it: it.answer(200, b'{"ok":true}'), "is not what Solr writes .*response"),
        (lambda it: it.answer(200, OK % (b"", b'{"id":"a"}')), "is not what Solr writes .*_version_"),
        (lambda it: it.answer(200, OK % (b'"', b"\xff")), "is not what Solr writes"),
        (lambda it: it.answer(200, OK % (b',"partialResults":true', b"")), "is incomplete"),
        (lambda it: it.answer(200, OK % (b"", b""), length=5000), "no answer: IncompleteRead"),
        (garbage_that_says_gzip, "no answer: Not a gzipped file"),
        (hang_up, "no answer: Remote end closed"),
        (hang, "no answer: timed out"),
    ],
)
def test_an_answer_that_is_of_no_use_is_trouble_and_says_why(
    solr: SolrServer, fault: Fault, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "ANSWER_S", 0.5)
    solr.faults.append(fault)
    with pytest.raises(Trouble, match=message) as trouble:
        ask(Question(address(solr.url), 0))
    assert not trouble.value.wrong
    assert not trouble.value.refused
    assert ask(Question(address(solr.url), 0)).heads == []


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Trouble, match="Connection refused"):
        ask(Question(address(f"http://127.0.0.1:{port}/solr/event_core"), 0))


def test_a_password_is_sent_and_a_wrong_one_is_told(solr: SolrServer) -> None:
    solr.authorization = "Basic " + b64encode(b"harvester:secret").decode()
    with pytest.raises(Trouble, match="HTTP 401") as trouble:
        ask(Question(address(solr.url), 0))
    assert trouble.value.refused
    assert ask(Question(address(solr.url, username="harvester", password="secret"), 0)).heads == []
