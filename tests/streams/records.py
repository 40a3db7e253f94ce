"""Records as the transport hands them over, without a Kafka."""

from typing import NamedTuple

from schemas.source import Source, SourceSettings
from schemas.sources import build


class Record(NamedTuple):
    """A `streams.records.Record` that is easy to make."""

    key: bytes | None
    value: bytes | None
    offset: int = 0
    partition: int = 0
    topic: str = "clicks.raw"
    timestamp: int = 1_525_219_200_000
    """2018-05-02T00:00:00Z"""


def clicks() -> Source:
    """A source of JSON objects `{id, time, who, what}`."""
    return build("clicks", SourceSettings(format="json", time="time", time_format="epoch_ms", client=["who"], id="id", kind="what"))
