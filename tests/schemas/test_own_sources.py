"""The blocks that the README offers for copying, on lines as these programs write them."""

import re
import tomllib
from typing import Any

import msgspec
import pytest

from schemas import framing
from schemas.event import Event
from schemas.place import Place
from schemas.source import Source, SourceSettings
from schemas.sources import build
from tests.conftest import REPOSITORY

README = (REPOSITORY / "schemas/README.md").read_text()
BLOCKS: dict[str, Any] = {
    name: block
    for example in re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    for name, block in tomllib.loads(example).get("sources", {}).items()
}
PLACE = Place("f11e", "web1", "/log", {})


def source(name: str) -> Source:
    return build(name, msgspec.convert(BLOCKS[name], SourceSettings))


def event(name: str, line: bytes) -> Event:
    (only,) = source(name).parse(line, PLACE, 0, None)
    assert isinstance(only, Event), only
    assert "problems" not in only.document
    return only


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            rb'192.0.2.7 - ann [01/Mar/2024:11:00:00 +0100] "GET /a?b=\"c\" HTTP/1.1" 200 12 "https://example.org/" "Mozilla/5.0 (X11)"',
            {"user": "ann", "request": r"GET /a?b=\"c\" HTTP/1.1", "status": 200, "bytes": 12, "referrer": "https://example.org/"},
        ),
        (
            rb'2001:db8::7 - - [01/Mar/2024:11:00:00 +0100] "\x16\x03\x01" 400 - "-" "-"',
            {"request": r"\x16\x03\x01", "status": 400, "agent": "-"},
        ),
    ],
)
def test_an_access_log(line: bytes, fields: dict[str, object]) -> None:
    found = event("web", line)
    assert found.time == 1709287200000
    document = found.document
    assert {name: document.get(name) for name in ("user", "request", "status", "bytes", "referrer", "agent") if name in fields} == fields
    assert found.kind == str(fields["status"])
    assert ("user" in document) == ("user" in fields)


def test_a_log_of_json() -> None:
    line = b"""{"@timestamp": "2024-03-01T10:00:00Z", "level": "INFO", "host": "web1", "duration_ms": 12, "user": {"id": 7}}"""
    found = event("app", line)
    assert (found.time, found.kind, found.client) == (1709287200000, "INFO", "7")
    assert found.document["server"] == "web1"
    assert found.document["duration_ms"] == 12.0


def test_an_error_log_with_stack_traces() -> None:
    log = (
        b"[Fri Mar 01 11:00:00.123456 2024] [core:error] [pid 123:tid 45] [client 192.0.2.7:5566] AH00124: failed\n"
        b"java.lang.RuntimeException\n    at a.b.C(D.java:1)\n"
        b"[Fri Mar 01 11:00:01.000000 2024] [proxy:warn] [pid 123] AH00999: no client here\n"
    )
    start = source("apache").record_start
    assert start is not None
    (end, _) = framing.split(log, start, final=True)
    first, second = event("apache", log[: end - 1]), event("apache", log[end:-1])
    assert (first.time, first.kind, first.document["ip"]) == (1709287200123, "error", "192.0.2.7")
    assert first.document["message"] == "AH00124: failed\njava.lang.RuntimeException\n    at a.b.C(D.java:1)"
    assert second.document["message"] == "AH00999: no client here"
