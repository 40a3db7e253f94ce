"""How long people wait for an answer: EZCast's statistics on the index, and the same questions in SQL on the same rows.

The table of MariaDB (Debian's mariadb-server; without it, only the index is measured) is asked without and with indexes, its rows and
indexes in memory. Both sides have to give the same answer. Medians of several runs; the index's request cache is emptied before each,
and for the column "asked again" is not.
"""

import argparse
import csv
import os
import statistics
import tempfile
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from elasticsearch import Elasticsearch

from benchmarks import _mariadb
from benchmarks._visits import SOURCE, ZONE, documents
from infra.forget import forget
from reports import index, queries
from reports.queries import Period
from reports.statistics import EZCAST, Video, events, played, viewed
from reports.table import Table
from schemas import notes
from schemas.envelope import EventEnvelope, Summary
from schemas.event import Document
from schemas.source import Source, SourceSettings
from sinks import templates, writer
from sinks.bulk import MAX_OPERATIONS, Splicer
from tailrace import search
from tailrace.settings import Settings, load
from tailrace.sources import load_source

POSTERS = 2
SLOW_S = 20.0
"""A question that takes longer is asked once."""

COLUMNS = {
    "id": "VARCHAR(40) NOT NULL",
    "day": "DATE",
    "time": "DATETIME",
    "session": "VARCHAR(40)",
    "ip": "VARCHAR(45)",
    "netid": "VARCHAR(40)",
    "level": "INT",
    "action": "VARCHAR(40)",
    "album": "VARCHAR(80)",
    "asset": "VARCHAR(80)",
    "asset_name": "VARCHAR(200)",
    "type": "VARCHAR(10)",
    "start": "INT",
    "play_time": "INT",
    "browser_name": "VARCHAR(40)",
    "browser_version": "VARCHAR(40)",
    "user_os": "VARCHAR(40)",
    "user_agent": "TEXT",
    "origin": "VARCHAR(40)",
    "video_duration": "INT",
    "video_time": "INT",
    "quality": "VARCHAR(10)",
}
INDEXES = ("action, day", "action, album, asset, session, play_time", "session, action, browser_name", "day, action")

LOGINS = "action IN ('login', 'login_as_anonymous')"


class Question(NamedTuple):
    text: str
    statistic: Callable[[index.Ask, Period, int | None], list[Table]]
    sql: str
    """Its rows are those of the statistic's first table, in the columns `compared`."""
    compared: tuple[int, ...]


def _rows(sums: Mapping[Video, tuple[int, ...]]) -> list[Table]:
    return [Table("", "", (), [(*video, *figures) for video, figures in sums.items()])]


def _seconds(ask: index.Ask, period: Period, top: int | None) -> list[Table]:
    return _rows(played(ask, period))


def _views(ask: index.Ask, period: Period, top: int | None) -> list[Table]:
    return _rows(viewed(ask, period))


def _firefox(ask: index.Ask, period: Period, top: int | None) -> list[Table]:
    def only(body: queries.Body, family: str | None = None, *, nested: bool = False) -> Iterable[index.Bucket]:
        body["query"]["bool"]["filter"].append({"term": {"session_browser": "Firefox"}})
        return ask(body, family, nested=nested)

    return _views(only, period, top)


VIEWED = """SELECT album, asset, SUM(seconds >= 60), SUM(seconds) FROM (
    SELECT album, asset, SUM(play_time) AS seconds FROM events WHERE action = 'video_play_time' {only}
    GROUP BY album, asset, day, session) views GROUP BY 1, 2"""

WATCHED = """SELECT album, asset, SUBSTRING(MAX(title), 11), SUM(seconds >= 60), COUNT(DISTINCT IF(seconds >= 60, netid, NULL)),
    SUM(seconds) FROM (
    SELECT album, asset, MAX(CONCAT(day, asset_name)) AS title, MAX(NULLIF(netid, 'nologin')) AS netid, SUM(play_time) AS seconds
    FROM events WHERE action = 'video_play_time' GROUP BY album, asset, day, session) views GROUP BY 1, 2"""

PLAYED = "SELECT album, asset, {title} SUM(play_time) FROM events WHERE action = 'video_play_time' GROUP BY 1, 2"

