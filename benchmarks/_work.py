"""What a stage does with one record, without a framework around it: the work that every peer is given."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import orjson

from schemas.envelope import Stamp, event_bytes, open_event
from schemas.event import Event, Usual
from schemas.localtime import LocalClock
from schemas.place import Place, cut_key, origin, place_of
from schemas.source import ReadUsual
from streams.enrich import Enricher
from tailrace.settings import hash_key, load
from tailrace.sources import load_source

Work = Callable[[bytes, bytes], Iterator[tuple[bytes, bytes]]]
"""work(key, value): the records to produce, each as key and value."""
Session = tuple[int, int]
"""Start and end in milliseconds since 1970."""


class _File(NamedTuple):
    place: Place
    clock: LocalClock
    read_usual: ReadUsual | None


def parsing(source_name: str) -> Work:
    """Parse, enrich, serialise: what `tailrace stream parse` does with a good record."""
    settings = load()
    source = load_source(settings, source_name)
    enricher = Enricher(source, hash_key(settings))
    ending = enricher.endings()

    @cache
    def file(prefix: bytes) -> _File:
        place, clock = place_of(prefix), LocalClock(source.local_timezone or "UTC")
        return _File(place, clock, source.usual(place, clock) if source.usual is not None and ending is not None else None)

    def work(key: bytes, value: bytes) -> Iterator[tuple[bytes, bytes]]:
        prefix, offset = cut_key(key)
        place, clock, read_usual = file(prefix)
        usual = read_usual(value, offset) if read_usual is not None else None
        if usual is not None:
            assert ending is not None
            yield _encoded(usual, usual.opening + ending(usual), usual.version, place)
            return
        for item in source.parse(value, place, offset, clock):
            assert isinstance(item, Event)
            event = enricher.enrich(item)
            version = event.document.get(source.version_field) if source.version_field else None
            yield _encoded(event, orjson.dumps(event.document), version, place)

    return work


def _encoded(event: Event | Usual, document: bytes, version: int | None, place: Place) -> tuple[bytes, bytes]:
    encoded = event_bytes(event.id, event.time, event.client, event.kind, document, version, origin(place.file))
    return (event.client or event.id).encode(), encoded


def next_session(value: bytes, last: Session | None, gap_ms: int) -> tuple[bytes, Session]:
    """The event with a session that goes by the one event before it: less than Tailrace's, which are right in any order of arrival."""
    event = open_event(value)
    assert event.time is not None
    start = event.time if last is None or event.time - last[1] > gap_ms else last[0]
    return Stamp(start).on(event), (start, event.time)
