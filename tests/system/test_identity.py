"""One content, one id for each of its events: after the state folder is lost, on another host, under another name, compressed."""

import gzip
import shutil
from collections import Counter
from pathlib import Path

import pytest

from schemas.place import split_key
from tests.helpers import read_topic
from tests.system.conftest import MakePipeline, ezcast
from tests.system.pipeline import Pipeline
from tests.system.test_fire import LINES, day

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]


def test_whatever_is_shipped_again_ends_in_the_same_documents(pipeline: MakePipeline, logs: Path, tmp_path: Path) -> None:
    run = pipeline(ezcast={**ezcast(logs), "paths": [f"{logs}/*.trace*"]})
    monday, tuesday = logs / "monday.trace", logs / "tuesday.trace"
    monday.write_bytes(day(3))
    tuesday.write_bytes(day(4))
    run.run("ship", "--once")
    events = set(shipped(run))
    assert len(events) == 2 * LINES

    shutil.rmtree(tmp_path / "state" / "ship")
    monday.rename(logs / "monday.trace.1")
    run.run("ship", "--once", "--recover")
    assert set(shipped(run).values()) == {1}, "what Kafka holds is not sent again"

    shutil.rmtree(tmp_path / "state" / "ship")
    (logs / "tuesday.trace.gz").write_bytes(gzip.compress(tuesday.read_bytes()))
    tuesday.unlink()
    run.run("ship", "--once")
    assert shipped(run) == Counter(dict.fromkeys(events, 2))

    run.run("ship", "--once", TAILRACE_HOST="another", TAILRACE_STATE_DIR=str(tmp_path / "another"))
    assert shipped(run) == Counter(dict.fromkeys(events, 3))

    run.backfill()
    assert len(run.documents("ezcast")) == 2 * LINES
    assert run.audit()["clean"]


def shipped(run: Pipeline) -> Counter[tuple[str, int, bytes]]:
    """How often each event is on the raw topic, by what its id is made of, and its bytes."""
    found: Counter[tuple[str, int, bytes]] = Counter()
    for record in read_topic(run.settings, "ezcast", "raw"):
        place, offset = split_key(record.key or b"")
        found[place.file, offset, record.value or b""] += 1
    return found
