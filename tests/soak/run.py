"""One soak, from nothing to the verdict: every line once, by the audit and by the writer, and every session as a sorted scan says."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

from demo.truth import differences
from reports.audit import audit_source
from tailrace import search
from tests.soak.pipeline import Failed, Pipeline
from tests.soak.trouble import Trouble

FIRST_S = 5.0
"""Of peace, so that there is something to disturb."""


def soak(folder: Path, seed: int, seconds: float, crowd: int, pause_s: tuple[float, float], say: Callable[[str], None]) -> None:
    """Disturb a pipeline in an empty folder for as long as its traffic takes; then prove that each line arrived once.

    `crowd`: how many times the demo's people. `pause_s`: between two strikes, from and to. Raises Failed where it did not survive.
    """
    pipeline = Pipeline(folder)
    with pipeline.running():
        began = time.monotonic()
        writer = [sys.executable, "-m", "demo.writer", str(folder), "--seed", str(seed), "--seconds", str(seconds), "--crowd", str(crowd)]
        with subprocess.Popen(writer) as writing:
            try:
                strikes = _disturb(pipeline, writing, Random(seed), pause_s, say, began)
            finally:
                writing.kill()
        if writing.returncode:
            raise Failed(f"the writer ended with exit code {writing.returncode}")
        pipeline.end_run(kill=False)
        say("peace: carrying the rest")
        pipeline.drain()
        _judge(pipeline)
        total = pipeline.ledger().total()
        say(
            f"clean after {strikes} strikes in {time.monotonic() - began:.0f} s: {total.records:,} records, {total.events:,} events, "
            f"{total.dead:,} dead letters"
        )


def _disturb(
    pipeline: Pipeline,
    writing: "subprocess.Popen[bytes]",
    random: Random,
    pause_s: tuple[float, float],
    say: Callable[[str], None],
    began: float,
) -> int:
    """Strike again and again until the writer has ended; how often."""

    def told(what: str) -> None:
        say(f"{time.monotonic() - began:6.1f} s  {what}")

    trouble = Trouble(pipeline, random, told)
    wait_s = FIRST_S
    while True:
        try:
            writing.wait(wait_s)
            return trouble.done
        except subprocess.TimeoutExpired:
            trouble.strike()
            wait_s = random.uniform(*pause_s)


def _judge(pipeline: Pipeline) -> None:
    for words in (("audit",), ("sessions", "repair", "--dry-run")):
        asked = pipeline.ask(*words)
        if asked.returncode:
            raise Failed(f"`tailrace {' '.join(words)}` ended with exit code {asked.returncode}:\n{asked.stdout}\n{asked.stderr}")
    with closing(search.connect(pipeline.settings.elasticsearch)) as client:
        audits = [
            audit_source(pipeline.settings, name, client, allow_lag=False, settle_s=0, say=lambda _: None)
            for name in pipeline.settings.sources
        ]
    wrong = differences(pipeline.ledger(), pipeline.folder, audits)
    if wrong:
        raise Failed("the writer knows better:\n" + "\n".join(wrong))
