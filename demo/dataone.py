"""A day of DataONE events as coordinating nodes harvest them: in bulk, repository by repository, hours or months late.

Everything follows from the seed. Readers look at metadata and then fetch data; robots and programs do too; DataONE's own
hosts replicate. A repository's events are appended only when it is harvested, so one client's events at two
repositories arrive hours out of order.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from demo.ezcast import DAY
from demo.lines import Line, in_order

FILE = "d1logagg.log"
HOUR_S = 3600.0
START = datetime(DAY.year, DAY.month, DAY.day, 6, tzinfo=UTC).timestamp()
"""The first harvest; readers have been at work since `EARLY_S` before."""
EARLY_S = 5 * HOUR_S
READ_FOR_S = 18 * HOUR_S
MONTHS_LATE_S = 80 * 24 * HOUR_S

OWN_NETWORKS = ("127.0.0.1", "128.111.54.80", "160.94.0.146", "2607:f318:1::/64")
ROBOT_NETWORKS = ("66.249.64.0/19", "157.55.39.0/24", "180.76.15.0/24")
ROBOT_USER_AGENTS = ("bot", "spider", "crawl", "google")
MACHINE_USER_AGENTS = (r"curl\/", "python", "Wget", r"http.?client", "libwww", r"^java\/\d{1,2}.\d")
ADMIN_SUBJECTS = ("CN=urn:node:CN,DC=dataone,DC=org", "CN=urn:node:KNB,DC=dataone,DC=org")
"""The demo's own lists, of the same kind as DataONE's."""

_NETWORKS = ("131.252", "152.2", "141.211", "130.102", "134.76", "163.1", "143.107", "133.11", "196.21", "129.194", "164.15", "142.103")
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/66.0.3359.139 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_4) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/11.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0",
)
_ROBOTS = (
    ("66.249.79.82", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
    ("157.55.39.17", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
    ("180.76.15.9", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Safari/537.36"),  # known by its address alone
)
_MACHINES = ("python-requests/2.18.4", "curl/7.58.0", "Wget/1.19.4 (linux-gnu)", "Apache-HttpClient/4.3.6 (java 1.5)")
_ODD_ADDRESSES = ("", "10.0.0.7", "gateway.example.org", "2001:468:1420:2::99", "::ffff:131.252.7.7", "127.0.0.1", None)


@dataclass(frozen=True)
class Repository:
    node: str
    """Short name: the node is `urn:node:<node>`."""
    delay_s: float
    """From the hour of an event's harvest to its arrival."""
    share: int
    """Of the readers, in percent."""
    typed: bool = True
    """False: its events say neither format nor owner, as one repository's never did."""


REPOSITORIES = (
    Repository("KNB", 1.1 * HOUR_S, 30),
    Repository("ARCTIC", 1.7 * HOUR_S, 20),
    Repository("DRYAD", 2.1 * HOUR_S, 20, typed=False),
    Repository("TERN", 3.1 * HOUR_S, 15),
    Repository("EDI", 1.3 * HOUR_S, 10),
    Repository("PANGAEA", MONTHS_LATE_S, 5),
)


@dataclass(frozen=True)
class Dataset:
    repository: Repository
    metadata: str
    data: tuple[str, ...]
    """Identifiers of its files."""


@dataclass(frozen=True)
class Client:
    address: str | None
    """None: the record has no such key."""
    agent: str | None
    subject: str = "public"


class _Log:
    """The events of all repositories, numbered per repository."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.entries = dict.fromkeys((repository.node for repository in REPOSITORIES), 1_028_656)
        self.lines: list[Line] = []

    def add(self, at: float, client: Client, dataset: Dataset, pid: str, event: str = "read") -> None:
        """One event at `at` (seconds since 1970), appended when its repository is harvested."""
        repository = dataset.repository
        self.entries[repository.node] += 1
        logged = at - MONTHS_LATE_S + HOUR_S if repository.delay_s >= MONTHS_LATE_S else at
        arrival = (logged // HOUR_S + 1) * HOUR_S + repository.delay_s
        record = self._record(repository, client, pid, event, pid == dataset.metadata)
        record["dateLogged"], record["dateAggregated"] = _instant(self.random, logged), _instant(self.random, arrival)
        data = json.dumps(record).encode() + b"\n"
        self.lines.append(Line(arrival, FILE, data))
        if self.random.random() < 0.02:  # harvested twice
            self.lines.append(Line(arrival + HOUR_S, FILE, data, events=0, repeats=1))

    def _record(self, repository: Repository, client: Client, pid: str, event: str, metadata: bool) -> dict[str, Any]:
        node, entry = f"urn:node:{repository.node}", str(self.entries[repository.node])
        record: dict[str, Any] = {
            "dateUpdated": "1900-01-01T00:00:00Z",
            "nodeId": node,
            "subject": client.subject,
            "size": self.random.randint(900, 40_000_000),
            "_version_": 1_600_856_433_000_000_000 + self.random.randrange(10**9),
            "isPublic": False,
            "pid": pid,
            "id": f"{node}.{entry}",
            "event": event,
            "isRepeatVisit": False,
            "versionCompliance": "v1",
            "entryId": entry,
            "country": "somewhere else",
            "inFullRobotList": False,
            "inPartialRobotList": False,
        }
        if client.address is not None:
            record["ipAddress"] = client.address
        if client.agent is not None:
            record["userAgent"] = client.agent
        if repository.typed:
            record["formatType"] = "METADATA" if metadata else "DATA"
            record["formatId"] = "eml://ecoinformatics.org/eml-2.1.1" if metadata else "text/csv"
            record["rightsHolder"] = f"CN={node},DC=dataone,DC=org"
            record["readPermission"] = ["public", "public"]
        return record


READERS = 260


def day(seed: int, crowd: int = 1) -> list[Line]:
    """The lines of the event log in the order of their arrival; of `crowd` times as many readers."""
    random = Random(f"dataone {seed}")
    shelf = _datasets(random)
    log = _Log(random)
    for _ in range(READERS * crowd):
        _read(log, _reader(random), shelf, random.choice((1, 2, 3, 5)))
    for address, agent in _ROBOTS:
        _crawl(log, Client(address, agent), shelf)
    for program in _MACHINES:
        _read(log, Client(_address(random), program), shelf, 12)
    for odd in _ODD_ADDRESSES:
        _read(log, Client(odd, random.choice(_AGENTS)), shelf, 2)
    _read(log, Client(_address(random), None), shelf, 2)
    _read(log, Client(_address(random), _AGENTS[0], ADMIN_SUBJECTS[0]), shelf, 4)
    _replicate(log, shelf)
    return in_order([*log.lines, *_broken(log.lines)])


def lists() -> dict[str, str]:
    """The demo's lists by file name, as the configuration names them."""
    return {
        "dataone_ips.txt": _listed(OWN_NETWORKS),
        "robot_ips.txt": _listed(ROBOT_NETWORKS),
        "robot_user_agents.txt": _listed(ROBOT_USER_AGENTS),
        "machine_user_agents.txt": _listed(MACHINE_USER_AGENTS),
        "admin_subjects.txt": _listed(ADMIN_SUBJECTS),
    }


