"""`tailrace replay switch`, `rollback`, `abandon` and `drop`: what users see, and what is deleted."""

import time
from collections.abc import Sequence
from contextlib import closing
from typing import get_args

import click
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sinks.view import View
from tailrace import generations, kafka, options, search
from tailrace.catch_up import CatchUp
from tailrace.dead import Stage
from tailrace.errors import Incomplete, TailraceError
from tailrace.generations import FIRST, Current, Generation, Generations
from tailrace.progress import Monitor
from tailrace.settings import Settings
from tailrace.sources import load_sources
from tailrace.words import amount

ANSWER_S = 20.0
LOOK_EVERY_S = 0.5


@click.command(short_help="Let users see a generation, in one step.")
@click.argument("name")
@click.option(
    "--timeout",
    "timeout_s",
    type=options.Duration(),
    default="60s",
    show_default=True,
    metavar="DURATION",
    help="Wait this long for the generation to have everything that Kafka holds now.",
)
@click.option("--partial", is_flag=True, help="Though it was made with --since or --offset, so that older events are not seen any more.")
@options.wait
@options.pass_settings
def switch(settings: Settings, name: str, timeout_s: float, partial: bool, wait_s: float) -> None:
    """Let users see the generation NAME in place of the current one, in one step.

    First waits until everything is searchable in NAME that Kafka holds now. Nothing is stopped: running services keep the former
    generation up, for a rollback, until they are restarted; from then on they work for NAME.
    """
    admin = kafka.connect(settings.kafka, wait_s)
    known = generations.read(settings.kafka)
    generation = known.named(name)
    if generation.since != "start" and not partial:
        raise TailraceError(f"generation {name} was made from {generation.since} on: events before would not be seen; give --partial if so")
    own = generations.settings_of(settings, generation)
    with CatchUp(own, settings.sources, generation.roles) as catch_up:
        deadline = time.monotonic() + timeout_s
        while not catch_up.look():
            if time.monotonic() >= deadline:
                raise Incomplete(
                    f"generation {name} has not caught up within {timeout_s:.0f} s ({_to_go(settings, generation)}): are its workers "
                    f"running (`tailrace replay start {name}`)? Give --timeout more time"
                )
            time.sleep(LOOK_EVERY_S)
    _switch(settings, known, name, wait_s)
    if not _members(admin, settings, generation):
        click.echo(f"no worker of generation {name} runs: start them, or restart the services, which work for {name} from now on")


@click.command(short_help="Let users see the former generation again.")
@options.wait
@options.pass_settings
def rollback(settings: Settings, wait_s: float) -> None:
    """Let users see the former generation again, at once and in one step, and say whether it is up to date."""
    kafka.connect(settings.kafka, wait_s)
    known = generations.read(settings.kafka)
    if known.current.former is None:
        raise TailraceError(f"there is no former generation: {known.current.name} is the only one that users have seen, or it was dropped")
    former = known.named(known.current.former)
    _switch(settings, known, former.name, wait_s)
    behind = _to_go(settings, former)
    if behind:
        click.echo(
            f"it is behind: {behind}. `tailrace run --generation {former.name}` or restarted services go on where its workers stopped"
        )


@click.command(short_help="Delete a generation that is not wanted.")
@click.argument("name")
@options.wait
@options.pass_settings
def abandon(settings: Settings, name: str, wait_s: float) -> None:
    """Delete the topics, groups and indices of the generation NAME, which users neither see nor saw before.

    Stop its workers first.
    """
    admin = kafka.connect(settings.kafka, wait_s)
    known = generations.read(settings.kafka)
    if name == known.current.former:
        raise TailraceError(f"{name} is the former generation, kept for a rollback: `tailrace replay drop` deletes it")
    _delete(admin, settings, known, known.named(name), wait_s)


