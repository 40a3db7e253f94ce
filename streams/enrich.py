"""What lists, databases and the key add to an event, and what privacy takes away: the last step before `<source>.events`."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from schemas.address import LONGEST as LONGEST_ADDRESS
from schemas.counter import HOUR_MS, Access, Counter
from schemas.event import Event, Usual
from schemas.keyed import Keyed
from schemas.pseudonyms import Pseudonyms, coarse
from schemas.source import Source
from streams.agents import LONGEST as LONGEST_AGENT
from streams.browsers import describe
from streams.lists import AboutAddress, Lists
from tailrace.errors import ConfigError
from tailrace.watched import LOOK_EVERY_S

CACHED = 20_000
"""Addresses, agents, pairs of both, and pairs by the hour, whose verdicts are kept. With geography a client takes about 2.6 kB, so
52 MB at the most."""
_ADMIN = "d1_admin_subject"
_ADDRESS_CUT = LONGEST_ADDRESS + 1
"""Characters of an address that are looked at: enough to tell that one is too long."""


class _AboutAgent(NamedTuple):
    tags: tuple[str, ...]
    details: dict[str, Any] | None


class _AboutClient(NamedTuple):
    """What is known about an address with an agent. Shared by the documents that have them, so nobody changes it."""

    tags: tuple[str, ...]
    fields: dict[str, Any]
    """Of the document: `geoip`, `client_class`, `user_agent`."""
    access: Access | None
    """None where the source has no accesses in COUNTER's sense."""


class Enricher:
    """Adds to the events of one source. One per process is enough; it is not made for several threads.

    `key` is `tailrace.settings.hash_key`. Raises ConfigError as `Lists`, and where pseudonyms are asked for without a key.
    """

    def __init__(self, source: Source, key: bytes = b"") -> None:
        self._source = source
        self._address_field, self._agent_field, self._subject_field = source.address_field, source.user_agent_field, source.subject_field
        self._no_address = None if source.address_field is None else ""
        self._no_agent = None if source.user_agent_field is None or not source.user_agent_expected else ""
        self._lists = Lists(source)
        self._admins = self._lists.admins
        self._counter = Counter(Keyed(key))
        self._counter_kinds = source.counter_kinds
        self._pseudonyms = _pseudonyms(source, key)
        self._about = lru_cache(CACHED)(self._judge)
        self._about_address = lru_cache(CACHED)(self._judge_address)
        self._about_agent = lru_cache(CACHED)(self._judge_agent)
        self._ending = lru_cache(CACHED)(self._write_ending)
        self._look_again = time.monotonic() + LOOK_EVERY_S

    def enrich(self, event: Event) -> Event:
        """The event, with its document changed in place.

        `tags`, which the parser has set, are added to; `geoip`, `client_class`, `user_agent` and `counter` set where they are known;
        people hidden where the source says so.
        """
        if time.monotonic() >= self._look_again:
            self.refresh()
        document = event.document
        get: Any = document.get  # of None, where the source has no such field, there is nothing
        address, agent = get(self._address_field), get(self._agent_field)
        tags, fields, access = self._about(
            address[:_ADDRESS_CUT] if address.__class__ is str else self._no_address,
            agent[:LONGEST_AGENT] if agent.__class__ is str else self._no_agent,
        )
        if tags:
            document["tags"] += tags
        if fields:
            document.update(fields)
        subject = get(self._subject_field)
        is_admin = subject.__class__ is str and subject in self._admins
        if is_admin:
            document["tags"].append(_ADMIN)
        if access is not None and event.kind in self._counter_kinds:
            document["counter"] = self._counter.fields(access, is_admin, event.time, event.id)
        return event if self._pseudonyms is None else self._pseudonyms.hide(event)

    def endings(self) -> Callable[[Usual], bytes] | None:
        """What ends a usual event's document: the same that `enrich` would add. To be asked for with each batch.

        None where people are hidden, which takes a document.
        """
        if time.monotonic() >= self._look_again:
            self.refresh()
        return None if self._pseudonyms is not None else self._end

    def _end(self, event: Usual) -> bytes:
        agent = event.agent
        return self._ending(
            event.address,
            agent if agent is None else agent[:LONGEST_AGENT],
            event.subject in self._admins,
            event.time // HOUR_MS if event.kind in self._counter_kinds else None,
        )

    def _write_ending(self, address: str, agent: str | None, is_admin: bool, counted_hour: int | None) -> bytes:
        about = self._about(address, agent)
        added = {"tags": (*about.tags, _ADMIN) if is_admin else about.tags, **about.fields}
        if about.access is not None and counted_hour is not None:
            added["counter"] = self._counter.fields(about.access, is_admin, counted_hour * HOUR_MS, "")
        return orjson.dumps(added)[1:]

    def refresh(self) -> None:
        """Read again what has changed. `enrich` and `endings` do so once in LOOK_EVERY_S seconds."""
        self._look_again = time.monotonic() + LOOK_EVERY_S
        if self._lists.refresh():
            self._admins = self._lists.admins
            for cached in (self._about, self._about_address, self._about_agent, self._ending):
                cached.cache_clear()

    def _judge(self, address_text: str | None, agent_text: str | None) -> _AboutClient:
        """None: the source has no such field, or this event need not have it."""
        found = self._about_address(address_text) if address_text is not None else AboutAddress(None, (), {}, None)
        agent = self._about_agent(agent_text) if agent_text is not None else _AboutAgent((), None)
        tags = found.tags + agent.tags
        access = self._counter.access(found.address, agent_text or "", tags, self._lists.version) if self._counter_kinds else None
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
