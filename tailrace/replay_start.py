"""`tailrace replay start`: a generation made, and kept up with live data."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal

import click
import msgspec
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from tailrace import generations, kafka, options, search
from tailrace.catch_up import CatchUp
from tailrace.display import Display, Rates, rows
from tailrace.errors import Incomplete, TailraceError
from tailrace.generations import NAME, Generation, Generations
from tailrace.progress import Monitor, Watch
from tailrace.run import worker_commands
from tailrace.settings import Settings
from tailrace.supervisor import Supervisor

PLAIN_EVERY_S = 10.0
"""In a pipe."""
LOOK_EVERY_S = 1.0
NICENESS = 10
"""Of the replay and its workers: on a machine that the live pipeline needs too, they take what it leaves."""
ANSWER_S = 20.0

WHAT_IS_LEFT = "the oldest record that Kafka has kept"
"""Since when a generation goes back that was to hold everything, where retention has deleted older records."""

Origin = Literal["raw", "enriched"]
Offset = tuple[str, int, int]
"""Source, partition, offset."""


class OffsetType(click.ParamType):
    """`ezcast:0:1200`."""

    name = "offset"

    def convert(self, value: str | Offset, param: click.Parameter | None, ctx: click.Context | None) -> Offset:
        if isinstance(value, tuple):
            return value
        source, *numbers = value.rsplit(":", 2)
        if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            self.fail(f"{value!r} is not SOURCE:PARTITION:OFFSET, as ezcast:0:1200", param, ctx)
        return source, int(numbers[0]), int(numbers[1])


NO_MONITORS = {"TAILRACE_STREAM_MONITOR": "", "TAILRACE_SINK_MONITOR": ""}
"""The configuration's addresses are those of the live workers."""


@click.command(short_help="Make a generation from raw or enriched records, and keep it up.")
@click.argument("name")
@click.option(
    "--of",
    type=click.Choice(["raw", "enriched"]),
    default="raw",
    show_default=True,
    help="raw: parsed and sessionized anew; enriched: the same events indexed anew.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="TIME",
    help="Only records that Kafka received at this day or moment (UTC) or later; by default all.",
)
@click.option(
    "--offset",
    "offsets",
    type=OffsetType(),
    multiple=True,
    metavar="SOURCE:PARTITION:OFFSET",
    help="Only from this offset of a partition on (repeatable); partitions that are not named from their start.",
)
@click.option("--once", is_flag=True, help="End with exit code 0 when everything is searchable that was in Kafka at the start.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N", help="Processes of each role.")
@options.wait
@options.pass_settings
def start(
    settings: Settings,
    name: str,
    of: Origin,
    since: datetime | None,
    offsets: tuple[Offset, ...],
    once: bool,
    workers: int,
    wait_s: float,
) -> None:
    """Make the generation NAME of all sources from what Kafka holds, beside the running pipeline, and keep it up with live data.

    It has topics, groups and indices of its own; nothing of the generation that users see is touched. Runs until SIGTERM, SIGHUP or
    Ctrl-C, and goes on where it was when it is started again, also after a kill. On this machine its workers give way to others.
    A generation of a part of the events (--since, --offset) is good for trying a parser out.
    """
    if not NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r}: a letter, then at most 19 letters (lower case) and digits, as in v2", param_hint="NAME")
    if since is not None and offsets:
        raise click.UsageError("--since and --offset exclude each other")
    admin = kafka.connect(settings.kafka, wait_s)
    search.connect(settings.elasticsearch, wait_s).close()
    known = generations.read(settings.kafka)
    since = since and since.replace(tzinfo=UTC)
    generation = known.by_name.get(name)
    if generation is None:
        generation = _make(admin, settings, known, name, of, since, offsets)
    elif of != generation.of == "raw" or _told(since, offsets) not in ("start", generation.since):
        raise TailraceError(
            f"generation {name} is there, made of {generation.of} from {generation.since} on: go on without --of, --since and --offset, "
            "or take another name"
        )
    own, names = generations.settings_of(settings, generation), list(settings.sources)
    os.nice(NICENESS)
    with (
        Display(f"generation {name} of {generation.of}", PLAIN_EVERY_S) as display,
        Monitor(own, names) as monitor,
        CatchUp(own, names, generation.roles) as catch_up,
    ):
        commands = worker_commands(generation.roles, names, wait_s, workers, name)
        supervisor = Supervisor(commands, {**os.environ, "PYTHONUNBUFFERED": "1", **NO_MONITORS}, display.say)
        with Watch(monitor) as watch, supervisor:
            finished = supervisor.run(_looking(watch, display, catch_up, name, once))
    if once and not finished:
        raise Incomplete(f"stopped before generation {name} had caught up; start it again to go on")


