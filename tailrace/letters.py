"""The dead letters of a source as their topic tells them: each once, with what was decided about it, and which of them one asks for."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from confluent_kafka import Message

from schemas.place import Place, split_key
from tailrace.dead import DeadLetter, from_record, handled
from tailrace.kafka import dead_topics
from tailrace.settings import Settings
from tailrace.topics import TopicReader

Position = tuple[str, int, int]
"""Topic, partition, offset."""

State = Literal["waiting", "retried", "dropped"]


@dataclass
class Letter:
    """One dead letter and where it stands."""

    id: str
    source: str
    letter: DeadLetter
    topic: str
    partition: int
    """With `topic`: where the letter is, so that its verdict can follow it."""
    time_ms: int
    """When it was written, in milliseconds since 1970."""
    state: State = "waiting"
    failed: set[Position] = field(default_factory=set)
    """The records that failed: a copy, or the letter's own retry, is another record of the same."""

    @property
    def place(self) -> tuple[Place, int] | None:
        """The file and the byte offset; None where the key names none."""
        try:
            return split_key(self.letter.key)
        except ValueError:
            return None

    @property
    def written(self) -> datetime:
        return datetime.fromtimestamp(self.time_ms / 1000, UTC)


class Letters:
    """Letters by id. Tell it the records of a dead letter topic in order, then ask.

    A letter that comes again for another record than before has failed again, so a retried one waits anew; a dropped one stays dropped.
    """

    def __init__(self, stages: Collection[str], *, payloads: bool = True) -> None:
        """`stages`: those whose letters count; on the first generation's topic stand the producers' letters of all generations.
        `payloads`: whether to keep these, and the messages."""
        self._stages = stages
        self._payloads = payloads
        self.by_id: dict[str, Letter] = {}

    def take(self, source: str, message: Message) -> None:
        verdict = handled(message.headers())
        if verdict is not None:
            known = self.by_id.get(verdict.letter)
            if known is not None:
                known.state = verdict.verdict
            return
        letter = from_record(message.key(), message.value(), message.headers())
        if letter.stage and letter.stage not in self._stages:
            return
        failed = letter.topic, letter.partition, letter.offset
        known = self.by_id.get(letter.id)
        if known is None:
            kept = letter if self._payloads else letter._replace(payload=b"", message="")
            known = Letter(letter.id, source, kept, message.topic(), message.partition(), message.timestamp()[1])
            self.by_id[letter.id] = known
        elif known.state == "retried" and failed not in known.failed:
            known.state, known.letter, known.time_ms = "waiting", letter, message.timestamp()[1]
        known.failed.add(failed)

    def __iter__(self) -> Iterator[Letter]:
        """In the order in which they were first written, partition by partition."""
        return iter(self.by_id.values())


class Filter(NamedTuple):
    """Which letters one asks for; what is empty or None does not matter."""

    ids: tuple[str, ...] = ()
    """Beginnings of ids."""
    stage: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Written before this moment."""
    file: str | None = None
    """A part of the path, the file id, or the place itself, `PATH@OFFSET`."""
    contains: str | None = None
    """A part of the payload or the message."""
    handled: bool = False
    """True: those that were retried or dropped, too."""

    def passes(self, letter: Letter) -> bool:
        return (
            (self.handled or letter.state == "waiting")
            and (not self.ids or letter.id.startswith(self.ids))
            and self.stage in (None, letter.letter.stage)
            and self.reason in (None, letter.letter.reason)
            and (self.since is None or letter.written >= self.since)
            and (self.until is None or letter.written < self.until)
            and (self.file is None or self._stands_in(letter, self.file))
            and (
                self.contains is None
                or self.contains.encode() in letter.letter.payload
                or self.contains.lower() in letter.letter.message.lower()
            )
        )

    def _stands_in(self, letter: Letter, file: str) -> bool:
        if letter.place is None:
            return False
        place, offset = letter.place
        return file in place.path or file in (place.file, f"{place.path}@{offset}", f"{place.file}@{offset}")


def read(settings: Settings, sources: Iterable[str], wanted: Filter) -> list[Letter]:
    """The letters of the sources in the settings' generation that pass the filter. Raises Unreachable where the broker does not answer."""
    found: list[Letter] = []
    for source in sources:
        for topic, stages in dead_topics(settings.kafka, source).items():
            letters = Letters(stages)
            with closing(TopicReader(settings.kafka, topic)) as reader:
                for message in reader.records():
                    letters.take(source, message)
            found += (letter for letter in letters if wanted.passes(letter))
    return found