QUESTIONS = [
    Question(
        "browsers and systems of logins",
        EZCAST["browsers"],
        f"SELECT browser_name, user_os, COUNT(*) FROM events WHERE {LOGINS} GROUP BY 1, 2",
        (0, 1, 2),
    ),
    Question("help page views per day", EZCAST["help"], "SELECT day, COUNT(*) FROM events WHERE action = 'view_help' GROUP BY 1", (0, 1)),
    Question("seconds of each video, from the events", _seconds, PLAYED.format(title=""), (0, 1, 2)),
    Question(
        "the same, with its latest title",
        EZCAST["videos"],
        PLAYED.format(title="SUBSTRING(MAX(CONCAT(time, asset_name)), 20),"),
        (0, 1, 2, 3),
    ),
    Question("views and seconds of each video", _views, VIEWED.format(only=""), (0, 1, 2, 3)),
    Question("the same, with its latest title and how many people viewed it", EZCAST["watched"], WATCHED, (0, 1, 2, 3, 4, 5)),
    Question(
        "views and seconds of each video, with Firefox only",
        _firefox,
        VIEWED.format(only=f"AND session IN (SELECT session FROM events WHERE {LOGINS} AND browser_name = 'Firefox')"),
        (0, 1, 2, 3),
    ),
    Question(
        "logins, different people and addresses",
        EZCAST["logins"],
        "SELECT COUNT(*), COUNT(DISTINCT NULLIF(netid, 'nologin')), COUNT(DISTINCT IF(netid = 'nologin', ip, NULL)) "
        f"FROM events WHERE {LOGINS}",
        (0, 3, 4),
    ),
    Question("events per day and action", events("action"), "SELECT day, action, COUNT(*) FROM events GROUP BY 1, 2", (0, 1, 2)),
]


def records(settings: Settings, source: Source, amount: int) -> Iterator[tuple[EventEnvelope | Summary, Document | None]]:
    """What the stream makes of so many events, with their documents: events, and after each session its views."""
    readers = notes.readers(source)
    for session, visit in groupby(documents(settings, amount), key=itemgetter(1)):
        watched: Counter[bytes] = Counter()
        for event, _ in visit:
            envelope = EventEnvelope(event.id, event.time, event.client, event.kind, session, False, msgspec.json.encode(event.document))
            note = readers[event.kind](envelope.document) if event.kind in readers else None
            if note and not note.gives_fields:
                watched[note.text] += note.amount
            yield envelope, event.document
        fields = msgspec.json.encode({field: event.document[field] for field in ("session_browser", "session_os")})
        for text, seconds in watched.items():
            key, beside = text.split(b"\n")
            assert source.views is not None
            view = notes.view_document(source.views, event.client or "", key, [beside], seconds, fields)
            yield Summary(notes.view_id(event.client or "", key), notes.view_time(key), "views", view), None


def fill(client: Elasticsearch, settings: Settings, rows: Path, amount: int) -> None:
    """Write events and views to the index and, as tab-separated rows, the events to a file."""
    source = load_source(settings, SOURCE)
    templates.install(client, settings.elasticsearch, [source])
    splicer = Splicer(source, settings.elasticsearch.index_prefix)

    def post(body: bytes) -> None:
        answer = client.perform_request("POST", writer.PATH, params=writer.PARAMS, headers=writer.HEADERS, body=body)
        assert not answer.body["errors"]

    with rows.open("w", newline="") as file, ThreadPoolExecutor(POSTERS) as pool:
        table = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
        made, posted = records(settings, source, amount), deque[Future[None]]()
        while batch := list(islice(made, MAX_OPERATIONS)):
            posted.append(pool.submit(post, b"".join(splicer.operation(envelope) for envelope, _ in batch)))
            table.writerows(_row(envelope.id, document) for envelope, document in batch if document)
            if len(posted) > POSTERS:
                posted.popleft().result()
        for last in posted:
            last.result()
    client.indices.refresh(index=f"{settings.elasticsearch.index_prefix}*", expand_wildcards="all")


def _row(identity: str, document: Document) -> list[Any]:
    stamp = document["timestamp"]
    own = {**document, "id": identity, "day": stamp[:10], "time": f"{stamp[:10]} {stamp[11:]}"}
    return [own.get(column, "\\N") for column in COLUMNS]


