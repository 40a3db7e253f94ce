"""One Elasticsearch node, as a Java process of this machine. It listens on the loopback address only, and without security unless told."""

import json
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from infra.account import Account, hand_over
from infra.java import Jdk
from infra.ports import HOST
from infra.processes import Process, spawn

_CONFIG = ("log4j2.properties", "roles.yml", "role_mapping.yml", "users", "users_roles")
"""Files of the distribution that the node insists on."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Node(NamedTuple):
    port: int
    transport_port: int
    heap: str
    """As for -Xmx: `1g`."""
    settings: Mapping[str, str] = {}
    """In place of those here or beside them."""
    files: Mapping[str, str] = {}
    """Contents of more files in its configuration folder: certificates, users."""


def start(node: Node, home: Path, jdk: Jdk, folder: Path, account: Account | None, *, tied: bool) -> Process:
    """Start a node whose data, logs and settings are in `folder`, which `account` can reach. It does not answer yet."""
    conf, scratch = folder / "conf", folder / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)
    for each in (conf, scratch, folder / "data", folder / "logs"):
        each.mkdir(parents=True, exist_ok=True)
    _configure(node, home, folder, conf)
    log = folder / "server.log"
    log.touch()
    hand_over(folder, account)
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(scratch),
        "HOSTNAME": "localhost",
        "JAVA": str(jdk.java),
        "JAVA_TYPE": "ES_JAVA_HOME",
        "ES_HOME": str(home),
        "ES_PATH_CONF": str(conf),
        "ES_DISTRIBUTION_TYPE": "tar",
        "ES_TMPDIR": str(scratch),
        "LIBFFI_TMPDIR": str(scratch),
        "ES_JAVA_OPTS": f"-Xms{node.heap} -Xmx{node.heap}",
    }
    launcher = "org.elasticsearch.server.launcher.ServerLauncher"
    java: list[str | Path] = [jdk.java, "-Xms4m", "-Xmx64m", "-XX:+UseSerialGC", f"-Djava.io.tmpdir={scratch}"]
    command = [*java, "-cp", f"{home}/lib/tools/server-launcher/*", launcher]
    return spawn("Elasticsearch", command, log, account, tied=tied, env=env, cwd=home)


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether the node answers, and all its indices can be written to."""
    request = f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s"
    try:
        with _direct.open(request, timeout=timeout_s) as response:
            return json.load(response)["timed_out"] is False
    except (OSError, ValueError, KeyError):  # URLError is an OSError; half an answer is no answer
        return False


def _configure(node: Node, home: Path, folder: Path, conf: Path) -> None:
    """Its own copy of the settings: the node writes its keystore beside them."""
    for name in _CONFIG:
        shutil.copyfile(home / "config" / name, conf / name)
    options = (home / "config" / "jvm.options").read_text().splitlines(keepends=True)
    # Logs of the garbage collector would take up to 2 GB.
    (conf / "jvm.options").write_text("".join(line for line in options if "-Xlog:gc" not in line))
    settings = {
        "cluster.name": "tailrace",
        "node.name": "tailrace",
        "network.host": HOST,
        "http.port": node.port,
        "transport.port": node.transport_port,
        "discovery.type": "single-node",
        "path.data": folder / "data",
        "path.logs": folder / "logs",
        "xpack.security.enabled": "false",
        # Past the watermarks of a nearly full disk a new index would stay red, and writes time out.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    chosen = {**settings, **node.settings}
    (conf / "elasticsearch.yml").write_text("".join(f"{key}: {json.dumps(str(value))}\n" for key, value in chosen.items()))
    for name, content in node.files.items():
        (conf / name).write_text(content)
