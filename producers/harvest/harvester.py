"""The loop: ask each core for what is new, publish it, remember what is acknowledged.

The main thread publishes and minds signals; questions are asked by a thread, one at a time, so that a core that hangs hinders
neither deliveries nor a stop, and the next page is fetched while one is published.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from itertools import count
from threading import Thread

import msgspec

from producers.checkpoint import Entry, Store
from producers.harvest.core import Core, Waiting
from producers.progress import clock
from producers.publish import Publisher, Stopped
from producers.reader import DEAD_BYTES, MAX_RECORD_BYTES, TooLarge
from tailrace.errors import Incomplete, Refused, TailraceError, Unreachable
from tailrace.solr import Head, Page, Question, Trouble, ask

log = logging.getLogger("tailrace.harvest")

LIST_ROWS = 10_000
"""Documents per page of the overlap's list, which has 70 bytes for each."""

TEND_S = 0.1
"""Between two looks at deliveries and signals while a core is waited for."""

CHECKPOINT_S = 1.0
HEARTBEAT_S = 5.0
STATUS_S = 10.0

RETRY_S = (1.0, 60.0)
"""Pause after the first failure, doubled with each further one up to the second number."""

FLUSH_S = 10.0
"""A stop waits this long for deliveries; supervisors kill after 30 s or more."""


