"""The sessionizer on its own: what comes of a batch, in which order."""

from typing import Any

import pytest

from schemas.envelope import EventEnvelope, Patch, SessionSummary, Summary, decode, encode_event, encode_patch
from schemas.session import session_id
from schemas.source import SourceSettings
from schemas.sources import build
from streams.clock import DAY_MS
from streams.outbox import Output
from streams.sessionize import Sessionizer, Topics
from streams.state import State
from streams.store import MemoryPartition
from tailrace.kafka import LONGEST_VALUE
from tests.streams.records import Record, clicks

GAP = 3_600_000
T0 = 17_000 * DAY_MS


class Stage:
    """A sessionizer with a table of its own."""

    def __init__(self) -> None:
        self.data = MemoryPartition()
        self.state = State(self.data, GAP, days=2, active_events=1)
        self.sessionizer = Sessionizer(clicks(), Topics("enriched", "sessions", "dead"))

    def run(self, *events: EventEnvelope | bytes) -> list[Output]:
        values = [event if isinstance(event, bytes) else encode_event(event) for event in events]
        outputs, writes = self.sessionizer.run([Record(b"key", value) for value in values], self.state)  # type: ignore[arg-type, list-item, misc]
        self.data.change(writes)
        return outputs

    def enriched(self, *events: EventEnvelope | bytes) -> list[Any]:
        """Events and patches."""
        found = [decode(output.value or b"") for output in self.run(*events) if output.topic == "enriched"]
        return [record for record in found if not isinstance(record, Summary)]

    def summaries(self, *events: EventEnvelope | bytes) -> list[Summary]:
        found = [decode(output.value or b"") for output in self.run(*events) if output.topic == "enriched"]
        return [record for record in found if isinstance(record, Summary)]


def event(identity: str, time: int | None, client: str | None = "somebody", kind: str = "click") -> EventEnvelope:
    return EventEnvelope(identity, time, client, kind, None, False, b'{"a":1}')


def test_an_event_keeps_everything_but_its_session() -> None:
    (found,) = Stage().enriched(event("a", T0))
    assert found == event("a", T0)._replace(session=session_id("somebody", T0))


def test_patches_come_after_the_events_and_name_only_earlier_ones() -> None:
    stage = Stage()
    stage.run(event("a", T0), event("b", T0 + 1))
    found = stage.enriched(event("c", T0 - GAP), event("d", T0 - GAP + 1))
    start = session_id("somebody", T0 - GAP)
    assert [each.id for each in found[:2]] == ["c", "d"]
    assert found[2:] == [Patch("a", T0, start), Patch("b", T0 + 1, start)]
    assert {each.session for each in found} == {start}


def test_summaries_replace_each_other_and_end_with_a_tombstone() -> None:
    stage = Stage()
    stage.run(event("a", T0))
    outputs = [output for output in stage.run(event("b", T0 - 5)) if output.topic == "sessions"]
    old, new = session_id("somebody", T0), session_id("somebody", T0 - 5)
    assert [(output.key, output.value and decode(output.value)) for output in outputs] == [
        (b"%d" % new, SessionSummary(new, "somebody", T0 - 5, T0, 2)),
        (b"%d" % old, None),
    ]


def test_a_repeated_event_is_sent_on_again_and_changes_nothing() -> None:
    stage = Stage()
    stage.run(event("a", T0))
    assert stage.enriched(event("a", T0)) == [event("a", T0)._replace(session=session_id("somebody", T0))]
    assert stage.summaries(event("a", T0)) == []


def test_an_event_without_client_or_time_has_no_usable_session() -> None:
    found = Stage().enriched(event("a", None), event("b", T0, None))
    assert [each.session for each in found] == [-1, -1]


def test_an_event_before_the_horizon_disturbs_nobody() -> None:
    stage = Stage()
    stage.run(*[event(f"{client} {day}", T0 + day * DAY_MS, client) for day in (0, 10) for client in ("a", "b", "c")])
    outputs = stage.run(event("late", T0 + 1, "a"), event("later", T0, "a"))
    assert [output.topic for output in outputs] == ["enriched", "enriched"], "neither patches nor summaries"
    found = [decode(output.value or b"") for output in outputs]
    assert [(each.late, each.session) for each in found if isinstance(each, EventEnvelope)] == [
        (True, session_id("a", T0 + 1)),
        (True, session_id("a", T0)),
    ]
    assert {client for client, _ in stage.data.clients()} == {b"a", b"b", b"c"}
    assert len(stage.state.client("a")) == 1


def test_an_event_within_a_session_that_is_still_known_is_not_late() -> None:
    """A session that spans the horizon is there as a whole, and so are the neighbours of what comes within it."""
    stage = Stage()
    start = T0 + 8 * DAY_MS - 1
    stage.run(event("gone", start - 2 * GAP, "e"))
    stage.run(
        event("first", start, "a"), event("last", start + 5, "a"), *[event(client, start + 10 + 2 * DAY_MS, client) for client in "bcd"]
    )
    assert stage.state.is_late(start)
    found = stage.enriched(event("first", start, "a"), event("new", start, "a"), event("before", start - 1, "a"))
    assert [(each.id, each.late, each.session) for each in found] == [
        ("first", False, session_id("a", start)),
        ("new", False, session_id("a", start)),
        ("before", True, session_id("a", start - 1)),
    ]
    assert [(session.start, session.events) for session in stage.state.client("a").sessions] == [(start, 3)]


@pytest.mark.parametrize("value", [b"", b"{}", b"\xc3\x01 damaged", encode_patch(Patch("a", 1, 2))])
def test_what_is_no_event_is_a_dead_letter_among_unharmed_neighbours(value: bytes) -> None:
    outputs = Stage().run(event("a", T0), value, event("b", T0))
    assert sorted(output.topic for output in outputs) == ["dead", "enriched", "enriched", "enriched", "sessions"]
    (letter,) = [output for output in outputs if output.topic == "dead"]
    assert (letter.key, letter.value) == (b"key", value)
    assert ("reason", b"foreign_value") in (letter.headers or [])


def test_a_record_of_others_stops_nobody() -> None:
    """A document that is no object, of a kind of which more than the envelope is read; a value that leaves no room for headers."""
    stage = Stage()
    stage.sessionizer = Sessionizer(build("ezcast", SourceSettings(format="ezcast")), Topics("enriched", "sessions", "dead"))
    strange = EventEnvelope("a", T0, "somebody", "login", None, False, b"[]")
    outputs = stage.run(strange, b"x" * (LONGEST_VALUE + 1))
    assert [(output.topic, len(output.value or b"")) for output in outputs] == [
        ("dead", len(encode_event(strange))),
        ("dead", LONGEST_VALUE),
    ]
