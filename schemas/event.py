"""What a parser makes of a record: events, and dead letters for what cannot be named."""

from typing import Any, NamedTuple

import msgspec

Document = dict[str, Any]
"""JSON-compatible values only: what Elasticsearch will hold as `_source`."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """Costs a third of a NamedTuple to make, and nobody takes it for a tuple."""

    id: str
    """Depends on nothing but the input; the document's `_id`."""
    time: int | None
    """Event time in milliseconds since 1970-01-01T00:00:00Z; None where the record has no usable time."""
    client: str | None
    """Who, for sessions; None where the record names nobody usable."""
    kind: str
    """The source's own name for what happened (EZCast: the action; DataONE: the event type)."""
    document: Document


class Usual(msgspec.Struct, frozen=True, gc=False):
    """An event whose document is written already but for its end, which says what is known about its client."""

    id: str
    time: int
    client: str
    kind: str
    address: str
    opening: bytes
    """The document as JSON, from its brace to the comma behind its last field."""
    agent: str | None = None
    """None: it need not have one; empty where it ought to."""
    subject: str | None = None
    version: int | None = None


class Dead(NamedTuple):
    reason: str
    """A fixed word of the source's vocabulary, such as `too_few_columns`."""
    message: str
    """What a person should know about it, in a sentence."""
    payload: bytes
    """The original bytes."""
    offset: int
    """Where the payload starts in its file, in bytes."""


Parsed = list[Event | Dead]
