"""Use of data sets as COUNTER counts it, from the fields that the parse stage wrote (`schemas.counter`).

Code of Practice for Research Data: a request takes the data, an investigation looks at anything of the data set, so every request is
one too (section 3). Of double clicks, accesses of one user to one data set at most 30 s apart, the last counts (section 10); where the
user is known by address and agent only, as here, they are looked for within the user's clock hour.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo

from reports import queries
from reports.index import Ask, Bucket
from reports.queries import Body, Period, by_value, grouped
from reports.table import Column, Table, largest

DOUBLE_CLICK_MS = 30_000

METRICS = ("total_dataset_investigations", "unique_dataset_investigations", "total_dataset_requests", "unique_dataset_requests")

_SESSION = ("pid", "session", "method")


def accesses(period: Period) -> Body:
    """Every access that counts, those of one session to one data set together and in the order of their times."""
    by = {
        "pid": by_value("pid.key"),
        "session": {"terms": {"field": "counter.session"}},
        "method": {"terms": {"field": "counter.method"}},
        "at": {"terms": {"field": "dateLogged"}},
        "format": by_value("formatType"),
    }
    return grouped(queries.reads(period), by, without=[{"exists": {"field": "counter.excluded"}}])


def counter(ask: Ask, period: Period, top: int | None) -> list[Table]:
    """COUNTER's four metrics per data set, month and access method; the most investigated data sets first."""
    zone = ZoneInfo(period.zone)
    found: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (pid, _, method), session in groupby(ask(accesses(period)), lambda bucket: tuple(bucket["key"][name] for name in _SESSION)):
        for month, formats in _by_month(without_double_clicks(session), zone).items():
            requests = formats.count(queries.DOWNLOADS)
            counts = (len(formats), 1, requests, min(requests, 1))
            found[pid, month, method] = [sum(pair) for pair in zip(found[pid, month, method], counts, strict=True)]
    return [_by_data_set(found, top), _totals(found)]


def without_double_clicks(session: Iterable[Bucket]) -> Iterator[tuple[int, str]]:
    """Time and format type of each access that is followed by none within 30 s.

    `session`: buckets of one session and data set, by time. Accesses of one moment are one bucket, so the bucket's count is not asked.
    """
    accesses = [(bucket["key"]["at"], bucket["key"]["format"]) for bucket in session]
    yield from (this for this, following in pairwise(accesses) if following[0] - this[0] > DOUBLE_CLICK_MS)
    yield from accesses[-1:]


def _by_month(accesses: Iterable[tuple[int, str]], zone: ZoneInfo) -> dict[str, list[str]]:
    months: dict[str, list[str]] = defaultdict(list)
    for at, format_type in accesses:
        months[datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).strftime("%Y-%m")].append(format_type)
    return months


def _by_data_set(found: dict[tuple[str, str, str], list[int]], top: int | None) -> Table:
    investigations: dict[tuple[str], int] = defaultdict(int)
    for (pid, _, _), counts in found.items():
        investigations[(pid,)] += counts[0]
    ranked, left_out = largest({pid: (count,) for pid, count in investigations.items()}, top)
    rank = {pid: place for place, (pid, _) in enumerate(ranked)}
    rows = sorted(((*key, *counts) for key, counts in found.items() if key[0] in rank), key=lambda row: (rank[row[0]], *row[1:3]))
    columns = (Column("data_set", "text"), Column("month", "text"), Column("method", "text"), *map(Column, METRICS))
    return Table("counter", "COUNTER: use of data sets, without robots and double clicks", columns, rows, left_out)


def _totals(found: dict[tuple[str, str, str], list[int]]) -> Table:
    months: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for (_, month, method), counts in found.items():
        months[month, method] = [sum(pair) for pair in zip(months[month, method], counts, strict=True)]
    columns = (Column("month", "text"), Column("method", "text"), *map(Column, METRICS))
    return Table("counter_by_month", "COUNTER: use by month", columns, [(*key, *counts) for key, counts in sorted(months.items())])
