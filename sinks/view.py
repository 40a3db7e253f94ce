"""Which generation users see.

Users ask `ezcast-*`. The first generation's indices bear such names themselves; those of later generations
(`generation-v2-ezcast-2016.10`) do not, and are seen through an alias, `ezcast-current`. An index cannot be renamed, but it can be
hidden: patterns pass over a hidden index, unless an alias that is not hidden leads to it. So the first switch of an installation first
has the first generation's indices seen through the alias too, without a change in what is seen: the alias is added, while patterns find
each index once however many names match, then the indices are hidden. From then on the alias alone decides, and moving it is one
atomic request for all indices of all sources.

Months that begin later take what they need from a component template of their generation's (`…-view`), which only a switch writes. It
is taken from the old generation before the alias moves and given to the new one afterwards, and then the indices are looked through
once more, so a month that begins in between is missed for a moment at worst, and never seen twice.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from elasticsearch import ApiError, AuthorizationException, Elasticsearch

from schemas.source import Source
from sinks import templates
from tailrace import settings as config
from tailrace.errors import Refused, TailraceError
from tailrace.generations import FIRST, index_prefix

PERIOD = re.compile(r"\d{4,}\.\d\d|undated")
"""What follows a stem and a hyphen in an index name."""


class Stem(NamedTuple):
    """What index names begin with, without prefix and generation."""

    name: str
    """`ezcast`, or `ezcast-views`."""
    template: str
    """Name of its index template in the generation."""
    alias: str
    """What users ask."""
    summary: bool
    """Of documents that sum up events: hidden in every generation, and so is their alias."""


class View:
    """The indices of all sources by generation, and what users see of them."""

    def __init__(self, client: Elasticsearch, elasticsearch: config.Elasticsearch, sources: Iterable[Source]) -> None:
        self._client = client
        self._elasticsearch = elasticsearch
        self._sources = list(sources)

    def switch(self, old: str, new: str) -> None:
        """Let users see `new` in place of `old`. Whatever part of it was done before, by a switch that was killed, it completes.

        Raises Refused without the privilege, TailraceError where Elasticsearch cannot do it.
        """
        try:
            if FIRST in (old, new):
                templates.install(self._client, self._elasticsearch, self._sources)  # an older release's know of no view
            if old == FIRST and not self._seen_through_alias(new):
                self._set_view(FIRST, seen=True)
                self._move(FIRST)
                self._hide()
            self._refresh(new)
            self._set_view(old, seen=False)
            self._move(new)
            self._set_view(new, seen=True)
            self._move(new)
            if old == FIRST:
                self._hide()
        except AuthorizationException as error:
            raise Refused(
                f"Elasticsearch refused the switch: {error}; it needs the cluster privilege manage_index_templates and, on the "
                "indices, manage"
            ) from None
        except ApiError as error:
            raise TailraceError(f"Elasticsearch cannot switch: {error}; what users see is one generation still: run this again") from None

    def indices(self, generation: str) -> dict[str, list[str]]:
        """By stem, the indices of a generation."""
        prefix = index_prefix(self._elasticsearch, generation)
        return {stem.name: self._indices_of(stem, prefix) for stem in self._stems(generation)}

    def delete(self, generation: str) -> int:
        """Delete a generation's indices and templates; how many indices."""
        names = [name for found in self.indices(generation).values() for name in found]
        for name in names:
            self._client.indices.delete(index=name, ignore_unavailable=True)
        own = self._of(generation)
        missing_is_fine = self._client.options(ignore_status=404)
        for stem in self._stems(generation):
            missing_is_fine.indices.delete_index_template(name=stem.template)
            missing_is_fine.cluster.delete_component_template(name=templates.view_name(stem.template))
        missing_is_fine.cluster.delete_component_template(name=templates.common_name(own))
        return len(names)

    def _of(self, generation: str) -> config.Elasticsearch:
        return msgspec.structs.replace(self._elasticsearch, index_prefix=index_prefix(self._elasticsearch, generation))

    def _stems(self, generation: str) -> list[Stem]:
        own, prefix = self._of(generation), self._elasticsearch.index_prefix
        found = []
        for template, body in templates.index_templates(own, self._sources).items():
            name = body["index_patterns"][0].removeprefix(own.index_prefix).removesuffix("-*")
            found.append(Stem(name, template, f"{prefix}{name}-current", summary=False))
        for template, alias in templates.summary_aliases(own, self._sources).items():
            name = alias.removeprefix(own.index_prefix)
            found.append(Stem(name, template, f"{prefix}{name}", summary=True))
        return found

    def _indices_of(self, stem: Stem, prefix: str) -> list[str]:
        """A pattern also finds what an alias leads to, so only names count."""
        start = f"{prefix}{stem.name}-"
        found = self._client.indices.get(
            index=f"{start}*", expand_wildcards="all", allow_no_indices=True, ignore_unavailable=True, features="aliases"
        )
        return [name for name in found if name.startswith(start) and PERIOD.fullmatch(name.removeprefix(start))]

    def _members(self, alias: str) -> set[str]:
        return set(self._client.options(ignore_status=404).indices.get_alias(name=alias, expand_wildcards="all").body) - {"error", "status"}

    def _seen_through_alias(self, generation: str) -> bool:
        prefix = index_prefix(self._elasticsearch, generation)
        return generation != FIRST and any(
            name.startswith(prefix) for stem in self._stems(generation) for name in self._members(stem.alias)
        )

    def _move(self, generation: str) -> None:
        """Have every alias lead to this generation's indices and no others, in one request."""
        prefix = index_prefix(self._elasticsearch, generation)
        actions: list[Mapping[str, Any]] = []
        for stem in self._stems(generation):
            alias, hidden = stem.alias, {"is_hidden": True} if stem.summary else {}
            own, members = set(self._indices_of(stem, prefix)), self._members(alias)
            actions += ({"remove": {"index": name, "alias": alias}} for name in sorted(members - own))
            actions += ({"add": {"index": name, "alias": alias, **hidden}} for name in sorted(own - members))
        if actions:
            self._client.indices.update_aliases(actions=actions)

    def _refresh(self, generation: str) -> None:
        """Make what was written searchable before it is looked at."""
        names = [name for found in self.indices(generation).values() for name in found]
        if names:
            self._client.indices.refresh(index=names, ignore_unavailable=True)  # a closed one has nothing new

    def _hide(self) -> None:
        """Hide the first generation's indices, in one request."""
        names = [name for found in self.indices(FIRST).values() for name in found]
        if names:
            self._client.indices.put_settings(index=names, settings={"index.hidden": True})

    def _set_view(self, generation: str, *, seen: bool) -> None:
        """What the generation's indices that are yet to be made take from their template."""
        for stem in self._stems(generation):
            template: dict[str, Any] = {"aliases": {stem.alias: {"is_hidden": True} if stem.summary else {}}} if seen else {}
            if generation == FIRST and not stem.summary:
                template["settings"] = {"index.hidden": True}
            self._client.cluster.put_component_template(name=templates.view_name(stem.template), template=template)
