"""Two generations compared: events per day and kind."""

from typing import NamedTuple

from elasticsearch import Elasticsearch

from reports import index, queries
from reports.queries import Period
from reports.table import Column, Table
from tailrace.generations import Generations, indices_of
from tailrace.settings import Settings


class Group(NamedTuple):
    day: str | None
    """None: events without a usable time."""
    kind: str | None


class Comparison(NamedTuple):
    source: str
    old: str
    new: str
    """Names of generations."""
    counts: dict[Group, tuple[int, int]]
    """Events in the old and in the new one."""

    @property
    def different(self) -> list[Group]:
        return [group for group, (old, new) in self.counts.items() if old != new]

    def totals(self) -> tuple[int, int]:
        return sum(old for old, _ in self.counts.values()), sum(new for _, new in self.counts.values())

    def table(self, *, all_groups: bool) -> Table:
        shown = self.counts if all_groups else self.different
        rows = [(group.day, group.kind, *self.counts[group], _difference(*self.counts[group])) for group in shown]
        rows.append(("all days", "", *self.totals(), _difference(*self.totals())))
        title = f"{self.source}: generation {self.old} against {self.new}"
        title += f", {len(self.different):,} of {len(self.counts):,} days and kinds differ" if self.different else ", no difference"
        columns = (Column("day", "text"), Column("kind", "text"), Column(self.old), Column(self.new), Column("difference", "text"))
        return Table(self.source, title, columns, rows)


def compare(
    client: Elasticsearch,
    settings: Settings,
    known: Generations,
    source: str,
    names: tuple[str, str],
    period: Period,
    kind_field: str | None,
) -> Comparison:
    """Exact counts of what is searchable now. Raises Refused, Unreachable and TailraceError where Elasticsearch does not say."""
    counts: dict[Group, tuple[int, int]] = {}
    for side, name in enumerate(names):
        indices = indices_of(settings, known, source, name)
        index.refresh(client, indices.pattern)
        body = {**queries.events(period, kind_field), "expand_wildcards": indices.expand_wildcards}
        for bucket in index.asker(client, indices.pattern)(body):
            group = Group(bucket["key"]["day"], bucket["key"].get("kind"))
            found = list(counts.get(group, (0, 0)))
            found[side] = bucket["doc_count"]
            counts[group] = found[0], found[1]
    return Comparison(source, *names, dict(sorted(counts.items(), key=lambda item: (item[0].day or "", item[0].kind or ""))))


def _difference(old: int, new: int) -> str:
    return f"{new - old:+,}" if new != old else "="
