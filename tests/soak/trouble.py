"""What may happen to a pipeline at any moment, and a dice that decides."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

from tests.own_servers import OwnServer
from tests.soak.pipeline import Pipeline

FROZEN_S = (1.0, 16.0)
"""The longest is beyond the consumer groups' time-out, so that a frozen worker wakes up to find its partitions with another."""
AWAY_S = (0.0, 6.0)
"""Of a server, in addition to its start."""


class Trouble:
    """Does one thing after the other to a pipeline; `say` is told what."""

    def __init__(self, pipeline: Pipeline, random: Random, say: Callable[[str], None]) -> None:
        self._pipeline, self._random, self._say = pipeline, random, say
        self._kinds: dict[Callable[[], None], int] = {
            self.kill_a_role: 8,
            self.freeze_a_role: 3,
            self.kill_run: 1,
            self.stop_run: 1,
            self.kill_kafka: 1,
            self.stop_kafka: 1,
            self.kill_elasticsearch: 1,
            self.stop_elasticsearch: 1,
        }
        self.done = 0

    def strike(self) -> None:
        """Raises Failed where the pipeline does not survive."""
        self._pipeline.check()
        kinds = list(self._kinds)
        kind = self._random.choices(kinds, [self._kinds[each] for each in kinds])[0]
        kind()
        self.done += 1

    def kill_a_role(self) -> None:
        self._signal_a_role(signal.SIGKILL)

    def freeze_a_role(self) -> None:
        pid = self._signal_a_role(signal.SIGSTOP)
        if pid is not None:
            time.sleep(self._random.uniform(*FROZEN_S))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def kill_run(self) -> None:
        self._say("SIGKILL tailrace run")
        self._pipeline.end_run(kill=True)
        self._pipeline.start()

    def stop_run(self) -> None:
        self._say("SIGTERM tailrace run")
        self._pipeline.end_run(kill=False)
        self._pipeline.start()

    def kill_kafka(self) -> None:
        self._bounce(self._pipeline.kafka, "kill")

    def stop_kafka(self) -> None:
        self._bounce(self._pipeline.kafka, "stop")

    def kill_elasticsearch(self) -> None:
        self._bounce(self._pipeline.elasticsearch, "kill")

    def stop_elasticsearch(self) -> None:
        self._bounce(self._pipeline.elasticsearch, "stop")

    def _signal_a_role(self, number: signal.Signals) -> int | None:
        """The pid; None where none runs at this moment."""
        roles = sorted(self._pipeline.roles().items())
        if not roles:
            return None
        pid, role = self._random.choice(roles)
        self._say(f"{number.name} {role}, process {pid}")
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def _bounce(self, server: OwnServer, how: str) -> None:
        away_s = self._random.uniform(*AWAY_S)
        self._say(f"{how} {type(server).__name__.removeprefix('Own')}, away for {away_s:.1f} s and its start")
        server.kill() if how == "kill" else server.stop()
        time.sleep(away_s)
        server.start()