def load_table(connection: Any, rows: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench")
        cursor.execute("USE bench")
        columns = ", ".join(f"`{name}` {kind}" for name, kind in COLUMNS.items())
        cursor.execute(f"CREATE TABLE events ({columns}, PRIMARY KEY (id)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        cursor.execute("LOAD DATA LOCAL INFILE %s INTO TABLE events CHARACTER SET utf8mb4", str(rows))
        cursor.execute("ANALYZE TABLE events")


def add_indexes(connection: Any) -> None:
    with connection.cursor() as cursor:
        for number, columns in enumerate(INDEXES):
            cursor.execute(f"CREATE INDEX i{number} ON events ({columns})")
        cursor.execute("ANALYZE TABLE events")


def timed(ask: Callable[[], Any], runs: int, before: Callable[[], Any] = lambda: None) -> tuple[float, Any]:
    """Median seconds after a first run that does not count, and the last answer."""
    taken: list[float] = []
    answer: Any = None
    for _ in range(runs + 1):
        before()
        began = time.perf_counter()
        answer = ask()
        taken.append(time.perf_counter() - began)
        if taken[-1] > SLOW_S:
            return taken[-1], answer
    return statistics.median(taken[1:]), answer


def same(question: Question, tables: list[Table], rows: list[tuple[Any, ...]]) -> None:
    """Raises AssertionError where the index and the table give different answers."""
    ours = sorted(tuple(str(row[at]) for at in question.compared) for row in tables[0].rows)
    theirs = sorted(tuple(str(value) for value in row) for row in rows)
    assert ours == theirs, f"{question.text}: {ours[:3]} but {theirs[:3]}"


def measure(client: Elasticsearch, settings: Settings, connection: Any, runs: int) -> None:
    pattern = index.pattern(settings, SOURCE)
    summaries = index.summaries(settings, SOURCE)
    ask, period = index.asker(client, pattern, summaries), Period(None, None, ZONE)

    def sql(question: Question) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(question.sql)
            return list(cursor.fetchall())

    took: dict[str, list[float]] = {}
    for question in QUESTIONS:
        clear = lambda: client.indices.clear_cache(index=f"{pattern},{summaries}*", request=True, expand_wildcards="all")  # noqa: E731
        seconds, tables = timed(lambda question=question: question.statistic(ask, period, None), runs, clear)
        again, _ = timed(lambda question=question: question.statistic(ask, period, None), runs)
        took[question.text] = [seconds, again]
        if connection:
            plain, rows = timed(lambda question=question: sql(question), runs)
            same(question, tables, rows)
            took[question.text].append(plain)
    if connection:
        add_indexes(connection)
        for question in QUESTIONS:
            took[question.text].append(timed(lambda question=question: sql(question), runs)[0])
    show(took)


def show(took: dict[str, list[float]]) -> None:
    print("| question | index, ms | asked again, ms | MariaDB, ms | x index | MariaDB with indexes, ms | x index |")
    print("|---|---|---|---|---|---|---|")
    for text, (ours, again, *theirs) in took.items():
        compared = "".join(f" {each * 1000:,.0f} | {each / ours:,.0f} |" for each in theirs)
        print(f"| {text} | {ours * 1000:,.0f} | {again * 1000:,.0f} |{compared}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks queries", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(argv)
    configured = load()
    mark = f"queries-bench-{uuid.uuid4().hex[:8]}-"
    own = msgspec.structs.replace(configured.elasticsearch, index_prefix=mark, refresh_interval="30s")
    settings = Settings(
        kafka=msgspec.structs.replace(configured.kafka, topic_prefix=mark),
        elasticsearch=own,
        sources={SOURCE: SourceSettings(format="ezcast", timezone=ZONE)},
    )
    client = search.connect(own, 5)
    with tempfile.TemporaryDirectory(prefix="tailrace-queries-") as folder:
        os.chmod(folder, 0o755)  # the account that MariaDB runs under has to pass
        try:
            began = time.monotonic()
            rows = Path(folder, "rows.tsv")
            fill(client, settings, rows, options.events)
            print(f"{options.events:,} events indexed in {timedelta(seconds=round(time.monotonic() - began))}\n", flush=True)
            with _table(Path(folder, "mariadb"), rows, options.events) as connection:
                measure(client, settings, connection, options.runs)
        finally:
            forget(settings)


@contextmanager
def _table(folder: Path, rows: Path, amount: int) -> Iterator[Any]:
    """A connection to a table with these rows; None where MariaDB is not installed."""
    if not _mariadb.found():
        print("MariaDB is not installed (Debian's mariadb-server): only the index is measured\n")
        yield None
        return
    with _mariadb.server(folder, amount) as connection:
        load_table(connection, rows)
        yield connection


if __name__ == "__main__":
    main()
