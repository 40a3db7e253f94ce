"""`tailrace dead` on a real Kafka: letters listed once, sent again through the stage that failed, given up."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from schemas.envelope import EventEnvelope, Patch, Summary, decode, encode_event, encode_patch, encode_summary
from schemas.place import Place, key
from schemas.session import session_id
from schemas.source import SourceSettings
from schemas.sources import build
from streams.clock import DAY_MS
from streams.sessionize import Sessionizer, Topics
from streams.state import State
from streams.store import MemoryPartition
from tailrace import kafka, retry
from tailrace.cli import main
from tailrace.dead import DeadLetter, Handled, from_record, handled
from tailrace.settings import Settings
from tests.helpers import read_topic
from tests.streams.records import Record

SOURCE = "ezcast"
OCTOBER_2016 = 1_475_300_000_000
PLACE = Place("f1", "host", "/log/a.trace")
Dead = Callable[..., Result]


@pytest.fixture
def dead(settings: Settings, tmp_path: Path) -> Dead:
    """`tailrace dead WORDS…`."""
    kafka.ensure_topics(kafka.connect(settings.kafka, 5), settings.kafka, [SOURCE])
    config = tmp_path / "tailrace.toml"
    config.write_text("[sources.ezcast]\n")
    environment = {
        "TAILRACE_CONFIG": str(config),
        "TAILRACE_KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "TAILRACE_KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
    }

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["dead", *words], env=environment, catch_exceptions=False)

    return run


def put(settings: Settings, kind: kafka.Kind, raw_key: bytes, value: bytes, timestamp: int = 0) -> tuple[str, int, int]:
    """Where the record stands now."""
    at: list[tuple[str, int, int]] = []
    producer = Producer(kafka.producer_config(settings.kafka))
    producer.produce(
        kafka.topic(settings.kafka, SOURCE, kind),
        value,
        raw_key,
        2,
        lambda _, message: at.append((message.topic(), message.partition(), message.offset())),
        timestamp=timestamp,
    )
    assert producer.flush(20) == 0
    return at[0]


def test_a_foreign_record_is_a_letter_too() -> None:
    foreign = from_record(b"k", b"v", [("stage", b"parse"), ("partition", b"two"), ("offset", b"\xff"), ("length", b"")])
    assert (foreign.partition, foreign.offset, foreign.length) == (-1, -1, 0)


def bury(settings: Settings, letter: DeadLetter) -> str:
    producer = Producer(kafka.producer_config(settings.kafka))
    producer.produce(kafka.topic(settings.kafka, SOURCE, "dead"), letter.payload, letter.key, headers=letter.headers())
    assert producer.flush(20) == 0
    return letter.id


def garbage(settings: Settings, offset: int, value: bytes = b"garbage", reason: str = "not_a_trace") -> DeadLetter:
    """A raw record and its dead letter."""
    at = put(settings, "raw", key(PLACE, offset), value, timestamp=1_475_300_000_000)
    return DeadLetter(key(PLACE, offset), value, "parse", reason, "no trace", *at)


def listed(dead: Dead, *words: str) -> list[str]:
    return sorted(letter["id"] for letter in json.loads(dead("list", "--format", "json", *words).stdout)["newest"])


def test_letters_are_listed_once_and_by_what_one_asks_for(settings: Settings, dead: Dead) -> None:
    first, second = garbage(settings, 0, b"caf\xe9"), garbage(settings, 8, b"other \x1b[31m", "implausible_time")
    bury(settings, first)
    bury(settings, first._replace(offset=first.offset + 100))
    bury(settings, second)
    found = json.loads(dead("list", "--format", "json").stdout)
    assert found["letters"] == 2, "a record that was read twice is one letter"
    assert {count["reason"]: count["letters"] for count in found["counts"]} == {"not_a_trace": 1, "implausible_time": 1}
    for words, expected in {
        ("--reason", "implausible_time"): [second.id],
        ("--stage", "parse"): sorted([first.id, second.id]),
        ("--stage", "sink"): [],
        ("--contains", "other"): [second.id],
        ("--file", "/log/a.trace@8"): [second.id],
        ("--file", "a.trace"): sorted([first.id, second.id]),
        ("--until", "2020-01-01"): [],
        ("--since", "2020-01-01"): sorted([first.id, second.id]),
        (first.id[:6],): [first.id],
    }.items():
        assert listed(dead, *words) == expected, words
    text = dead("list").stdout
    assert "implausible_time" in text
    assert "\x1b" not in text, "what a record says does not reach the terminal"
    assert "caf\\xe9" in dead("show", first.id).stdout


def test_parse_letters_go_back_to_raw_as_they_were(settings: Settings, dead: Dead) -> None:
    letter = garbage(settings, 40)
    bury(settings, letter)
    assert dead("retry", "--reason", "other_reason").stdout == "0 sent again\n"
    assert dead("retry").stdout == "1 sent again\n"
    original, again = (record._replace(offset=0) for record in read_topic(settings, SOURCE, "raw"))
    assert again == original, "same key, value and partition, so the same event with the same id"
    assert listed(dead) == []
    assert listed(dead, "--all") == [letter.id]
    assert dead("retry").stdout == "0 sent again\n"


def test_what_fails_again_is_listed_again_and_a_copy_is_not(settings: Settings, dead: Dead) -> None:
    letter = garbage(settings, 40)
    bury(settings, letter)
    dead("retry")
    bury(settings, letter)  # a worker that was killed read its batch again
    assert listed(dead) == []
    bury(settings, letter._replace(offset=letter.offset + 1))
    assert listed(dead) == [letter.id]


def test_dropped_letters_stay_dropped_and_on_the_topic(settings: Settings, dead: Dead) -> None:
    letter = garbage(settings, 0)
    kept = garbage(settings, 8)
    bury(settings, letter)
    bury(settings, kept)
    refused = dead("drop", letter.id)
    assert refused.exit_code == 1, "a pipe cannot be asked"
    assert dead("drop", letter.id, "--yes").stdout == "1 dropped\n"
    assert listed(dead) == [kept.id]
    bury(settings, letter._replace(offset=letter.offset + 50))  # its file was shipped again
    assert listed(dead) == [kept.id]
    records = read_topic(settings, SOURCE, "dead")
    assert sum(record.value == letter.payload for record in records) == 3
    assert [handled(record.headers) for record in records if handled(record.headers)] == [Handled(letter.id, "dropped")]


def bury_record(settings: Settings, value: bytes, reason: str) -> str:
    """A record that the sink could not write."""
    at = put(settings, "enriched", b"client", value)
    return bury(settings, DeadLetter(key(PLACE, at[2]), b"{}%d" % at[2], "sink", reason, "no", *at))


def test_events_that_the_sink_could_not_write_go_through_sessionize(settings: Settings, dead: Dead) -> None:
    document = b'{"session_browser":"Firefox","n":36893488147419103232,"netid":"anna"}'
    event = EventEnvelope("id-1", OCTOBER_2016, "client", "kind", 7, True, document, 3, 1)
    bury_record(settings, encode_event(event), "document_parsing_exception")
    bury_record(settings, b"no Avro", "undecodable")
    before = len(read_topic(settings, SOURCE, "enriched"))
    assert dead("retry", "--stage", "sink").stdout == "2 sent again\n"
    (again,) = read_topic(settings, SOURCE, "events")
    assert again.key == b"client"
    parsed = b'{"n":36893488147419103232,"netid":"anna"}'
    assert decode(again.value or b"") == event._replace(session=None, late=False, document=parsed)
    assert [record.value for record in read_topic(settings, SOURCE, "enriched")[before:]] == [b"no Avro"], "a newer sink may read it"


@pytest.mark.parametrize("document", [b"no JSON", b"[1]", b'{"a":'])
def test_a_document_that_is_none_is_sent_again_as_it_is(document: bytes) -> None:
    event = EventEnvelope("id-1", OCTOBER_2016, "client", "kind", 7, False, document)
    assert decode(retry.before_session(event, ["session_os"])) == event._replace(session=None)


def test_what_newer_records_may_have_overtaken_is_not_sent_again(settings: Settings, dead: Dead) -> None:
    old = bury_record(settings, encode_patch(Patch("id-1", OCTOBER_2016, 7)), "patch_without_document")
    view = bury_record(settings, encode_summary(Summary("v", OCTOBER_2016 + 3 * DAY_MS, "views", b"{}")), "document_parsing_exception")
    newer = [encode_patch(Patch("id-1", OCTOBER_2016, 8)), encode_summary(Summary("v", OCTOBER_2016 + 3 * DAY_MS, "views", b'{"n":1}'))]
    for value in newer:
        put(settings, "enriched", b"client", value)
    done = dead("retry").stdout
    assert done.startswith("0 sent again\n2 not, since newer patches")
    assert "`tailrace sessions repair --source ezcast --from 2016-09-30 --to 2016-10-06`" in done
    assert [record.value for record in read_topic(settings, SOURCE, "enriched")[-2:]] == newer, "the newer ones are the last word"
    assert listed(dead) == sorted([old, view])
    assert dead("drop", "--yes").stdout == "2 dropped\n"


def test_a_retried_event_has_the_session_of_now_and_no_mark() -> None:
    """Its client's session began earlier than it seemed when the sink could not write it."""
    source = build(SOURCE, SourceSettings(format="ezcast"))
    data = MemoryPartition()
    state = State(data, source.session_gap_ms, days=90)
    sessionizer = Sessionizer(source, Topics("enriched", "sessions", "dead"))

    def sessionize(value: bytes) -> EventEnvelope:
        outputs, writes = sessionizer.run([Record(b"key", value)], state)  # type: ignore[arg-type]
        data.change(writes)
        found = decode(outputs[0].value or b"")
        assert isinstance(found, EventEnvelope)
        return found

    login = b'{"browser_name":"Firefox","user_os":"Linux"}'
    event = EventEnvelope("a", OCTOBER_2016, "client", "login", None, False, login, None, 1)
    failed = sessionize(encode_event(event))
    earlier = event._replace(id="b", time=OCTOBER_2016 - 1_000, document=b'{"browser_name":"Safari","user_os":"macOS"}')
    assert sessionize(encode_event(earlier)).session != failed.session
    retried = sessionize(retry.before_session(failed, source.session_properties))
    assert retried.session == session_id("client", OCTOBER_2016 - 1_000)
    assert not retried.late
    assert retried.document == b'{"session_browser":"Safari","session_os":"macOS",' + login[1:]


