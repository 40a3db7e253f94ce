"""Dead letters: the original bytes on `<source>.dead`, with the reason in headers.

The key is the key of the record on `<source>.raw` with the offset of the payload in its file, so a dead letter that is
written twice is recognised. Dead letters are few: headers cost nothing here.
"""

from typing import Literal, NamedTuple

Stage = Literal["ship", "parse", "sessionize", "sink"]


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


def from_record(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None) -> DeadLetter:
    """A dead letter as it was written. Missing headers become empty."""
    found = {name: content.decode(errors="replace") for name, content in headers or []}
    return DeadLetter(
        key or b"",
        value or b"",
        found.get("stage", ""),  # type: ignore[arg-type]
        found.get("reason", ""),
        found.get("message", ""),
        found.get("topic", ""),
        int(found.get("partition") or -1),
        int(found.get("offset") or -1),
        int(found.get("length") or 0),
    )