def _listed(entries: tuple[str, ...]) -> str:
    return "".join(f"{entry}\n" for entry in entries)


def _datasets(random: Random) -> list[Dataset]:
    """Twelve data sets of each repository, with identifiers of every shape that DataONE has."""
    found = []
    for repository in REPOSITORIES:
        for number in range(1, 13):
            name = f"{repository.node.lower()}.{100 + number}"
            metadata = (
                f"https:/doi.org/10.5061/{name}?ver=2018-04-01T10:00:00.000+00:00" if not repository.typed else f"doi:10.5063/{name}",
                f"urn:uuid:{uuid.UUID(int=random.getrandbits(128), version=4)}",
            )[number % 2]
            files = tuple(f"{name}.{part}.1" for part in range(1, random.randint(2, 4)))
            found.append(Dataset(repository, metadata, files))
    return found


def _address(random: Random) -> str:
    return f"{random.choice(_NETWORKS)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


def _reader(random: Random) -> Client:
    return Client(_address(random), random.choice(_AGENTS))


def _popular(random: Random, shelf: list[Dataset]) -> Dataset:
    """A repository by its share; the n-th of its data sets with weight 1/n."""
    repository = random.choices(REPOSITORIES, [found.share for found in REPOSITORIES])[0]
    mine = [dataset for dataset in shelf if dataset.repository is repository]
    return random.choices(mine, [1 / rank for rank in range(1, len(mine) + 1)])[0]


def _read(log: _Log, client: Client, shelf: list[Dataset], datasets: int) -> None:
    """Look at some data sets and fetch some of their files; sometimes come back hours later."""
    random = log.random
    at = START - EARLY_S + random.random() * READ_FOR_S
    for _ in range(datasets):
        dataset = _popular(random, shelf)
        at += random.choice((20, 90, 600, 600, 2400, 5 * HOUR_S))
        log.add(at, client, dataset, dataset.metadata)
        for pid in dataset.data:
            if random.random() < 0.5:
                at += random.uniform(5, 120)
                log.add(at, client, dataset, pid)


def _crawl(log: _Log, client: Client, shelf: list[Dataset]) -> None:
    """A robot fetches the metadata of every data set, at a steady pace."""
    at = START - EARLY_S + log.random.random() * HOUR_S
    for dataset in shelf:
        at += 240
        log.add(at, client, dataset, dataset.metadata)


def _replicate(log: _Log, shelf: list[Dataset]) -> None:
    """DataONE's own hosts copy everything once, and audit one repository by reading it."""
    own = Client("160.94.0.146", "pyd1/1.1.11 +http://dataone.org/")
    auditor = Client("128.111.54.80", "Apache-HttpClient/4.3.6 (java 1.5)", "DC=dataone, DC=org")
    at = START - EARLY_S
    for dataset in shelf:
        for pid in (dataset.metadata, *dataset.data):
            at += 90
            log.add(at, own, dataset, pid, event="replicate")
        if not dataset.repository.typed:
            log.add(at, auditor, dataset, dataset.metadata)


def _broken(lines: list[Line]) -> Iterator[Line]:
    """What no event can be made of: half an event, a list, and an event without id."""
    whole = lines[len(lines) // 2]
    for data in (whole.data[:200] + b"\n", b'["no", "event"]\n', b"{}\n"):
        yield Line(whole.at, FILE, data, events=0, dead=1)


def _instant(random: Random, at: float) -> str:
    """UTC with three digits, and now and then with fewer, as upstream drops trailing zeros."""
    moment = datetime.fromtimestamp(round(at, 3), UTC)
    digits = random.choices((3, 2, 1, 0), (87, 11, 1, 1))[0]
    text = f"{moment:%Y-%m-%dT%H:%M:%S}"
    return f"{text}.{moment.microsecond:06}"[: 20 + digits] + "Z" if digits else f"{text}Z"
