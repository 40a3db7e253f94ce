"""What a stage does with one record, without a framework around it: the work that every peer is given."""

from collections.abc import Callable, Iterator

import orjson

from schemas.envelope import Stamp, event_bytes, open_event
from schemas.event import Event
from schemas.localtime import LocalClock
from schemas.place import origin, split_key
from streams.enrich import Enricher
from tailrace.settings import hash_key, load
from tailrace.sources import load_source

Work = Callable[[bytes, bytes], Iterator[tuple[bytes, bytes]]]
"""work(key, value): the records to produce, each as key and value."""
Session = tuple[int, int]
"""Start and end in milliseconds since 1970."""


def parsing(source_name: str) -> Work:
    """Parse, enrich, serialise: what `tailrace stream parse` does with a good record."""
    settings = load()
    source = load_source(settings, source_name)
    enrich = Enricher(source, hash_key(settings)).enrich
    clocks: dict[str, LocalClock] = {}

    def work(key: bytes, value: bytes) -> Iterator[tuple[bytes, bytes]]:
        place, offset = split_key(key)
        clock = clocks.setdefault(place.file, LocalClock(source.local_timezone or "UTC"))
        for item in source.parse(value, place, offset, clock):
            assert isinstance(item, Event)
            event = enrich(item)
            version = event.document.get(source.version_field) if source.version_field else None
            document = orjson.dumps(event.document)
            encoded = event_bytes(event.id, event.time, event.client, event.kind, document, version, origin(place.file))
            yield (event.client or event.id).encode(), encoded

    return work


def next_session(value: bytes, last: Session | None, gap_ms: int) -> tuple[bytes, Session]:
    """The event with a session that goes by the one event before it: less than Tailrace's, which are right in any order of arrival."""
    event = open_event(value)
    assert event.time is not None
    start = event.time if last is None or event.time - last[1] > gap_ms else last[0]
    return Stamp(start).on(event), (start, event.time)
