"""What a Solr core holds and Kafka lacks: the events that `tailrace harvest` should have brought."""

from collections.abc import Iterator

from reports.ledger import Ledger
from schemas.duration import seconds
from schemas.source import Source
from tailrace.solr import Address, Head, Question, ask, place_of, version_of

LIST_ROWS = 10_000
"""Documents per page of ids and versions."""


def not_harvested(source: Source, ledger: Ledger, now_ms: int, *, allow_lag: bool) -> Iterator[Head]:
    """The documents of the source's core that are neither a record nor a dead letter, in this version.

    Not looked at is what was indexed within the last poll and overlap before `now_ms`, when the audit began, since it may be on its
    way; nor, with `allow_lag`, what is newer than an overlap before the newest that was harvested. Raises Trouble.
    """
    settings, file = source.settings, place_of(source).file
    overlap_ms = round(seconds(settings.solr_overlap) * 1000)
    until = version_of(now_ms - overlap_ms - round(seconds(settings.solr_poll) * 1000))
    if allow_lag:
        until = min(until, ledger.newest(file) - version_of(overlap_ms))
    question = Question(Address.of_source(source), 0, max(until, 0), LIST_ROWS, bare=True)
    while (page := ask(question)).heads:
        yield from (head for head in page.heads if not ledger.holds(file, head.version, head.id))
        if page.cursor == question.cursor:
            return
        question = question._replace(cursor=page.cursor)
