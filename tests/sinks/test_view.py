"""A switch of generations that is killed at any of its steps: users see one generation at each moment, and the next one puts it right."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from elasticsearch import Elasticsearch

from schemas.source import SourceSettings
from sinks import replay_cli, templates
from tailrace import generations, kafka, search
from tailrace.generations import FIRST, Current, Generation, Generations
from tailrace.settings import Settings
from tailrace.sources import load_sources

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

DOCUMENTS = 3
OLD, NEW = Generation(name=FIRST, of="raw", streams=FIRST), Generation(name="v2", of="raw", streams="v2")
READING = ("_search", "_refresh", "_mget")


class Killed(BaseException):
    """Nothing that comes after it is done."""


@dataclass
class Steps:
    """What a switch changes, in order. Dies in front of the step with the number `last`."""

    watch: Callable[[], None]
    last: int | None = None
    done: list[str] = field(default_factory=list)

    def begin(self, what: str) -> None:
        self.watch()
        if len(self.done) == self.last:
            raise Killed(what)
        self.done.append(what)


class Site:
    """A source with events and sessions in two generations."""

    def __init__(self, settings: Settings, client: Elasticsearch, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = client
        self.settings = msgspec.structs.replace(settings, sources={"own": SourceSettings(format="json", client=["who"])})
        self._sources = load_sources(self.settings, ["own"])
        self._monkeypatch = monkeypatch
        self._connect = search.connect
        self.current = Current()
        """In place of a record on a topic, which is written in one step too."""
        monkeypatch.setattr(kafka, "connect", lambda *_: None)
        monkeypatch.setattr(generations, "ensure_topic", lambda *_: None)

    def reset(self) -> None:
        """As an installation is in which nothing was switched yet."""
        prefix = self.settings.elasticsearch.index_prefix
        names = list(self.client.indices.get(index=f"{prefix}*", expand_wildcards="all", features="aliases"))
        if names:
            self.client.indices.delete(index=names)
        for generation in (FIRST, NEW.name):
            own = generations.index_prefix(self.settings.elasticsearch, generation)
            for name in ("own", "own-sessions"):
                self.client.options(ignore_status=404).indices.delete_index_template(name=f"{own}tailrace-{name}")
                self.client.options(ignore_status=404).cluster.delete_component_template(name=f"{own}tailrace-{name}-view")
        self.current = Current()
        for generation in (FIRST, NEW.name):
            own_settings = msgspec.structs.replace(
                self.settings.elasticsearch, index_prefix=generations.index_prefix(self.settings.elasticsearch, generation)
            )
            templates.install(self.client, own_settings, self._sources.values())
            for index in ("own-2016.10", "own-sessions-2016.10"):
                operations = [line for _ in range(DOCUMENTS) for line in ({"index": {}}, {"generation": generation})]
                self.client.bulk(index=own_settings.index_prefix + index, operations=operations, refresh=True)

    def seen(self) -> str:
        """The generation that users see."""
        found = {self._seen("own-*"), self._seen("own-sessions")}
        (generation,) = {generation for generation in found if len(found) == 1} or {f"events and sessions of {found}"}
        return generation

    def _seen(self, pattern: str) -> str:
        index = self.settings.elasticsearch.index_prefix + pattern
        generations_seen = [hit["_source"]["generation"] for hit in self.client.search(index=index, size=100)["hits"]["hits"]]
        assert generations_seen in ([FIRST] * DOCUMENTS, [NEW.name] * DOCUMENTS), f"{pattern} shows {generations_seen}"
        return str(generations_seen[0])

    def switch(self, name: str, last: int | None = None) -> Steps:
        """Switch, killed in front of a step."""
        steps = Steps(self._watch, last)

        def connect(*arguments: Any) -> Elasticsearch:
            client = self._connect(*arguments)
            perform = client.transport.perform_request

            def perform_step(method: str, target: str, **rest: Any) -> Any:
                if method != "GET" and not any(word in target for word in READING):
                    steps.begin(f"{method} {target}")
                return perform(method, target, **rest)

            self._monkeypatch.setattr(client.transport, "perform_request", perform_step)
            return client

        def remember(_: object, current: Current) -> None:
            steps.begin("remember")
            self.current = current

        self._monkeypatch.setattr(search, "connect", connect)
        self._monkeypatch.setattr(generations, "remember", remember)
        with suppress(Killed):
            replay_cli._switch(self.settings, Generations({FIRST: OLD, NEW.name: NEW}, self.current), name, 10)
        self._watch()
        return steps

    def _watch(self) -> None:
        """Whatever is seen is one generation, and whole."""
        for pattern in ("own-*", "own-sessions"):
            self._seen(pattern)


@pytest.fixture
def site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with search.connect(settings.elasticsearch, 10) as client:
        yield Site(settings, client, monkeypatch)


def test_the_first_switch_killed_at_each_step(site: Site) -> None:
    """It is completed by the next; every other time it is taken back before that."""
    last = 0
    while True:
        site.reset()
        killed = site.switch(NEW.name, last)
        if len(killed.done) < last:
            break
        if last % 2:
            site.switch(FIRST)
            assert (site.seen(), site.current) == (FIRST, Current()), killed.done
        site.switch(NEW.name)
        assert (site.seen(), site.current) == (NEW.name, Current(NEW.name, FIRST)), killed.done
        last += 1
    assert last > 8, killed.done
    assert killed.done[-1] == "remember"


def test_later_switches_killed_at_each_step(site: Site) -> None:
    """Back and forth."""
    site.reset()
    site.switch(NEW.name)
    last, dying = 0, True
    while dying:
        for name, former in ((FIRST, NEW.name), (NEW.name, FIRST)):
            killed = site.switch(name, last)
            dying = len(killed.done) == last
            site.switch(name)
            assert (site.seen(), site.current) == (name, Current(name, former)), killed.done
        last += 1
    assert last > 5, killed.done
