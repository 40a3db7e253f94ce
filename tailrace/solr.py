"""One question to a Solr core, one page of documents as the answer.

The standard library's HTTP client does: a page is one GET of a large answer, so that pooling would gain nothing, and what to
do after a failure is the caller's to decide. No proxies: a core stands beside its harvester.
"""

import gzip
import zlib
from base64 import b64encode
from hashlib import blake2b
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from schemas.place import Place
from schemas.source import Source
from tailrace.errors import ConfigError
from tailrace.settings import secret

ANSWER_S = 30.0
"""How long a core may be silent while it is asked."""

FIRST = "*"
"""The cursor of the first page."""

_TEXT = 300
"""Characters of an unexpected answer that a message shows."""

_BROKEN = (OSError, EOFError, zlib.error, HTTPException)

_open = build_opener(ProxyHandler({})).open


UNITS = 1 << 20
"""Versions per millisecond."""


def version_of(time_ms: int) -> int:
    """The lowest version that a document can have got at an instant."""
    return time_ms * UNITS


class Address(NamedTuple):
    """A core and how to be let in."""

    url: str
    filter: str | None = None
    authorization: str | None = None

    @classmethod
    def of_source(cls, source: Source) -> "Address":
        """Raises ConfigError where the source names no core, or its password cannot be read."""
        settings = source.settings
        if settings.solr_url is None:
            raise ConfigError(
                f"sources.{source.name}.solr_url is missing: the URL of a Solr core, such as http://127.0.0.1:8983/solr/event_core"
            )
        password = secret(None, settings.solr_password_file, f"sources.{source.name}.solr_password")
        return cls.of(settings.solr_url, settings.solr_filter, settings.solr_username, password)

    @classmethod
    def of(cls, url: str, filter: str | None, username: str | None, password: str | None) -> "Address":
        basic = b64encode(f"{username}:{password or ''}".encode()).decode() if username else ""
        return cls(url.rstrip("/"), filter, f"Basic {basic}" if basic else None)


def place_of(source: Source) -> Place:
    """The place of a source's core: the same for the same URL and filter, since other documents have another mark."""
    url = (source.settings.solr_url or "").rstrip("/")
    name = blake2b(f"{url}\n{source.settings.solr_filter or ''}".encode(), digest_size=10).hexdigest()
    return Place(name, urlsplit(url).hostname or "", url, source.settings.fields)


class Question(NamedTuple):
    address: Address
    since: int
    """Lowest version that is asked for."""
    until: int | None = None
    rows: int = 1000
    bare: bool = False
    """True: ids and versions only."""
    cursor: str = FIRST


class Head(msgspec.Struct):
    """What a document has to have."""

    id: str
    version: int = msgspec.field(name="_version_")


class Page(NamedTuple):
    heads: list[Head]
    documents: list[msgspec.Raw]
    """The documents as Solr wrote them, in order of versions, ids among equals."""
    found: int
    """Documents that match, on all pages."""
    cursor: str
    """Of the next page; the one that was asked with where there is nothing more."""


class Trouble(Exception):
    """A core gave no usable answer."""

    def __init__(self, message: str, *, refused: bool = False, wrong: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        """The core wants other credentials."""
        self.wrong = wrong
        """The core understood, and found fault with the question: a filter, a core's name."""


class _Header(msgspec.Struct):
    status: int = 0
    partial: Any = msgspec.field(name="partialResults", default=None)


class _Found(msgspec.Struct):
    count: int = msgspec.field(name="numFound")
    docs: list[msgspec.Raw]


class _Answer(msgspec.Struct):
    response: _Found
    cursor: str = msgspec.field(name="nextCursorMark")
    header: _Header = msgspec.field(name="responseHeader", default_factory=_Header)


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_head = msgspec.json.Decoder(Head).decode


def ask(question: Question) -> Page:
    """The page. Raises Trouble."""
    address = question.address
    headers = {"Accept-Encoding": "gzip", "Accept": "application/json", "User-Agent": "tailrace"}
    if address.authorization:
        headers["Authorization"] = address.authorization
    request = Request(f"{address.url}/select?{urlencode(_parameters(question))}", headers=headers)
    try:
        with _open(request, timeout=ANSWER_S) as answer:
            return _page(_body(answer))
    except HTTPError as error:
        with error:
            raise _refusal(error) from None
    except _BROKEN as error:
        raise Trouble(f"no answer: {getattr(error, 'reason', None) or error or type(error).__name__}") from None


def _parameters(question: Question) -> list[tuple[str, str]]:
    """What a handler could have other defaults for is said, since all of it would change what is found."""
    until = "*" if question.until is None else question.until
    filters = [("fq", question.address.filter)] if question.address.filter else []
    return [
        ("q", "*:*"),
        ("defType", "lucene"),
        ("fq", f"{{!cache=false}}_version_:[{question.since} TO {until}]"),
        *filters,
        ("sort", "_version_ asc,id asc"),
        ("rows", str(question.rows)),
        ("cursorMark", question.cursor),
        ("fl", "id,_version_" if question.bare else "*"),
        ("shards.tolerant", "false"),
        ("wt", "json"),
        ("indent", "false"),
    ]


def _body(answer: HTTPResponse | HTTPError) -> bytes:
    body = answer.read()
    return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body


def _page(body: bytes) -> Page:
    try:
        answer = _decode_answer(body)
        heads = [_decode_head(document) for document in answer.response.docs]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Trouble(f"the answer is not what Solr writes ({error}): {_shown(body)}") from None
    if answer.header.status or answer.header.partial:
        raise Trouble("the answer is incomplete: Solr ran out of time or of shards")
    return Page(heads, answer.response.docs, answer.response.count, answer.cursor)


def _refusal(error: HTTPError) -> Trouble:
    try:
        body = _body(error)
    except _BROKEN:
        body = b""
    try:
        text = " ".join(str(msgspec.json.decode(body)["error"]["msg"]).split())[:_TEXT]
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        text = error.reason
    return Trouble(f"HTTP {error.code}: {text}", refused=error.code in (401, 403), wrong=error.code in (400, 404))


def _shown(body: bytes) -> str:
    text = body[:_TEXT].decode(errors="replace")
    return repr(text if len(body) <= _TEXT else text + "…")
