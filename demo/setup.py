"""The demo's folder and servers: a tailrace.toml as an operator would write it, and how it all ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo import dataone
from demo.writer import EVENTS, TRACES
from infra import ports, servers
from infra.city import city_database
from infra.forget import forget
from infra.progress import Printer, Say
from tailrace import settings
from tailrace.errors import TailraceError
from tailrace.settings import PREFIX, Settings

CONFIG = "tailrace.toml"
PREFIX_OF_GUESTS = "demo-"
"""On servers that somebody else runs, everything of the demo's begins with this and a number of its own."""
OURS_TO_SAY = ("CONFIG", "STATE_DIR", "HOST", "KAFKA_TOPIC_PREFIX", "ELASTICSEARCH_INDEX_PREFIX", "SOURCES_")
"""Settings of the caller's environment that would change what the demo shows."""


def write_config(folder: Path) -> Path:
    """Write the lists and the configuration, without servers yet. Returns the configuration's path."""
    lists = folder / "lists"
    lists.mkdir()
    for name, text in dataone.lists().items():
        (lists / name).write_text(text)
    city = city_database()
    geography = f'geoip_city = "{city}"' if city else "# geoip_city: no City database is installed, so geography is off"
    config = folder / CONFIG
    config.write_text(f"""\
state_dir = "{folder}/state"

[sources.ezcast]
paths = ["{folder}/{TRACES}/*.trace"]
timezone = "Europe/Brussels"
{geography}

[sources.dataone]
paths = ["{folder}/{EVENTS}/{dataone.FILE}*"]
index = "eventlog"
fields = {{ env = "demo" }}
own_networks = "{lists}/dataone_ips.txt"
robot_networks = "{lists}/robot_ips.txt"
machine_user_agents = "{lists}/machine_user_agents.txt"
robot_user_agents = "{lists}/robot_user_agents.txt"
admin_subjects = "{lists}/admin_subjects.txt"
{geography}
""")
    return config


def forget_caller() -> None:
    """Leave only those variables of ours that name servers and how to log in there."""
    for name in list(os.environ):
        if name.startswith(tuple(PREFIX + ours for ours in OURS_TO_SAY)):
            del os.environ[name]


@contextmanager
def running_servers(config: Path, *, keep: bool) -> Iterator[tuple[Settings, str]]:
    """The settings, servers included, and how to stop those servers; on leaving nothing stays, but with `keep` everything does."""
    folder = config.parent
    found = servers.named(settings.load(config))
    if found is not None:
        _append_servers(config, f"{PREFIX_OF_GUESTS}{os.getpid()}-", found.bootstrap_servers, found.url)
        own = settings.load(config)
        try:
            yield own, "the servers are not the demo's: whoever started them stops them"
        finally:
            if not keep:
                forget(own)
    elif keep:
        kafka_port, elasticsearch_port = ports.free(2)
        _append_servers(config, "", f"{ports.HOST}:{kafka_port}", f"http://{ports.HOST}:{elasticsearch_port}")
        _tailrace(config, "up")
        yield settings.load(config), f"tailrace --config {config} down --delete"
    else:
        with _quiet_end(Printer()) as say, servers.start(folder / "servers", say) as started:
            say(f"Kafka and Elasticsearch run ({started.how})")
            _append_servers(config, "", started.bootstrap_servers, started.url)
            yield settings.load(config), ""


@contextmanager
def _quiet_end(printer: Printer) -> Iterator[Say]:
    """Take the printer's live line away, whatever happens."""
    try:
        yield printer
    finally:
        printer.close()


def _append_servers(config: Path, prefix: str, bootstrap_servers: str, url: str) -> None:
    with config.open("a") as file:
        file.write(f"""
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{prefix}"

[elasticsearch]
url = "{url}"
index_prefix = "{prefix}"
""")


def tailrace(config: Path, *words: str) -> list[str]:
    """The command line of `tailrace` with the demo's configuration."""
    return [sys.executable, "-m", "tailrace.cli", "--config", str(config), *words]


def _tailrace(config: Path, *words: str) -> None:
    code = subprocess.run(tailrace(config, *words), check=False).returncode
    if code:
        raise TailraceError(f"tailrace {' '.join(words)} ended with exit code {code}, see above")
