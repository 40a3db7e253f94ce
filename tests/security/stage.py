"""Every role as a process and a user of its own on secured servers, with the rights that `tailrace access` prints and no others."""

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import get_args

from elasticsearch import ApiError
from elasticsearch.helpers import scan

from tailrace import kafka_access, search_access
from tailrace.kafka_access import Grant
from tailrace.settings import Kafka
from tests.helpers import eventually
from tests.secured import SecuredElasticsearch, SecuredKafka, password_of

SOURCE = "clicks"
LINES = [
    '{"id": "a", "time": 1475300000000, "who": "ann", "n": 1}',
    '{"id": "b", "time": 1475300060000, "who": "ann", "n": 2}',
    '{"id": "c", "time": 1475400000000, "who": "ben", "n": 3}',
    "no event",
]
CONFIG = """
[sources.clicks]
format = "json"
paths = ["{folder}/*.jsonl"]
id = "id"
time = "time"
time_format = "epoch_ms"
client = ["who"]
types = {{ n = "integer" }}
"""

SEARCH_ROLE: dict[str, search_access.Role] = {"sink": "sink", "audit": "reports", "retention": "retention", "operator": "operator"}


class Stage:
    """One test's users, topics and indices; all names begin with `mark`."""

    def __init__(self, kafka: SecuredKafka, search: SecuredElasticsearch, folder: Path) -> None:
        self.mark = f"test-{uuid.uuid4().hex[:10]}-"
        self.kafka = kafka
        self.search = search
        self.folder = folder
        self.config = folder / "tailrace.toml"
        self.config.write_text(CONFIG.format(folder=folder))
        (folder / "one.jsonl").write_text("".join(f"{line}\n" for line in LINES))
        self.extra: dict[str, str] = {}
        """More variables for every process; empty ones are left out."""
        self._running: list[subprocess.Popen[bytes]] = []
        for role in get_args(kafka_access.Role):
            kafka.add_user(self.user(role))
            kafka.allow(self.user(role), self.grants(role))
        for role, name in SEARCH_ROLE.items():
            search.add_user(self.user(role), search_access.role(name, search_access.patterns(self.mark, [SOURCE])))

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait(10)

    def user(self, role: str) -> str:
        return f"{self.mark}{role}"

    def grants(self, role: kafka_access.Role) -> list[Grant]:
        return list(kafka_access.grants(Kafka(topic_prefix=self.mark), role, [SOURCE]))

    def topic(self, kind: str) -> str:
        return f"{self.mark}{SOURCE}.{kind}"

    @property
    def generations(self) -> str:
        """The topic that says which generation is current."""
        return f"{self.mark}tailrace.generations"

    def environment(self, role: str) -> dict[str, str]:
        """Of a process that runs as this role's user."""
        password = self.folder / f"{role}.password"
        password.write_text(f"{password_of(self.user(role))}\n")
        own = {
            "TAILRACE_STATE_DIR": str(self.folder / "state"),
            "TAILRACE_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TAILRACE_KAFKA_TOPIC_PREFIX": self.mark,
            "TAILRACE_KAFKA_PARTITIONS": "2",
            "TAILRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "TAILRACE_KAFKA_SASL_USERNAME": self.user(role),
            "TAILRACE_KAFKA_SASL_PASSWORD_FILE": str(password),
            "TAILRACE_KAFKA_SSL_CA_LOCATION": str(self.kafka.ca),
            "TAILRACE_ELASTICSEARCH_URL": self.search.url,
            "TAILRACE_ELASTICSEARCH_INDEX_PREFIX": self.mark,
            "TAILRACE_ELASTICSEARCH_USERNAME": self.user(role),
            "TAILRACE_ELASTICSEARCH_PASSWORD_FILE": str(password),
            "TAILRACE_ELASTICSEARCH_CA_CERTS": str(self.search.ca),
        }
        return {**{key: value for key, value in os.environ.items() if not key.startswith("TAILRACE_")}, **own}

    def append(self, *lines: str) -> None:
        """More lines of the file."""
        with (self.folder / "one.jsonl").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def start(self, role: str, *options: str, command: str | None = None, **environment: str) -> "Running":
        """A role, or a command as the user of a role, with these options."""
        words = ["stream", role] if role in ("parse", "sessionize") else (command or role).split()
        line = [sys.executable, "-m", "tailrace.cli", "--config", str(self.config), *words, *options]
        log = self.folder / f"{role.replace(' ', '-')}-{len(self._running)}.log"
        own = {key: value for key, value in {**self.environment(role), **self.extra, **environment}.items() if value}
        with log.open("wb") as out:
            process = subprocess.Popen(line, stdout=out, stderr=out, env=own)
        self._running.append(process)
        return Running(process, log)

    def printed(self) -> str:
        """All that all processes have said."""
        return "".join(log.read_text() for log in self.folder.glob("*.log"))

    def documents(self) -> set[str]:
        """Ids of what can be searched; none while an index is so new that it cannot be asked."""
        pattern = f"{self.mark}{SOURCE}-*"
        try:
            self.search.admin.indices.refresh(index=pattern)
            return {hit["_id"] for hit in scan(self.search.admin, index=pattern)}
        except ApiError as error:
            if error.status_code != 503:
                raise
            return set()

    def carry(self, *ids: str) -> None:
        """The file's lines through all roles, until they can be searched: a, b and c, or others."""
        wanted = {*ids} or {"a", "b", "c"}
        assert self.start("ship", "--once").end() == 0
        roles = [self.start(role) for role in ("parse", "sessionize", "sink")]
        eventually(lambda: any(role.ended() for role in roles) or self.documents() == wanted, f"documents {wanted}", timeout_s=60)
        for role in roles:
            role.stop()


class Running:
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def ended(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> int:
        """Its exit code, when it ends by itself."""
        return self.process.wait(60)

    def stop(self) -> None:
        """As a service manager does: it must end cleanly."""
        assert self.process.poll() is None, self.said
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(45) == 0, self.said

    def refused(self, *words: str) -> None:
        """It must end by itself with exit code 77, and a last line that says these words; nothing may look like a defect."""
        code = self.end()
        assert code == 77, f"{code}: {self.said}"
        assert "Traceback" not in self.said, self.said
        last = self.said.splitlines()[-1]
        assert last.startswith("error: "), self.said
        for word in words:
            assert word in last, last