class Harvester:
    def __init__(
        self, cores: Sequence[Core], publisher: Publisher, store: Store, kept: Sequence[Entry], *, once: bool, wait_s: float
    ) -> None:
        """`kept`: entries of the checkpoint that belong to none of the cores. `wait_s`: how long `once` waits for a core's answer."""
        self.cores = cores
        self.publisher = publisher
        self._store = store
        self._kept = kept
        self._once = once
        self._wait_s = wait_s
        self._spread = count()
        self._stop = False
        self._documents = 0
        self._changed = False
        self.saved = True
        """The last checkpoint could be written."""
        self.moved_s = time.monotonic()
        """When the queue was empty or something was acknowledged."""
        self._saved_s = 0.0
        self._beat_s = 0.0
        self._said = (time.monotonic(), 0)

    def stop(self) -> None:
        """Asks `run` to end; for signal handlers."""
        self._stop = True

    @property
    def stopping(self) -> bool:
        return self._stop

    def run(self) -> None:
        """Until `stop`, or with `once` until everything present is acknowledged.

        Raises with `once` Incomplete where a stop came before that, Unreachable, Refused or TailraceError where a core does not
        answer, refuses or finds fault with the question; without, those are waited out. Raises what the publisher raises.
        Whatever happens, the checkpoint written last covers acknowledged documents only.
        """
        complete = False
        try:
            with suppress(Stopped):
                self._loop()
                complete = True
            left = self.publisher.flush(FLUSH_S)
            if left:
                log.warning("%d documents are not acknowledged after %.0f s: they will be sent again", left, FLUSH_S)
        finally:
            self._settle()
            saved = self._save()
        self._beat(stopped=True)
        self.publisher.flush(0 if left else FLUSH_S)
        log.info("%d documents harvested", self._documents)
        if self._once and not (complete and saved):
            what = "the checkpoint could not be written" if complete else "stopped before everything was harvested"
            raise Incomplete(f"{what}. Run it again to go on from there")

    def _loop(self) -> None:
        while True:
            for core in self.cores:
                if time.monotonic() >= core.due_s:
                    self._sweep(core)
                    core.due_s = time.monotonic() + core.poll_s
            if self._once:
                while any(core.batches for core in self.cores):
                    self._tend(TEND_S)
                return
            self._pause(min(core.due_s for core in self.cores) - time.monotonic())

    # Reading

    def _sweep(self, core: Core) -> None:
        """Everything of a core that is new."""
        began_ms = _now_ms()
        question = Question(core.address, self._first_new(core), rows=core.rows)
        for page in self._pages(core, question):
            self._publish(core, page)
        core.window.prune()
        core.swept_ms = began_ms

    def _first_new(self, core: Core) -> int:
        """The version from which on documents have to be read: of the overlap, only the list is."""
        window = core.window
        if window.newest == 0:
            return 0
        for page in self._pages(core, Question(core.address, window.floor, window.newest, LIST_ROWS, bare=True)):
            for head in page.heads:
                if head not in window:
                    return head.version
        return window.newest + 1

    def _pages(self, core: Core, question: Question) -> Iterator[Page]:
        """All pages; the next one is on its way while one is used."""
        page = self._answer(core, question, _in_background(question))
        while page.heads and page.cursor != question.cursor:
            question = question._replace(cursor=page.cursor)
            coming = _in_background(question)
            yield page
            page = self._answer(core, question, coming)

    def _answer(self, core: Core, question: Question, coming: "Future[Page]") -> Page:
        """The page that is coming, asked for again for as long as it takes. A cursor outlives a restart of its core."""
        began_s, pause_s, said = time.monotonic(), RETRY_S[0], ""
        while True:
            while not wait([coming], TEND_S).done:
                self._tend(0)
            self._tend(0)
            try:
                page = coming.result()
            except Trouble as trouble:
                core.waiting = Waiting(core.waiting.since_s if core.waiting else time.time(), str(trouble))
                if self._once:
                    self._give_up(question, trouble, time.monotonic() - began_s)
                if str(trouble) != said:
                    said = str(trouble)
                    log.warning("Solr at %s: %s; trying again", question.address.url, said)
            else:
                core.waiting = None
                if said:
                    log.info("Solr at %s answers again", question.address.url)
                return page
            self._pause(pause_s)
            pause_s = min(pause_s * 2, RETRY_S[1])
            coming = _in_background(question)

    def _give_up(self, question: Question, trouble: Trouble, waited_s: float) -> None:
        where = f"Solr at {question.address.url}"
        if trouble.refused:
            raise Refused(f"{where} refuses ({trouble}); check solr_username and solr_password_file")
        if trouble.wrong:
            raise TailraceError(f"{where} finds fault with the question ({trouble}); check solr_url and solr_filter")
        if waited_s >= self._wait_s:
            raise Unreachable(f"{where} gave no usable answer for {waited_s:.0f} s ({trouble}); check solr_url, or give --wait more time")

    # Publishing

    def _publish(self, core: Core, page: Page) -> None:
        new = [(head, document) for head, document in zip(page.heads, page.documents, strict=True) if head not in core.window]
        if new:
            self._send(core, new)
        for head, _ in new:
            core.window.take(head)
        self._say_status(core, page)

    def _send(self, core: Core, documents: Sequence[tuple[Head, msgspec.Raw]]) -> None:
        """One batch, acknowledged together: its documents are in order of versions."""
        source, pairs = core.source.name, []
        for head, document in documents:
            line = msgspec.json.format(document, indent=0)  # as the file log has it: one line, a space after commas and colons
            if len(line) <= MAX_RECORD_BYTES:
                pairs.append((core.prefix + b"%d" % head.version, line))
            else:
                part = TooLarge(head.version, head.version + len(line), line[:DEAD_BYTES])
                batch = self.publisher.send_too_large(source, core.prefix, part)
                batch.end = 0
                core.batches.append(batch)
        partition = next(self._spread) % self.publisher.partitions(source)
        core.batches.append(self.publisher.send_pairs(source, partition, pairs, documents[-1][0].version))

    # Waiting and remembering

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._tend(min(TEND_S, left))

    def _tend(self, timeout_s: float) -> None:
        """Serve deliveries and the checkpoint. Raises Stopped where a stop was asked for, and what the publisher raises."""
        self.publisher.poll(timeout_s)
        self._settle()
        if self._changed and time.monotonic() - self._saved_s >= CHECKPOINT_S:
            self._save()
        if time.monotonic() - self._beat_s >= HEARTBEAT_S:
            self._beat()
        if self._stop:
            raise Stopped

    def _settle(self) -> None:
        for core in self.cores:
            if documents := core.settle():
                self._documents += documents
                self._changed = True
                self.moved_s = time.monotonic()
        if not self.publisher.queued:
            self.moved_s = time.monotonic()

    def _save(self) -> bool:
        self.saved = self._store.save([*self._kept, *(core.entry() for core in self.cores)])
        self._changed, self._saved_s = not self.saved, time.monotonic()
        return self.saved

    def _beat(self, *, stopped: bool = False) -> None:
        self._beat_s = time.monotonic()
        for core in self.cores:
            self.publisher.send_heartbeats(core.source.name, [core.beat(_now_ms(), stopped=stopped)])

    def _say_status(self, core: Core, page: Page) -> None:
        since_s, before = self._said
        took_s = time.monotonic() - since_s
        if took_s < STATUS_S:
            return
        rate = (self._documents - before) / took_s
        left = f", {clock(max(0, page.found - self._documents) / rate)} left" if self._once and rate else ""
        log.info("%s: %d of %d documents acknowledged, %.0f/s%s", core.source.name, self._documents, page.found, rate, left)
        self._said = (time.monotonic(), self._documents)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _in_background(question: Question) -> "Future[Page]":
    """Asked by a thread that a stop does not wait for."""
    answer: Future[Page] = Future()

    def fill() -> None:
        try:
            answer.set_result(ask(question))
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=fill, daemon=True, name="solr").start()
    return answer
