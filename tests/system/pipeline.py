"""What a system test drives: a folder with a tailrace.toml, and the command `tailrace` as a user types it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from schemas.source import SourceSettings
from tailrace.dead import DeadLetter, from_record
from tailrace.settings import Settings
from tests.helpers import read_topic

RUN_LIMIT_S = 150


class Pipeline:
    """Runs Tailrace on a folder of its own, with the topics and indices of one test."""

    def __init__(self, settings: Settings, folder: Path, sources: dict[str, dict[str, Any]]) -> None:
        self.settings = msgspec.structs.replace(
            settings, sources={name: msgspec.convert(block, SourceSettings) for name, block in sources.items()}
        )
        self.folder = folder
        self.config = folder / "tailrace.toml"
        self.config.write_text(_toml(self.settings))
        self.search = Elasticsearch(
            settings.elasticsearch.url,
            request_timeout=30,
            retry_on_status=503,  # an index is so new that its shards are not there yet
            max_retries=30,
            retry_backoff_base=0.1,
            retry_backoff_cap=1,
        )

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tailrace.cli", "--config", str(self.config), *words]

    def environment(self, **extra: str) -> dict[str, str]:
        return {**{key: value for key, value in os.environ.items() if not key.startswith("TAILRACE_")}, **extra}

    def run(self, *words: str, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), capture_output=True, text=True, timeout=RUN_LIMIT_S, env=self.environment(**extra), check=False
        )
        if check and done.returncode:
            raise AssertionError(f"tailrace {' '.join(words)} exited {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def backfill(self) -> None:
        """Everything that the files hold, searchable."""
        self.run("run", "--once", "--wait", "30s")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{'-'.join(words[:2])}.log").open("ab") as log:
            return subprocess.Popen(self.command(*words), stdout=log, stderr=log, env=self.environment())

    def audit(self) -> dict[str, Any]:
        done = self.run("audit", "--format", "json", check=False)
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"audit exited {done.returncode}: {done.stdout[-2000:]}{done.stderr[-4000:]}") from None
        assert found["clean"] is (done.returncode == 0), done.stdout
        return found

    def documents(self, source: str) -> dict[str, dict[str, Any]]:
        """Every document by id; fails where an id stands in two indices."""
        found: dict[str, dict[str, Any]] = {}
        for hit in self.hits(source):
            assert hit["_id"] not in found, f"{hit['_id']} stands twice"
            found[hit["_id"]] = hit["_source"]
        return found

    def hits(self, source: str) -> Iterator[dict[str, Any]]:
        self.search.indices.refresh(index=self.pattern(source), ignore_unavailable=True)
        yield from scan(self.search, index=self.pattern(source), query={"query": {"match_all": {}}})

    def pattern(self, source: str) -> str:
        block = self.settings.sources[source]
        return f"{self.settings.elasticsearch.index_prefix}{block.index or source}-*"

    def summaries(self, source: str, family: str) -> list[dict[str, Any]]:
        """The documents that sum up a source's events."""
        alias = f"{self.pattern(source)[:-1]}{family}"
        self.search.indices.refresh(index=alias, ignore_unavailable=True)
        return [hit["_source"] for hit in scan(self.search, index=alias, query={"query": {"match_all": {}}})]

    def dead(self, source: str) -> list[DeadLetter]:
        return [from_record(record.key, record.value, record.headers) for record in read_topic(self.settings, source, "dead")]


def _toml(settings: Settings) -> str:
    """The settings as TOML; every value of theirs is text, a number, a flag, a list of text or a table."""
    lines: list[str] = []

    def write(table: dict[str, Any], path: str) -> None:
        scalars = {key: value for key, value in table.items() if not isinstance(value, dict) and value is not None}
        if path:
            lines.append(f"[{path}]")
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in scalars.items())
        for key, value in table.items():
            if isinstance(value, dict):
                write(value, f"{path}.{key}" if path else key)

    write(msgspec.to_builtins(settings), "")
    return "\n".join(lines) + "\n"
