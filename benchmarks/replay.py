"""What a replay costs those who wait for live lines: the time from append to found, without and with `tailrace replay start` beside.

`tailrace run` follows a file that gets lines at a steady rate, on topics that hold a backfill of many more; then the whole pipeline is
replayed into a new generation, on the same machine, while more live lines are looked for.
"""

import argparse
import subprocess
import threading
import time
from datetime import datetime

from benchmarks.e2e import ZONE, Pipeline, Writer, backfill, found, in_words, pipeline, running, write_files

GENERATION = "v2"
AT_MOST_S = 900.0


def live(its: Pipeline, writer: Writer, replay: "subprocess.Popen[bytes] | None" = None) -> str:
    """How long live lines waited until they were found; those of the time that a replay takes, where there is one."""
    writer.start()
    if replay:
        threading.Thread(target=lambda: (replay.wait(), writer.end()), daemon=True).start()
    return in_words(found(its, writer, AT_MOST_S + 60), len(writer.written_at))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks replay", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="that are replayed")
    parser.add_argument("--rate", type=int, default=200, help="live lines a second")
    parser.add_argument("--seconds", type=float, default=60, help="of live lines without a replay")
    options = parser.parse_args(argv)
    with pipeline("replay") as its:
        backfill(its.config, options.lines, write_files(its.traces, options.lines))
        file = its.traces / f"{datetime.now(ZONE):%Y-%m-%d}.trace"
        with running(its.config, "run"):
            live(its, Writer(file, options.rate, 5))  # until all are at work
            print(f"alone: {live(its, Writer(file.with_suffix('.1.trace'), options.rate, options.seconds))}", flush=True)
            began = time.monotonic()
            with running(its.config, "replay", "start", GENERATION, "--once") as replay:
                said = live(its, Writer(file.with_suffix(".2.trace"), options.rate, AT_MOST_S), replay)
            print(f"with a replay of {options.lines:,} lines, {time.monotonic() - began:.0f} s, exit code {replay.returncode}: {said}")
