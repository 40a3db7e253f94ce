"""While Kafka is away, aiokafka says so a hundred times a second. An operator is told when that begins, and when it is over."""

import asyncio
import logging
import time

log = logging.getLogger("tailrace.stream")

QUIET_S = 15.0
"""It is over when aiokafka has not complained for so long; it tries again many times a second."""
LOOK_EVERY_S = 5.0


class Outage(logging.Handler):
    """Takes what a logger and those below it say, warnings and worse, which then goes no further; with --log-level debug it goes on."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.WARNING)
        self._complaints = 0
        self._began_s = self._last_s = 0.0
        logger = logging.getLogger(name)
        logger.addHandler(self)
        logger.propagate = log.isEnabledFor(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        self._last_s = time.monotonic()
        self._complaints += 1
        if self._complaints == 1:
            self._began_s = self._last_s
            log.warning("there is trouble with Kafka, which is tried again: %s", record.getMessage())

    def look(self) -> None:
        """Say that it is over, once it is."""
        if self._complaints and time.monotonic() - self._last_s >= QUIET_S:
            lasted_s = self._last_s - self._began_s
            log.info("Kafka answers again, after %.0f s of trouble; of %d complaints the first was shown", lasted_s, self._complaints)
            self._complaints = 0

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()