def test_what_cannot_be_sent_again_is_said(settings: Settings, dead: Dead) -> None:
    bury(settings, DeadLetter(key(PLACE, 5), b"beginning", "ship", "record_too_large", "too long", "", -1, -1))
    bury(settings, DeadLetter(key(PLACE, 6), b"{}", "sink", "any", "any", kafka.topic(settings.kafka, SOURCE, "enriched"), 0, 99))
    at = kafka.topic(settings.kafka, SOURCE, "raw"), 1, 12_345
    bury(settings, DeadLetter(key(PLACE, 7), b"the record", "parse", "any", "any", *at))
    done = dead("retry")
    assert done.exit_code == 1
    assert "1 sent again" in done.stdout
    assert "from the letter itself" in done.stdout
    assert "tailrace rewind" in done.stdout
    assert "tailrace replay" in done.stderr
    assert [(record.partition, record.key, record.value) for record in read_topic(settings, SOURCE, "raw")] == [
        (1, key(PLACE, 7), b"the record")
    ]
    assert len(listed(dead)) == 2, "what was not sent is listed still"


def test_a_letter_and_a_verdict_are_read_as_they_were_written() -> None:
    letter = DeadLetter(b"key", b"\x00\xff", "parse", "reason", "message", "topic", 3, 0)
    assert from_record(letter.key, letter.payload, letter.headers()) == letter
    assert handled(letter.headers()) is None
    assert handled(Handled(letter.id, "retried").headers()) == Handled(letter.id, "retried")
