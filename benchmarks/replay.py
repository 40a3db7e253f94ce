"""What a replay costs those who wait for live lines: the time from append to found, without and with `tailrace replay start` beside.

`tailrace run` follows a file that gets lines at a steady rate, on topics that hold a backfill of many more; then the whole pipeline is
replayed into a new generation, on the same machine, while more live lines are looked for. Prints how the replay said that it went on.
"""

import argparse
import subprocess
import tempfile
import threading
import time
import uuid
from datetime import datetime
from pathlib import Path

from elasticsearch import Elasticsearch

from benchmarks.e2e import ZONE, Writer, backfill, configure, found, in_words, running, write_files
from infra.forget import forget
from tailrace import search
from tailrace.settings import Settings, load

GENERATION = "v2"
AT_MOST_S = 900.0


def live(client: Elasticsearch, settings: Settings, writer: Writer, replay: "subprocess.Popen[bytes] | None" = None) -> str:
    """How long live lines waited until they were found; those of the time that a replay takes, where there is one."""
    writer.start()
    if replay:
        threading.Thread(target=lambda: (replay.wait(), writer.end()), daemon=True).start()
    return in_words(found(client, settings, writer, AT_MOST_S + 60), len(writer.written_at))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks replay", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="that are replayed")
    parser.add_argument("--rate", type=int, default=200, help="live lines a second")
    parser.add_argument("--seconds", type=float, default=60, help="of live lines without a replay")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tailrace-replay-") as folder:
        config, traces = configure(Path(folder), f"replay-bench-{uuid.uuid4().hex[:8]}-")
        settings = load(config, {})
        client = search.connect(settings.elasticsearch, 5)
        try:
            backfill(config, options.lines, write_files(traces, options.lines))
            file = traces / f"{datetime.now(ZONE):%Y-%m-%d}.trace"
            with running(config, "run"):
                live(client, settings, Writer(file, options.rate, 5))  # until all are at work
                print(f"alone: {live(client, settings, Writer(file.with_suffix('.1.trace'), options.rate, options.seconds))}", flush=True)
                began = time.monotonic()
                with running(config, "replay", "start", GENERATION, "--once") as replay:
                    said = live(client, settings, Writer(file.with_suffix(".2.trace"), options.rate, AT_MOST_S), replay)
                print(f"with a replay of {options.lines:,} lines, {time.monotonic() - began:.0f} s, exit code {replay.returncode}: {said}")
        finally:
            forget(settings)
