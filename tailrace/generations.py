"""Generations: the pipeline a second time, beside the first, made anew from Kafka with a new parser or into new indices.

| | the first generation, `1` | generation `v2` of raw | generation `v3` of enriched, made from v2 |
|---|---|---|---|
| topics | `ezcast.events` | `ezcast.events.v2` | those of v2 |
| groups | `tailrace-parse` … `tailrace-sink` | `tailrace-parse.v2` … | those of v2, and `tailrace-sink.v3` |
| indices | `ezcast-2016.10` | `generation-v2-ezcast-2016.10` | `generation-v3-ezcast-2016.10` |

All read the same `<source>.raw` and belong to all sources of one topic prefix. Which generation there are and which one is current, that is
which one users see and which one a role takes that is not told otherwise, stands on the compacted topic `<prefix>tailrace.generations`.
"""

import re
from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal, NamedTuple

import click
import msgspec
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tailrace import kafka
from tailrace import settings as config
from tailrace.errors import ConfigError, TailraceError
from tailrace.topics import TopicReader

FIRST = "1"
"""The generation whose names carry no mark; there from the beginning."""
NAME = re.compile(r"[a-z][a-z0-9]{0,19}")

STREAMS = frozenset({"events", "enriched", "sessions", "parse", "sessionize"})
"""Kinds of topics and roles of groups that a generation of raw has for itself; the sink every generation."""

OWN_KINDS: tuple[kafka.Kind, ...] = ("events", "enriched", "sessions")
ROLES = ("parse", "sessionize", "sink")


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    of: Literal["raw", "enriched"]
    """What it is made from."""
    streams: str
    """The generation whose streams it reads: its own, where it is made from raw."""
    since: str = "start"
    """From where on, in words; anything but `start` holds a part of the events only."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that work for this generation alone."""
        return ROLES if self.of == "raw" else ("sink",)


class Current(msgspec.Struct, frozen=True):
    """Which generation users see, and which one they saw before."""

    name: str = FIRST
    former: str | None = None
    first: bool = True
    """Whether the first generation is there; the others have entries of their own."""


class Generations(NamedTuple):
    """What the topic says."""

    by_name: dict[str, Generation]
    current: Current

    def named(self, name: str | None) -> Generation:
        """A generation, the current one by default. Raises ConfigError for one that does not exist."""
        name = name or self.current.name
        if name not in self.by_name:
            raise ConfigError(f"there is no generation {name}; there are {', '.join(self.by_name)}")
        return self.by_name[name]


class Kafka(config.Kafka, frozen=True, kw_only=True):
    """The settings as a later generation sees them: some topics and groups have other names."""

    streams: str
    index: str

    def suffix(self, name: str) -> str:
        generation = self.streams if name in STREAMS else self.index if name == "sink" else FIRST
        return "" if generation == FIRST else f".{generation}"


def index_prefix(elasticsearch: config.Elasticsearch, name: str) -> str:
    """What a generation's indices and templates begin with. The pattern `ezcast-*` matches none of a later generation's."""
    return elasticsearch.index_prefix + ("" if name == FIRST else f"generation-{name}-")


def settings_of(settings: config.Settings, generation: Generation) -> config.Settings:
    """The settings with the names of a generation."""
    if generation.name == FIRST:
        return settings
    search = msgspec.structs.replace(settings.elasticsearch, index_prefix=index_prefix(settings.elasticsearch, generation.name))
    own = Kafka(**msgspec.structs.asdict(settings.kafka), streams=generation.streams, index=generation.name)
    return msgspec.structs.replace(settings, kafka=own, elasticsearch=search)


def resolve(settings: config.Settings, name: str | None) -> config.Settings:
    """The settings of the generation that a role works for: the named one, else the current one. Kafka must answer."""
    return settings_of(settings, read(settings.kafka).named(name))


class Indices(NamedTuple):
    """How to ask for the indices of one source in one generation."""

    pattern: str
    expand_wildcards: list[str]


def indices_of(settings: config.Settings, known: Generations, source: str, name: str) -> Indices:
    """The current generation's are those that users see; the first one's are hidden when they are not."""
    stems = {block.index or other for other, block in settings.sources.items()}
    stem = settings.sources[source].index or source
    prefix = index_prefix(settings.elasticsearch, FIRST if name == known.current.name else name)
    if name == FIRST != known.current.name:  # `ezcast-*` would also find what the alias leads to
        return Indices(",".join(f"{prefix}{stem}-{months}" for months in ("1*", "2*", "undated")), ["open", "hidden"])
    others = [f"-{prefix}{other}-*" for other in sorted(stems) if other.startswith(f"{stem}-")]
    return Indices(",".join([f"{prefix}{stem}-*", *others]), ["open"])


def option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--generation NAME, as `generation`."""
    return click.option(
        "--generation", metavar="NAME", help="Work for this generation (see `tailrace replay`); by default the one that is current."
    )(command)


def topic_name(settings: config.Kafka) -> str:
    return f"{settings.topic_prefix}tailrace.generations"


def read(settings: config.Kafka) -> Generations:
    """The generations; the first alone where the topic is missing, as it is before the first replay.

    Raises Unreachable where the broker does not answer, TailraceError for records of another Tailrace.
    """
    by_name = {FIRST: Generation(name=FIRST, of="raw", streams=FIRST)}
    current = Current()
    with closing(TopicReader(settings, topic_name(settings))) as reader:
        for message in reader.records():
            key, value = (message.key() or b"").decode(), message.value()
            try:
                if key == "current":
                    current = msgspec.json.decode(value or b"{}", type=Current)
                elif value is None:
                    by_name.pop(key.partition(":")[2], None)
                else:
                    found = msgspec.json.decode(value, type=Generation)
                    by_name[found.name] = found
            except msgspec.DecodeError as error:
                raise TailraceError(f"{topic_name(settings)} holds a record that this version cannot read: {error}") from None
    if not current.first:
        del by_name[FIRST]
    return Generations(by_name, current)


def ensure_topic(admin: AdminClient, settings: config.Kafka) -> None:
    name = topic_name(settings)
    if name in admin.list_topics(timeout=10).topics:
        return
    conf = {"cleanup.policy": "compact", "retention.ms": "-1"}
    made = admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=settings.replication_factor, config=conf)])
    try:
        made[name].result(timeout=30)
    except KafkaException as failure:
        raise TailraceError(f"cannot create topic {name}: {failure.args[0].str()}") from None


def remember(settings: config.Kafka, what: Generation | Current) -> None:
    """Write down a generation, or which one is current. The topic must exist."""
    _write(settings, "current" if isinstance(what, Current) else f"generation:{what.name}", msgspec.json.encode(what))


def forget(settings: config.Kafka, name: str) -> None:
    """A generation is gone."""
    _write(settings, f"generation:{name}", None)


def _write(settings: config.Kafka, key: str, value: bytes | None) -> None:
    failures: list[str] = []
    producer = Producer(kafka.producer_config(settings))
    producer.produce(topic_name(settings), value, key, on_delivery=lambda error, _: failures.append(error.str()) if error else None)
    if producer.flush(20) or failures:
        raise TailraceError(
            f"{topic_name(settings)} did not take a record{': ' + failures[0] if failures else ' within 20 s'}; run this again"
        )