def _make(
    admin: AdminClient, settings: Settings, known: Generations, name: str, of: Origin, since: datetime | None, offsets: Sequence[Offset]
) -> Generation:
    """A new generation: its topics, where its groups start, and last its entry, so that one half made is made again."""
    streams = name if of == "raw" else known.named(None).streams
    generation = Generation(name=name, of=of, streams=streams, since=_told(since, offsets))
    own = generations.settings_of(settings, generation)
    _check_offsets(admin, own, of, offsets)
    generations.ensure_topic(admin, settings.kafka)
    kafka.ensure_topics(admin, own.kafka, settings.sources)
    whole = commit_start(own, generation, list(settings.sources), since, offsets)
    if generation.since == "start" and not whole:
        generation = msgspec.structs.replace(generation, since=WHAT_IS_LEFT)
    generations.remember(settings.kafka, generation)
    return generation


def _told(since: datetime | None, offsets: Sequence[Offset]) -> str:
    return since.isoformat() if since else " ".join("{}:{}:{}".format(*offset) for offset in offsets) or "start"


def _check_offsets(admin: AdminClient, settings: Settings, of: Origin, offsets: Sequence[Offset]) -> None:
    """Before anything is made. Raises click.BadParameter for a source or partition that is not there."""
    topics = admin.list_topics(timeout=ANSWER_S).topics
    for source, number, _ in offsets:
        if source not in settings.sources:
            raise click.BadParameter(f"{source} is no source; there are {', '.join(settings.sources)}", param_hint="--offset")
        topic = kafka.topic(settings.kafka, source, of)
        if topic not in topics or number not in topics[topic].partitions:
            raise click.BadParameter(f"there is no partition {number} of {topic}", param_hint="--offset")


def commit_start(
    settings: Settings, generation: Generation, sources: Sequence[str], since: datetime | None, offsets: Sequence[Offset]
) -> bool:
    """Commit where the generation's first group is to start, in every partition, since one half made may have committed other offsets.

    False where Kafka has deleted records, so that its topics do not go back to the beginning.
    """
    group = kafka.group(settings.kafka, generation.roles[0])
    names = {source: kafka.topic(settings.kafka, source, generation.of) for source in sources}
    consumer = Consumer(kafka.client_config(settings.kafka, group_id=group, enable_auto_commit=False))
    with closing(consumer):
        topics = consumer.list_topics(timeout=ANSWER_S).topics
        partitions = [TopicPartition(name, number) for name in names.values() for number in topics[name].partitions]
        firsts = [_watermarks(consumer, at)[0] for at in partitions]
        if since is not None:
            moment = int(since.timestamp() * 1000)
            asked = [TopicPartition(at.topic, at.partition, moment) for at in partitions]
            starts = [_no_later_than_end(consumer, at) for at in consumer.offsets_for_times(asked, timeout=ANSWER_S)]
        else:
            told = {(names[source], number): offset for source, number, offset in offsets}
            starts = [
                TopicPartition(at.topic, at.partition, told.get((at.topic, at.partition), first))
                for at, first in zip(partitions, firsts, strict=True)
            ]
        consumer.commit(offsets=starts, asynchronous=False)
    return not any(firsts)


def _watermarks(consumer: Consumer, at: TopicPartition) -> tuple[int, int]:
    first, end = consumer.get_watermark_offsets(at, timeout=ANSWER_S)
    return first, end


def _no_later_than_end(consumer: Consumer, at: TopicPartition) -> TopicPartition:
    """Where no record is so late, Kafka answers with a negative offset."""
    if at.offset < 0:
        at.offset = _watermarks(consumer, at)[1]
    return at


def _looking(watch: Watch, display: Display, catch_up: CatchUp, name: str, once: bool) -> Callable[[], bool]:
    """What the supervisor asks twice a second: show how far it is, and say once when it has caught up."""
    rates = Rates()
    caught_up, look_at = False, 0.0

    def look() -> bool:
        nonlocal caught_up, look_at
        now = time.monotonic()
        if watch.latest is not None or watch.failure:
            display.show(rows(watch.latest, rates, now) if watch.latest else [], watch.failure or "")
        if not caught_up and now >= look_at:
            look_at = now + LOOK_EVERY_S
            caught_up = catch_up.look()
            if caught_up:
                goes_on = "" if once else "; it follows live data until it is stopped"
                display.say(
                    f"generation {name} has caught up{goes_on}. Next: tailrace replay compare {name}, tailrace replay switch {name}"
                )
        return once and caught_up

    return look
