"""Writes a batch: posts it until every item is in the index or in a dead letter.

A batch is written alone by its lane, and what must be sent again goes before anything newer, so the operations of a document keep
their order whatever fails.
"""

import logging
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import orjson
from elasticsearch import ApiError, Elasticsearch, TransportError, UnsupportedProductError

from sinks import outcomes, responses
from sinks.bulk import Batch, Record, action
from sinks.counts import Counts
from sinks.dead_letters import DeadLetters, Interrupted
from sinks.outcomes import Answers
from sinks.responses import CannotHold, Later
from sinks.versions import Unreadable, settle
from tailrace.errors import TailraceError

log = logging.getLogger("tailrace.sink")

PATH = "/_bulk"
PARAMS = {"filter_path": "errors,items.*.status,items.*.error", "timeout": "15s"}
"""A tenth of the full answer; `status` stands in every item, so that their positions can be told. The server waits so long for shards
that are not there, and then says which; the client would give up after 60 s and know nothing."""
HEADERS = {"accept": "application/json", "content-type": "application/x-ndjson"}

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
SAY_EVERY_S = 10.0

TRIES_TOGETHER = 4
"""How often a request that only breaks the server (500) is sent before it is halved, to find the document that does it."""
TRIES_ALONE = 10
"""How often that document is sent alone before it can become a dead letter: a minute, in which a server can be restarted. It becomes one
only when its index takes another operation before and after the last of them: a server that breaks by itself breaks on everything."""
PROBE_ID = "tailrace-probe"
"""Of a document that never was: deleting it writes to an index and changes nothing."""


