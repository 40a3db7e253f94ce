"""One Faust app in this process, from start to a clean end or a clear failure.

Faust's own command and `faust.Worker` set up logging, banners and signal handlers of their own; here the app is an
ordinary service on an event loop of ours. Whatever fails for good ends the process with a non-zero exit code, so that its
supervisor restarts it and it reads again from the committed offsets: Faust itself would restart an agent and go on with the
next message, or go on doing nothing.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import faust
import uvloop
from faust.types import EventT, StreamT, TopicT

from streams.figures import Counts, Figures
from streams.outage import Outage
from streams.outbox import Outbox
from streams.watchdog import Watchdog
from tailrace import signals
from tailrace.errors import TailraceError
from tailrace.garbage import collect_seldom
from tailrace.monitor import Answers, answered
from tailrace.settings import Settings

log = logging.getLogger("tailrace.stream")

COLLECT_EVERY = 50_000
"""Objects made between two searches for garbage in cycles. The usual 700 are those of some hundred records, and so many searches through
what is in flight and in the state, where no such garbage arises, take a fifth of the time that sessions take."""
STOP_S = 18.0
"""For a stop in good order; beyond it the process ends as if killed, which loses nothing."""

Handle = Callable[[EventT], Awaitable[None]]
"""Works on the batch of an event. Must see to it that `event.ack()` is called once Kafka holds all that came of it."""


class Worker:
    """An app, its producer, and what went wrong."""

    def __init__(self, settings: Settings, app: faust.App) -> None:
        self.settings = settings
        self.app = app
        self.counts = Counts()
        self.outbox = Outbox(settings.kafka, self.fail)
        self._end = asyncio.Event()
        self._failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.at_end: list[Callable[[], None]] = []
        """Called when the app has stopped, so that no thread waits for Kafka any more."""

    def fail(self, error: BaseException) -> None:
        """End the process with this error. The first one counts."""
        if self._failure is None:
            self._failure = error
        self.app.consumer.abandoned = True
        self._end.set()

    def stop(self) -> None:
        """End in good order."""
        self._end.set()

    def agent(self, topic: TopicT, name: str, handle: Handle) -> None:
        """Give each batch of a topic to `handle`, one at a time, in order."""

        async def work(stream: StreamT) -> None:
            stream.enable_acks = False  # `handle` acknowledges, later than this loop
            events: AsyncIterator[EventT] = stream.events()
            async for event in events:
                try:
                    await handle(event)
                except Exception as error:
                    self.fail(error)
                    return

        self.app.agent(topic, name=name)(work)

    def done(self, event: EventT, outputs: Counter[str]) -> None:
        """Kafka holds all that came of a batch: so many records by topic."""
        self.counts.records[event.message.topic] += len(event.value)
        self.counts.outputs.update(outputs)
        event.ack()

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this for as long as the worker runs, which ends if it fails."""
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.append(task)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self.fail(error)

    async def run(self) -> None:
        """Work until SIGTERM, SIGHUP or Ctrl-C. Raises what made the worker fail."""
        loop = asyncio.get_running_loop()
        for number in signals.ending():
            loop.add_signal_handler(number, self.stop)
        figures = Figures(self.app, self.counts)
        with answered("stream.monitor", self.settings.stream.monitor, Answers(figures.samples, figures.health)):
            await self._work(Watchdog(self.settings.kafka, self.app, lambda error: loop.call_soon_threadsafe(self.fail, error)))
        if self._failure is not None:
            raise self._failure

    async def _work(self, watchdog: Watchdog) -> None:
        """From the start to the stop of the app, and of all that goes on beside it."""
        for work in (self.outbox.poll(), self.app.start(), self._watch_crash(), Outage("aiokafka").watch()):
            self.background(work)
        watchdog.start()
        try:
            await self._end.wait()
            await asyncio.wait_for(self.app.stop(), STOP_S)
        except TimeoutError:
            self.fail(TailraceError(f"the worker did not stop within {STOP_S:.0f} s"))
        finally:
            watchdog.stop()
            for give_up in self.at_end:
                give_up()
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    async def _watch_crash(self) -> None:
        await self.app._crashed.wait()
        self.fail(self.app.crash_reason or TailraceError("the worker crashed"))


def run(settings: Settings, build: Callable[[], Worker]) -> None:
    """Build a worker on its event loop and run it to its end.

    Raises TailraceError for what a person can mend; other exceptions are defects.
    """

    async def main() -> None:
        worker = build()
        log.info("%s starts, process %d", worker.app.conf.id, os.getpid())
        await worker.run()
        log.info("%s has stopped", worker.app.conf.id)

    _quieten()
    collect_seldom(COLLECT_EVERY)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _quieten() -> None:
    """Faust and aiokafka narrate; what an operator needs is said by us, or is a warning."""
    for name in ("faust", "mode", "aiokafka", "streams.transport", "streams.table"):  # mode logs by the module of the subclass
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger("streams.recovery").setLevel(logging.CRITICAL)  # the error that it logs with a traceback is the worker's own