@click.command(short_help="Delete the former generation.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.wait
@options.pass_settings
def drop(settings: Settings, yes: bool, wait_s: float) -> None:
    """Delete the topics, groups and indices of the generation that users saw before the current one. A rollback is not possible then.

    Restart the services first: until then they work for it.
    """
    admin = kafka.connect(settings.kafka, wait_s)
    known = generations.read(settings.kafka)
    if known.current.former is None:
        raise TailraceError("there is no former generation to drop")
    former = known.named(known.current.former)
    if not yes:
        click.confirm(f"Delete generation {former.name}? Users see {known.current.name}.", abort=True)
    _delete(admin, settings, known, former, wait_s)


def _switch(settings: Settings, known: Generations, name: str, wait_s: float) -> None:
    before = known.current
    old = before.former if before.name == name and before.former else before.name
    with closing(search.connect(settings.elasticsearch, wait_s)) as client:
        View(client, settings.elasticsearch, load_sources(settings, settings.sources).values()).switch(old, name)
    if before.name != name:
        generations.ensure_topic(kafka.connect(settings.kafka), settings.kafka)
        generations.remember(settings.kafka, Current(name, before.name, before.first))
    click.echo(f"users see generation {name}" + (f"; {old} is kept: `tailrace replay rollback` goes back" if old != name else ""))


def _delete(admin: AdminClient, settings: Settings, known: Generations, generation: Generation, wait_s: float) -> None:
    """Delete what a generation has; its entry last, so that a deletion that was killed is completed by another."""
    name = generation.name
    if name == known.current.name:
        raise TailraceError(f"users see generation {name}: switch to another or roll back first")
    dependent = [other.name for other in known.by_name.values() if other.streams == name and other.name != name]
    if dependent:
        raise TailraceError(
            f"generation {', '.join(dependent)} is indexed from the topics of {name}, which are needed as long as it exists"
        )
    members = _members(admin, settings, generation)
    if members:
        raise TailraceError(f"workers of generation {name} still run ({', '.join(members)}): stop them, or restart the services")
    with closing(search.connect(settings.elasticsearch, wait_s)) as client:
        indices = View(client, settings.elasticsearch, load_sources(settings, settings.sources).values()).delete(name)
    topics = _delete_topics(admin, settings, generation)
    _delete_groups(admin, settings, generation)
    now = known.current
    generations.remember(settings.kafka, Current(now.name, None if now.former == name else now.former, now.first and name != FIRST))
    if name != FIRST:
        generations.forget(settings.kafka, name)
    click.echo(f"generation {name} is deleted: {amount(indices, 'index', 'indices')}, {amount(topics, 'topic')}")


def _delete_topics(admin: AdminClient, settings: Settings, generation: Generation) -> int:
    """What of the topics is the generation's own: neither what producers write nor, where it is made of enriched, what others made."""
    own = generations.settings_of(settings, generation).kafka
    changelogs = f"{kafka.group(own, 'sessionize')}-"
    wanted = {kafka.dead_topic(own, source, stage) for source in settings.sources for stage in get_args(Stage) if stage in generation.roles}
    wanted -= {kafka.topic(own, source, "dead") for source in settings.sources}
    if generation.of == "raw":
        wanted |= {kafka.topic(own, source, kind) for source in settings.sources for kind in generations.OWN_KINDS}
    there = [
        topic
        for topic in admin.list_topics(timeout=ANSWER_S).topics
        if topic in wanted or (generation.of == "raw" and topic.startswith(changelogs) and topic.endswith("-changelog"))
    ]
    _await(admin.delete_topics(there, operation_timeout=ANSWER_S) if there else {}, KafkaError.UNKNOWN_TOPIC_OR_PART)
    return len(there)


def _delete_groups(admin: AdminClient, settings: Settings, generation: Generation) -> None:
    own = generations.settings_of(settings, generation).kafka
    groups = [kafka.group(own, role) for role in generation.roles]
    _await(admin.delete_consumer_groups(groups, request_timeout=ANSWER_S), KafkaError.GROUP_ID_NOT_FOUND)


def _await(futures: dict[str, object], gone: int) -> None:
    for what, future in futures.items():
        try:
            future.result(timeout=ANSWER_S)  # type: ignore[attr-defined]
        except KafkaException as failure:
            if failure.args[0].code() != gone:
                raise TailraceError(f"cannot delete {what}: {failure.args[0].str()}; run this again") from None


def _members(admin: AdminClient, settings: Settings, generation: Generation) -> Sequence[str]:
    """The roles of a generation that have workers."""
    own = generations.settings_of(settings, generation).kafka
    groups = {kafka.group(own, role): role for role in generation.roles}
    described = admin.describe_consumer_groups(list(groups), request_timeout=ANSWER_S)
    found = []
    for group, future in described.items():
        try:
            if future.result(timeout=ANSWER_S).members:
                found.append(groups[group])
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise TailraceError(f"cannot ask for the workers of {group}: {failure.args[0].str()}") from None
    return found


def _to_go(settings: Settings, generation: Generation) -> str:
    with Monitor(generations.settings_of(settings, generation), settings.sources) as monitor:
        stages = [stage for stage in monitor.look().stages if stage.name in generation.roles and stage.lag]
    return ", ".join(f"{stage.name} has {stage.lag:,} records to go" for stage in stages)
