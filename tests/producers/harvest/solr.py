"""Solr cores to test against: one of our own that answers the requests used as Solr does, and a real one where there is one.

Ours keeps to what Solr 9.8 was seen to answer: versions, commits, the cursor's rules, range queries, errors. `SOLR_CORE_URL` names
an empty real core, with whose answers `test_solr.py` holds it against; its fields: `id` (uniqueKey), `_version_`, and dynamic ones.
"""

import gzip
import json
import re
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

Document = dict[str, Any]

KNOWN = {"q", "defType", "fq", "sort", "rows", "cursorMark", "fl", "shards.tolerant", "wt", "indent"}
RANGE = re.compile(r"\{!cache=false\}_version_:\[(\d+) TO (\d+|\*)\]")
TERM = re.compile(r'(\w+):"?([^"\s\[\]]+)"?')

Fault = Callable[["Handler"], None]


class BadRequest(Exception):
    pass


class SolrServer:
    """A core of several shards, each with a clock, and commits of its own."""

    def __init__(self) -> None:
        self.now_ms = 1_526_700_000_000
        self.skew_ms: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._pending: dict[int, dict[str, Document]] = {}
        self._visible: dict[str, Document] = {}
        self.faults: deque[Fault] = deque()
        """Each spoils one request."""
        self.answer_after_s = 0.0
        self.requests: list[dict[str, str]] = []
        self.authorization: str | None = None
        self._lock = threading.Lock()
        server = self

        class Bound(Handler):
            core = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}/solr/event_core"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def add(self, *documents: Document, shard: int = 0) -> list[int]:
        """Index documents, which nobody sees before the shard's commit; their versions."""
        with self._lock:
            versions = []
            for document in documents:
                version = max((self.now_ms + self.skew_ms.get(shard, 0)) << 20, self._last.get(shard, 0) + 1)
                self._last[shard] = version
                self._pending.setdefault(shard, {})[document["id"]] = {**document, "_version_": version}
                versions.append(version)
            return versions

    def commit(self, shard: int = 0) -> None:
        with self._lock:
            self._visible.update(self._pending.pop(shard, {}))

    def documents(self) -> list[Document]:
        """What can be found."""
        with self._lock:
            return list(self._visible.values())

    def select(self, pairs: list[tuple[str, str]]) -> Document:
        parameters = dict(pairs)
        self.requests.append(parameters)
        assert {name for name, _ in pairs} <= KNOWN, f"a parameter that this server does not know: {pairs}"
        assert parameters["q"] == "*:*"
        if parameters["sort"] != "_version_ asc,id asc":
            raise BadRequest("Cursor functionality requires a sort containing a uniqueKey field tie breaker")
        filters = [_filter(text) for name, text in pairs if name == "fq"]
        found = [document for document in self.documents() if all(matches(document) for matches in filters)]
        found.sort(key=_order)
        after = _parse_cursor(parameters["cursorMark"])
        page = [document for document in found if after is None or _order(document) > after][: int(parameters["rows"])]
        names = None if parameters["fl"] == "*" else parameters["fl"].split(",")
        return {
            "responseHeader": {"status": 0, "QTime": 1},
            "response": {
                "numFound": len(found),
                "start": 0,
                "numFoundExact": True,
                "docs": [document if names is None else {name: document[name] for name in names} for document in page],
            },
            "nextCursorMark": _cursor(_order(page[-1])) if page else parameters["cursorMark"],
        }


class Handler(BaseHTTPRequestHandler):
    core: SolrServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(self.core.answer_after_s)
        if self.core.faults:
            self.core.faults.popleft()(self)
            return
        url = urlsplit(self.path)
        if self.core.authorization and self.headers["Authorization"] != self.core.authorization:
            self.answer(401, b"<html>who are you?</html>", "text/html")
        elif url.path != "/solr/event_core/select":
            self.answer(404, b"<html><title>Error 404 Not Found</title></html>", "text/html")
        else:
            try:
                self.answer(200, _json(self.core.select(parse_qsl(url.query, strict_parsing=True))))
            except BadRequest as error:
                self.answer(400, _json({"responseHeader": {"status": 400}, "error": {"msg": str(error), "code": 400}}))

    def answer(self, status: int, body: bytes, kind: str = "application/json", length: int | None = None) -> None:
        packed = "gzip" in self.headers.get("Accept-Encoding", "")
        body = gzip.compress(body, 1) if packed else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None

    def log_message(self, *_: object) -> None:
        pass


class RealSolr:
    """A core of a Solr that runs; the same methods where a real one has them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._update(b'{"delete": {"query": "*:*"}}')
        self.commit()

    def close(self) -> None:
        pass

    def add(self, *documents: Document) -> None:
        self._update(json.dumps(documents).encode())

    def commit(self) -> None:
        self._update(b'{"commit": {}}')

    def _update(self, body: bytes) -> None:
        with urlopen(Request(f"{self.url}/update", body, {"Content-Type": "application/json"}), timeout=20) as answer:
            assert json.loads(answer.read())["responseHeader"]["status"] == 0


def event(number: int, **more: Any) -> Document:
    """One of DataONE's, a minute after the one before."""
    return {
        "id": f"urn:node:KNB.{number}",
        "nodeId": "urn:node:KNB",
        "entryId": str(number),
        "pid": f"doi:10.5063/F1{number}",
        "event": "read",
        "dateLogged": f"2018-05-{18 + number // 1440:02}T{number // 60 % 24:02}:{number % 60:02}:00.5Z",
        "ipAddress": f"129.71.0.{number % 250}",
        "size": number,
        "readPermission": ["public", "CN=é,DC=dataone"],
        **more,
    }


def _order(document: Document) -> tuple[int, str]:
    return document["_version_"], document["id"]


def _filter(query: str) -> Callable[[Document], bool]:
    if ranged := RANGE.fullmatch(query):
        since, until = int(ranged[1]), 1 << 63 if ranged[2] == "*" else int(ranged[2])
        return lambda document: bool(since <= document["_version_"] <= until)
    if term := TERM.fullmatch(query):
        field, value = term.groups()
        return lambda document: bool(document.get(field) == value)
    raise BadRequest(f"org.apache.solr.search.SyntaxError: Cannot parse '{query}'")


def _cursor(order: tuple[int, str]) -> str:
    return urlsafe_b64encode(json.dumps(order).encode()).decode()


def _parse_cursor(text: str) -> tuple[int, str] | None:
    if text == "*":
        return None
    try:
        version, id = json.loads(urlsafe_b64decode(text))
    except ValueError:
        raise BadRequest(f"Unable to parse 'cursorMark' after totem: {text}") from None
    return version, id


def _json(content: Document) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
