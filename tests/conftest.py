"""Real servers for tests, started once per run, and settings that no two tests share.

`servers` are those of TAILRACE_KAFKA_BOOTSTRAP_SERVERS and TAILRACE_ELASTICSEARCH_URL where both are set, else a Kafka and an
Elasticsearch of this run's own that end with it. They are started before the first test, so that no test's time limit pays for them,
and only where a test of the run asks for them. The processes of `pytest -n 2` share them.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from infra import city
from infra.forget import forget
from infra.progress import seldom
from infra.servers import Servers, obtain
from tailrace import kafka, search
from tailrace.errors import TailraceError
from tailrace.settings import HASH_KEY, OTHER_VARIABLES, PREFIX, Elasticsearch, Kafka, Settings, load

pytest_plugins = ["tests.secured"]

REPOSITORY = Path(__file__).parent.parent
NAMED = (f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS", f"{PREFIX}ELASTICSEARCH_URL")

_named_by_caller = pytest.StashKey[dict[str, str]]()
_servers = pytest.StashKey[Servers | TailraceError]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=5, help="kill -9 so many processes under tests/system/test_fire.py")
    parser.addoption("--seed", type=int, default=1, help="of what it kills, and when")


def pytest_configure(config: pytest.Config) -> None:
    """Settings in the caller's environment must not change what a test sees, nor must a shell that started this in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # such a shell has it ignored, which processes under test would inherit
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # likewise nohup
    hypothesis.settings.register_profile("tests", deadline=None)  # a busy machine is no defect
    hypothesis.settings.register_profile("long", deadline=None, max_examples=2000)
    hypothesis.settings.load_profile("tests")
    environ = getattr(config, "workerinput", os.environ)
    config.stash[_named_by_caller] = {name: environ[name] for name in NAMED if environ.get(name)}
    for name in list(os.environ):
        if name.startswith(PREFIX) and (name not in OTHER_VARIABLES or name in {"TAILRACE_CONFIG", HASH_KEY}):
            del os.environ[name]


def pytest_itemcollected(item: pytest.Item) -> None:
    """`-m "not servers"` leaves out everything that needs them, marked by hand or not."""
    if {"servers", "secured_kafka", "secured_elasticsearch"} & {*getattr(item, "fixturenames", ())}:
        item.add_marker(pytest.mark.servers)


def pytest_collection_finish(session: pytest.Session) -> None:
    config = session.config
    if (
        config.option.collectonly
        or session.testsfailed
        or not any("servers" in getattr(item, "fixturenames", ()) for item in session.items)
    ):
        return
    config.stash[_servers] = _obtain(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """One of several processes (pytest-xdist) is about to be started: it is named the servers that the first one was."""
    config: pytest.Config = node.config
    if _servers not in config.stash:
        config.stash[_servers] = _obtain(config)
    found = config.stash[_servers]
    if isinstance(found, TailraceError):
        pytest.exit(_no_servers(found), 1)
    node.workerinput.update(zip(NAMED, (found.bootstrap_servers, found.url), strict=True))


def _obtain(config: pytest.Config) -> Servers | TailraceError:
    folder = Path(tempfile.mkdtemp(prefix="tailrace-tests-"))
    folder.chmod(0o755)  # the account that servers run under has to pass
    config.add_cleanup(lambda: shutil.rmtree(folder))
    given = config.stash[_named_by_caller]
    terminal = config.pluginmanager.getplugin("terminalreporter")  # None in one of several processes
    try:
        found = obtain(load(environ=given), folder, seldom(terminal.write_line if terminal else str.strip), given)
        config.add_cleanup(found.stop)
        kafka.connect(Kafka(bootstrap_servers=found.bootstrap_servers))
        search.connect(Elasticsearch(url=found.url)).close()
    except TailraceError as error:
        return error
    return found


def _no_servers(error: TailraceError) -> str:
    return f"no servers: {error.format_message()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_servers, None)
    if isinstance(found, Servers):
        terminalreporter.write_line(f"servers: Kafka {found.bootstrap_servers}, Elasticsearch {found.url} ({found.how})")
    else:
        terminalreporter.write_line(f"servers: {found or 'none were asked for'}")


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """A real Kafka and a real Elasticsearch; the whole run shares them, so use the names of `settings`."""
    found = pytestconfig.stash[_servers]
    if isinstance(found, TailraceError):
        pytest.fail(_no_servers(found), pytrace=False)
    return found


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> Iterator[Settings]:
    """Settings of the servers with prefixes and a state folder of the test's own; what it made there is deleted afterwards."""
    mark = f"test-{uuid.uuid4().hex[:10]}-"
    own = Settings(
        host="test-host",
        state_dir=str(tmp_path / "state"),
        kafka=Kafka(bootstrap_servers=servers.bootstrap_servers, topic_prefix=mark),
        elasticsearch=Elasticsearch(url=servers.url, index_prefix=mark),
    )
    yield own
    forget(own)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of formats, samples and expected answers that stands beside the repository, or at TAILRACE_SHARED."""
    folder = Path(os.environ.get("TAILRACE_SHARED") or REPOSITORY.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is not there; set TAILRACE_SHARED")
    return folder


@pytest.fixture(scope="session")
def city_database() -> Path:
    """A MaxMind City database, of 2018."""
    found = city.city_database()
    if found is None:
        pytest.skip("no City database: install maxminddb-geolite2, which is among the development dependencies")
    return found
