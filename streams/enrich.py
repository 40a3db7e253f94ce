"""What lists, databases and the key add to an event, and what privacy takes away: the last step before `<source>.events`."""

import time
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.address import LONGEST as LONGEST_ADDRESS
from schemas.counter import Access, Counter
from schemas.event import Event
from schemas.keyed import Keyed
from schemas.pseudonyms import Pseudonyms, coarse
from schemas.source import Source
from streams.agents import LONGEST as LONGEST_AGENT
from streams.browsers import describe
from streams.lists import AboutAddress, Lists
from tailrace.errors import ConfigError
from tailrace.watched import LOOK_EVERY_S

CACHED = 20_000
"""Addresses, agents and pairs of both whose verdicts are kept. With geography an address takes about 1.7 kB, so 34 MB at the most."""


class _AboutAgent(NamedTuple):
    tags: tuple[str, ...]
    details: dict[str, Any] | None


class _AboutClient(NamedTuple):
    """What is known about an address with an agent. Shared by the documents that have them, so nobody changes it."""

    tags: tuple[str, ...]
    fields: dict[str, Any]
    """Of the document: `geoip`, `client_class`, `user_agent`."""
    access: Access


class Enricher:
    """Adds to the events of one source. One per process is enough; it is not made for several threads.

    `key` is `tailrace.settings.hash_key`. Raises ConfigError as `Lists`, and where pseudonyms are asked for without a key.
    """

    def __init__(self, source: Source, key: bytes = b"") -> None:
        self._source = source
        self._lists = Lists(source)
        self._counter = Counter(Keyed(key))
        self._pseudonyms = _pseudonyms(source, key)
        self._about = lru_cache(CACHED)(self._judge)
        self._about_address = lru_cache(CACHED)(self._judge_address)
        self._about_agent = lru_cache(CACHED)(self._judge_agent)
        self._look_again = time.monotonic() + LOOK_EVERY_S

    def enrich(self, event: Event) -> Event:
        """The event, with its document changed in place.

        `tags` are added to; `geoip`, `client_class`, `user_agent` and `counter` set where they are known; people hidden where the
        source says so.
        """
        if time.monotonic() >= self._look_again:
            self.refresh()
        source, document = self._source, event.document
        address = _text(document.get(source.address_field))[: LONGEST_ADDRESS + 1] if source.address_field is not None else None
        agent = None
        if source.user_agent_field is not None and (source.user_agent_expected or source.user_agent_field in document):
            agent = _text(document.get(source.user_agent_field))[:LONGEST_AGENT]
        about = self._about(address, agent)
        tags: list[str] = document.setdefault("tags", [])
        tags += about.tags
        document.update(about.fields)
        is_admin = source.subject_field is not None and self._lists.is_admin(_text(document.get(source.subject_field)))
        if is_admin:
            tags.append("d1_admin_subject")
        if event.kind in source.counter_kinds:
            document["counter"] = self._counter.fields(about.access, is_admin, event.time, event.id, self._lists.version)
        return event if self._pseudonyms is None else self._pseudonyms.hide(event)

    def refresh(self) -> None:
        """Read again what has changed. `enrich` does so once in LOOK_EVERY_S seconds."""
        self._look_again = time.monotonic() + LOOK_EVERY_S
        if self._lists.refresh():
            for cached in (self._about, self._about_address, self._about_agent):
                cached.cache_clear()

    def _judge(self, address_text: str | None, agent_text: str | None) -> _AboutClient:
        """None: the source has no such field, or this event need not have it."""
        found = self._about_address(address_text) if address_text is not None else AboutAddress(None, (), {}, None)
        agent = self._about_agent(agent_text) if agent_text is not None else _AboutAgent((), None)
        tags = found.tags + agent.tags
        access = self._counter.access(found.address, agent_text or "", tags)
        fields = {"geoip": found.geoip or None, "client_class": found.client_class, "user_agent": agent.details}
        return _AboutClient(tags, {name: value for name, value in fields.items() if value is not None}, access)

    def _judge_address(self, text: str) -> AboutAddress:
        found = self._lists.about_address(text)
        return found if self._pseudonyms is None else found._replace(geoip=coarse(found.geoip))

    def _judge_agent(self, agent: str) -> _AboutAgent:
        return _AboutAgent(self._lists.about_agent(agent), describe(agent) if self._source.user_agent_details else None)


def _pseudonyms(source: Source, key: bytes) -> Pseudonyms | None:
    settings = source.settings
    if not settings.pseudonymize:
        return None
    if not key:
        raise ConfigError(f"sources.{source.name}.pseudonymize needs a key: set TAILRACE_HASH_KEY, or hash_key_file to the path of a file")
    address = () if source.address_field is None else (source.address_field,)
    return Pseudonyms(Keyed(key), (*address, *source.person_fields, *settings.personal_fields), source.nobody, source.client_of)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