class Patience:
    """Pauses between tries: exponential with full jitter, never shorter than the server asked for."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._tries = 0
        self._said = time.monotonic() - SAY_EVERY_S

    def pause(self, cause: str, not_before_s: float = 0.0) -> None:
        """Wait before the next try. Raises Interrupted when the sink gives up."""
        self._tries += 1
        now = time.monotonic()
        if now - self._said >= SAY_EVERY_S:
            log.warning("Elasticsearch does not take everything yet, trying on (try %d): %s", self._tries, cause)
            self._said = now
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._tries, 16))
        if self._cancelled.wait(max(not_before_s, random.uniform(0, longest))):
            raise Interrupted


class Writer:
    """One lane's connection to the index."""

    def __init__(
        self,
        client: Elasticsearch,
        url: str,
        version_fields: Mapping[str, str],
        dead_letters: DeadLetters,
        counts: Counts,
        cancelled: threading.Event,
    ) -> None:
        """`version_fields`: for the topics whose events have versions, the documents' field that holds it."""
        self._client = client
        self._url = url
        self._version_fields = version_fields
        self._dead_letters = dead_letters
        self._counts = counts
        self._cancelled = cancelled
        self.waiting_since_s: float | None = None
        """Monotonic; since when the server has taken nothing of what it was given. None where it does not keep this lane waiting."""
        self.waiting_for = ""
        """The server's words, the last time it took nothing."""

    def write(self, batch: Batch) -> None:
        """Return when every record of the batch is settled.

        Raises Interrupted where the sink gives up meanwhile, TooManyDead, Refused and other TailraceErrors where no further try can help.
        """
        for record, unusable in batch.unusable:
            self._keep(record, unusable.reason, str(unusable))
        dead = len(batch.unusable) + self._write(batch.operations, batch.records)
        if dead:
            self._dead_letters.confirm(self._cancelled)
        self._dead_letters.count(len(batch.operations) + len(batch.unusable) - batch.patches)

    def _keep(self, record: Record, reason: str, message: str) -> None:
        self._dead_letters.keep(record, reason, message)
        self._counts.dead(reason)

    def _write(self, operations: list[bytes], records: list[Record]) -> int:
        """Settle these operations; how many became dead letters."""
        patience = Patience(self._cancelled)
        dead = broken = 0
        cause = ""
        sound = False
        try:
            while operations:
                sound_before, sound = sound, broken >= TRIES_ALONE and self._takes_others(operations[0])
                if (broken >= TRIES_TOGETHER and len(operations) > 1) or (sound_before and sound):
                    return dead + self._split(operations, records, "breaks_elasticsearch", cause)
                try:
                    answers, settled = self._try(operations, records)
                except CannotHold as error:
                    return dead + self._split(operations, records, "refused_by_elasticsearch", str(error))
                except Later as later:
                    cause, broken = str(later), broken + 1 if later.broken else 0
                    self._wait(patience, len(operations), cause, later.not_before_s)
                    continue
                if answers.refusal:
                    raise responses.refused(answers.refusal, self._url)
                for position, reason, message in answers.dead:
                    self._keep(records[position], reason, message)
                dead += len(answers.dead)
                self._counts.taken(answers.done)
                if len(answers.again) < len(operations):
                    self.waiting_since_s = None
                broken = broken + 1 if answers.broken and len(answers.again) == len(operations) else 0
                operations = [settled.get(position, operations[position]) for position in answers.again]
                records = [records[position] for position in answers.again]
                if answers.cause:
                    cause = answers.cause
                    self._wait(patience, len(operations), cause, 0.0)
        finally:
            self.waiting_since_s = None
        return dead

    def _try(self, operations: list[bytes], records: list[Record]) -> tuple[Answers, dict[int, bytes]]:
        """Send them once: the answers, and what to send instead of those that may be older than their documents.

        Raises Later, CannotHold (of a single operation only where it is at fault), and TailraceErrors.
        """
        try:
            answers = outcomes.sort(operations, self._post(operations))
            return answers, self._settle_versions(operations, records, sorted(answers.older))
        except CannotHold as error:
            if len(operations) == 1:
                self._require_fault(operations[0], error)
            raise

    def _require_fault(self, operation: bytes, error: CannotHold) -> None:
        """Raises TailraceError where a refusal has other reasons than the operation, and what `_probe` raises."""
        if not error.own:
            raise TailraceError(
                f"what stands between here and Elasticsearch at {self._url} lets no request of {len(operation):,} bytes pass: {error}; "
                "raise its limit (nginx: client_max_body_size)"
            )
        if not self._probe(operation):
            raise TailraceError(f"Elasticsearch at {self._url} takes no request at all: {error}")

    def _settle_versions(self, operations: list[bytes], records: list[Record], older: list[int]) -> dict[int, bytes]:
        """What to send instead of the operations at the positions `older`."""
        if not older:
            return {}
        fields = [self._version_fields[records[position].topic()] for position in older]
        try:
            instead = settle(self._client, [operations[position] for position in older], fields)
        except ApiError as error:
            raise responses.in_place_of(error, self._url) from None
        except (TransportError, Unreadable) as error:
            raise Later(f"{self._url}: {error}") from None
        return dict(zip(older, instead, strict=True))

    def _split(self, operations: list[bytes], records: list[Record], reason: str, cause: str) -> int:
        """Halve a request that the server does not take as a whole, down to the one operation that is at fault."""
        if len(operations) == 1:
            self._keep(records[0], reason, cause)
            return 1
        middle = len(operations) // 2
        return sum(self._write(operations[part], records[part]) for part in (slice(None, middle), slice(middle, None)))

    def _takes_others(self, operation: bytes) -> bool:
        """Whether the index of an operation that breaks the server takes another one now."""
        try:
            return self._probe(operation)
        except Later:
            return False

    def _probe(self, operation: bytes) -> bool:
        """Whether the index of an operation takes another one. Raises Later where that cannot be said now."""
        probe = b'{"delete":{"_index":%b,"_id":"%b"}}\n' % (orjson.dumps(action(operation).index_name), PROBE_ID.encode())
        try:
            ((result,),) = (item.values() for item in self._post([probe]))
        except CannotHold:
            return False
        return result["status"] in (200, 404)  # 404: there is no such document, as expected, or no index yet

    def _wait(self, patience: Patience, amount: int, cause: str, not_before_s: float) -> None:
        self.waiting_for = cause
        self.waiting_since_s = self.waiting_since_s or time.monotonic()
        self._counts.retried(amount)
        patience.pause(f"{amount:,} operations: {cause}", not_before_s)

    def _post(self, operations: list[bytes]) -> list[dict[str, Any]]:
        """The items of the answer, in the order of the operations."""
        body = b"".join(operations)
        began = time.perf_counter()
        status = "none"
        try:
            response = self._client.perform_request("POST", PATH, params=PARAMS, headers=HEADERS, body=body)
            status = str(response.meta.status)
        except UnsupportedProductError as error:
            raise TailraceError(f"what answers at {self._url} is no Elasticsearch: {error}; check elasticsearch.url") from None
        except ApiError as error:
            status = str(error.meta.status)
            raise responses.in_place_of(error, self._url) from None
        except TransportError as error:
            raise Later(f"{self._url}: {error}") from None
        finally:
            self._counts.request(status, time.perf_counter() - began, len(body))
        return responses.items(response, len(operations), self._url)
