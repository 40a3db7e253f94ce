"""The fields of the sources as Elasticsearch knows them: templates for indices to come, mappings of those that are there.

Both are brought up to date at the start, since a newer Tailrace knows more fields, and whenever an operator's file of actions
changes. An index that is there gets the fields that it lacks as the template has them, so that an action's fields have one type in
the months before and after. What an index has already cannot change its type: that is said, and the index stays as it is.
"""

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from elasticsearch import ApiError, AuthorizationException, Elasticsearch, TransportError

from schemas.common import COMMON_PROPERTIES
from schemas.source import Source
from sinks import templates
from tailrace import settings as config
from tailrace.errors import TailraceError
from tailrace.sources import watch_actions
from tailrace.watched import LOOK_EVERY_S

log = logging.getLogger("tailrace.sink")

Properties = Mapping[str, Any]

_PERIOD = re.compile(r"\d{4,}\.\d\d|undated")
"""What follows `<index>-` in the names of a source's indices."""


class Fields:
    """The sources of a configuration, with what their files of actions add. Raises ConfigError for a file that cannot be used."""

    def __init__(self, elasticsearch: config.Elasticsearch, sources: Iterable[Source]) -> None:
        self._elasticsearch = elasticsearch
        self._sources = list(sources)
        self._watched = {source.name: watched for source in self._sources if (watched := watch_actions(source)) is not None}
        self._is_current = False

    def install(self, client: Elasticsearch) -> None:
        """Bring templates and indices up to date. Raises what `templates.install` raises, and elasticsearch's TransportError."""
        self._is_current = False
        current = [self._watched[source.name].content() if source.name in self._watched else source for source in self._sources]
        templates.install(client, self._elasticsearch, current)
        own = templates.index_templates(self._elasticsearch, current) | templates.summary_templates(self._elasticsearch, current)
        for body in own.values():
            (pattern,) = body["index_patterns"]
            update(client, pattern, {**COMMON_PROPERTIES, **body["template"]["mappings"]["properties"]})
        self._is_current = True

    def refresh(self, client: Elasticsearch) -> None:
        """Install again if a file of actions has changed, or if that failed the last time."""
        changed = [watched.refresh() for watched in self._watched.values()]
        if any(changed) or not self._is_current:
            try:
                self.install(client)
            except (TailraceError, ApiError, TransportError) as error:
                log.warning("the fields of new actions are not in the index templates yet, trying again: %s", error)

    @contextmanager
    def followed(self, client: Elasticsearch, stop: threading.Event) -> Iterator[None]:
        """Refresh in the background until the block ends or `stop` is set."""
        ended = threading.Event()

        def follow() -> None:
            while not (stop.is_set() or ended.wait(LOOK_EVERY_S)):
                self.refresh(client)

        thread = threading.Thread(target=follow, name="fields", daemon=True)
        if self._watched:
            thread.start()
        try:
            yield
        finally:
            ended.set()


def update(client: Elasticsearch, pattern: str, properties: Properties) -> None:
    """Give the open indices of a pattern `<index>-*` the properties that they lack.

    Raises TailraceError where Elasticsearch does not say what they have; what it refuses to add is a warning.
    """
    try:
        found = client.indices.get_mapping(
            index=pattern, expand_wildcards=["open", "hidden"], ignore_unavailable=True, allow_no_indices=True
        )
    except AuthorizationException as error:
        log.warning("indices that are there cannot be given new fields: grant view_index_metadata and manage on %s (%s)", pattern, error)
        return
    except ApiError as error:
        raise TailraceError(f"Elasticsearch does not show the mappings of {pattern}: {error}") from None
    lacking: dict[str, tuple[Properties, list[str]]] = {}
    for index, held in found.items():
        if not _PERIOD.fullmatch(index.removeprefix(pattern.removesuffix("*"))):
            continue  # of another source, whose name begins like this one's
        lacks, differs = compare(held["mappings"].get("properties", {}), properties)
        if differs:
            log.warning("%s keeps fields of other types: %s; replay its events into a new index to change that", index, ", ".join(differs))
        if lacks:
            lacking.setdefault(repr(lacks), (lacks, []))[1].append(index)
    for added, indices in lacking.values():
        try:
            client.indices.put_mapping(index=indices, properties=added)
            log.info("%s: added the fields %s", ", ".join(indices), ", ".join(added))
        except ApiError as error:
            log.warning("%s cannot be given the fields %s: %s", ", ".join(indices), ", ".join(added), error)


def compare(held: Properties, wanted: Properties, path: str = "") -> tuple[dict[str, Any], list[str]]:
    """The wanted properties, sub-fields included, that are not held, and those held with another type, in words."""
    lacks: dict[str, Any] = {}
    differs: list[str] = []
    for name, mapping in wanted.items():
        here = held.get(name)
        if here is None:
            lacks[name] = mapping
        elif here.get("type", "object") != mapping.get("type", "object"):
            differs.append(f"{path}{name} is {here.get('type', 'object')}, not {mapping.get('type', 'object')}")
        elif "properties" in mapping:
            inner, inner_differs = compare(here.get("properties", {}), mapping["properties"], f"{path}{name}.")
            lacks |= {name: {"properties": inner}} if inner else {}
            differs += inner_differs
        elif mapping.get("fields", {}).keys() - here.get("fields", {}).keys():
            lacks[name] = mapping
    return lacks, differs
