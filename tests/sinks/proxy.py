"""A proxy in front of a real Elasticsearch that gives the answers which a healthy server does not give on demand.

What it lets through, the real server does; what it refuses, the real server never sees (or, for a lost answer, has done).
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

REJECTED = {
    "type": "es_rejected_execution_exception",
    "reason": "rejected execution of primary operation [coordinating_and_primary_bytes=…, max_coordinating_and_primary_bytes=…]",
}


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


def error(status: int, error_type: str, **headers: str) -> Answer:
    """An error of the whole request as Elasticsearch spells it."""
    body = {"error": {"root_cause": [], "type": error_type, "reason": f"by order of the test: {error_type}"}, "status": status}
    return Answer(status, json.dumps(body).encode(), {"content-type": "application/json", "X-elastic-product": "Elasticsearch", **headers})


Forward = Callable[[bytes], Answer]
Trouble = Callable[[int, bytes, Forward], Answer | None]
"""trouble(number, body, forward): the answer to the number-th bulk request, from 1; None cuts the connection."""


def push_back(body: bytes, forward: Forward, chosen: Callable[[int], bool]) -> Answer:
    """Refuse the operations at the chosen positions with 429, as a server does whose queue is full, and do the others."""
    lines = body.split(b"\n")[:-1]
    operations = [b"%b\n%b\n" % pair for pair in zip(lines[::2], lines[1::2], strict=True)]
    kept = [operation for position, operation in enumerate(operations) if not chosen(position)]
    answer = forward(b"".join(kept)) if kept else None
    done = iter(json.loads(answer.body)["items"] if answer else [])
    items = []
    for position, operation in enumerate(operations):
        (verb,) = json.loads(operation.partition(b"\n")[0])
        items.append({verb: {"status": 429, "error": REJECTED}} if chosen(position) else next(done))
    headers = {"content-type": "application/json", "X-elastic-product": "Elasticsearch"}
    return Answer(200, json.dumps({"errors": True, "items": items}).encode(), headers)


class Proxy:
    def __init__(self, url: str, trouble: Trouble) -> None:
        self.trouble = trouble
        self.bulks: list[int] = []
        """Bytes of each bulk request."""
        self._target = urlsplit(url)
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                answer = proxy.answer(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)  # without a header `Server`, as Elasticsearch answers
                for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.close_connection = "content-length" in answer.headers  # an answer that promises more than there is
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        def forward(content: bytes) -> Answer:
            return self._forward(method, path, headers, content)

        if not path.startswith("/_bulk"):
            return forward(body)
        with self._lock:
            self.bulks.append(len(body))
            number = len(self.bulks)
        return self.trouble(number, body, forward)

    def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = HTTPConnection(self._target.hostname or "", self._target.port, timeout=60)
        try:
            passed = {name: value for name, value in headers.items() if name in {"content-type", "accept", "authorization"}}
            connection.request(method, path, body or None, passed)
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() in {"content-type", "x-elastic-product"}}
            return Answer(response.status, response.read(), kept)
        finally:
            connection.close()

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
