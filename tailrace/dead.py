"""Dead letters: the original bytes on `<source>.dead`, with the reason in headers.

The key is the key of the record on `<source>.raw` with the offset of the payload in its file, so a dead letter that is
written twice is recognised. Dead letters are few: headers cost nothing here.

What a person decided about a letter (`tailrace dead retry`, `drop`) follows it on the same partition as a record of its own, so
letters and verdicts age together, whatever retention the topic has, and whoever reads the topic in order knows both.
"""

from hashlib import blake2b
from typing import Literal, NamedTuple, get_args

Stage = Literal["ship", "parse", "sessionize", "sink"]
Verdict = Literal["retried", "dropped"]


class DeadLetter(NamedTuple):
    key: bytes
    payload: bytes
    stage: Stage
    reason: str
    message: str
    topic: str
    """Where the record was read from, with its partition and offset; empty for one that never reached a topic."""
    partition: int
    offset: int
    length: int = 0
    """Bytes of the whole record, its line feed included, where the payload is only its beginning; 0: the payload is all of it."""

    def headers(self) -> list[tuple[str, bytes]]:
        whole = [("length", b"%d" % self.length)] if self.length else []
        return [
            ("stage", self.stage.encode()),
            ("reason", self.reason.encode()),
            ("message", self.message.encode()),
            ("topic", self.topic.encode()),
            ("partition", b"%d" % self.partition),
            ("offset", b"%d" % self.offset),
            *whole,
        ]

    @property
    def id(self) -> str:
        """Ten hexadecimal digits: the same for the same record that failed in the same stage, however often it was read."""
        digest = blake2b(self.stage.encode(), digest_size=5)
        for part in (self.key, self.payload):
            digest.update(b"%d:" % len(part) + part)
        return digest.hexdigest()


class Handled(NamedTuple):
    """The verdict on a letter. Its record has the letter's key and no payload."""

    letter: str
    """The letter's id."""
    verdict: Verdict

    def headers(self) -> list[tuple[str, bytes]]:
        return [("verdict", self.verdict.encode()), ("letter", self.letter.encode())]


def handled(headers: list[tuple[str, bytes]] | None) -> Handled | None:
    """The verdict that a record of a dead letter topic is; None for a letter."""
    found = dict(headers or [])
    verdict = found.get("verdict", b"").decode(errors="replace")
    if verdict not in get_args(Verdict):
        return None
    return Handled(found.get("letter", b"").decode(errors="replace"), verdict)  # type: ignore[arg-type]


def from_record(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None) -> DeadLetter:
    """A dead letter as it was written. Headers that are missing, or are not ours, become empty."""
    found = {name: content.decode(errors="replace") for name, content in headers or []}
    return DeadLetter(
        key or b"",
        value or b"",
        found.get("stage", ""),  # type: ignore[arg-type]
        found.get("reason", ""),
        found.get("message", ""),
        found.get("topic", ""),
        _number(found.get("partition", ""), -1),
        _number(found.get("offset", ""), -1),
        _number(found.get("length", ""), 0),
    )


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() else otherwise
