"""One file, from an offset on: its complete records, and nothing that is not known to be complete.

A reader holds at most a chunk, a record and an unterminated line in memory, each within the limit of a record. What it hands
out is the caller's to publish. It notices when the bytes before its offset are no longer those that it read.
"""

import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from producers.content import Content, Damaged, Packed, Replaced
from schemas import framing
from schemas.identity import HEAD_BYTES
from schemas.source import Source

CHUNK_BYTES = 256 * 1024
"""Bytes per read. Large enough that per-chunk work vanishes beside 1,500 records, small enough to stay in the processor's cache."""

MAX_RECORD_BYTES = 7 * 1024 * 1024 + 512 * 1024
"""Longest record that is shipped: topics take 8 MiB (tailrace.kafka.MAX_RECORD_BYTES), of which half a MiB is left for the key."""

DEAD_BYTES = 1024 * 1024
"""How much of a longer record its dead letter keeps; the rest stays in the file, whose place the key names."""

SIGNED_BYTES = 64 * 1024
"""How much of a file's beginning its signature covers: files of one head are told apart by it across restarts."""

ENDING_BYTES = 1024
"""Bytes before the offset that are read again each time, to see that the file still is what it was; across restarts, by their digest."""


class Records(NamedTuple):
    begin: int
    """Offset in the file of the first byte of `buffer`."""
    buffer: bytes
    ends: list[int]
    """As `schemas.framing.split` gives them: record i is `buffer[ends[i - 1]:ends[i]]`, its LF included."""


class TooLarge(NamedTuple):
    begin: int
    end: int
    head: bytes


class Torn(NamedTuple):
    """The unterminated end of a file that will not be waited for."""

    begin: int
    value: bytes


Part = Records | TooLarge | Torn


class Signature(NamedTuple):
    """The digest of `length` bytes: of a file's first, or of those before an offset."""

    length: int
    digest: str


UNSIGNED = Signature(0, "")


def sign(content: bytes) -> Signature:
    return Signature(len(content), blake2b(content, digest_size=16).hexdigest())


def ending(before: bytes, part: Part) -> bytes:
    """The last bytes before the end of a part, at most `ENDING_BYTES`, given those before its beginning."""
    if isinstance(part, Records):
        end = part.ends[-1]
        last = part.buffer[max(0, end - ENDING_BYTES) : end]
        return last if len(last) == ENDING_BYTES else (before + last)[-ENDING_BYTES:]
    if isinstance(part, TooLarge) and part.end > part.begin:
        return b""  # nobody has its end
    return before


class Reader:
    """Call `read` until `at_end`; then again when the file may have grown."""

    def __init__(self, source: Source, offset: int) -> None:
        self._start = source.record_start
        self._timeout_s = source.record_timeout_s
        self._content: Content | None = None
        self._packed_consumed: int | None = None
        self._begin = offset
        self._held = b""
        """Bytes from `_begin` to `position`, of records that are not complete."""
        self._marker = b""
        self.before = b""
        """The last bytes before the offset that it began at, once it was opened."""
        self._known = UNSIGNED
        """The signature, as long as the file was not opened."""
        self._ahead = b""
        """What stood at `position` when the file was opened; looked at until there is a marker."""
        self._too_large: TooLarge | None = None
        """The record that is being skipped; `_held` then begins inside it."""
        self._until: re.Pattern[bytes] | None = None
        """What begins the record after it; None: any line does."""
        self._grown_s = 0.0
        self._signed = blake2b(digest_size=16)
        self._signed_length = 0
        self.ends_early = False
        """The file is compressed and stopped before its end when it was read last."""
        self.is_short = False
        """The last `read` came to where the file ended."""
        self.at_end = False
        """The last `read` found nothing new."""

    @property
    def position(self) -> int:
        """Offset up to which the file was read, held back bytes included."""
        return self._begin + len(self._held)

    @property
    def consumed(self) -> int:
        """How many bytes of the file on disk are behind `position`: the same number where it is not compressed."""
        return self.position if self._packed_consumed is None else self._packed_consumed

    @property
    def is_packed(self) -> bool:
        """Whether the file was compressed when it was read last."""
        return self._packed_consumed is not None

    @property
    def is_open(self) -> bool:
        return self._content is not None

    @property
    def signature(self) -> Signature:
        return Signature(self._signed_length, self._signed.hexdigest()) if self._signed_length else self._known

    @property
    def signed_length(self) -> int:
        return self._signed_length or self._known.length

    @property
    def waits(self) -> bool:
        """Whether complete lines are held back, in case a further line belongs to them."""
        return b"\n" in self._held

    @property
    def is_torn(self) -> bool:
        """Whether the file ends in an unterminated line, as far as it was read."""
        return bool(self._held) and not self._held.endswith(b"\n")

    def open(self, content: Content) -> None:
        """Read from it from now on; the reader closes it. Raises OSError as the file system does, and then does not hold it."""
        if self._signed_length == 0 and self.position:
            begin = content.begin()
            beginning = content.pread(min(SIGNED_BYTES, max(0, self.position - begin)), begin)
            self._signed.update(beginning)
            self._signed_length = len(beginning)
        if not self._marker:
            length = min(ENDING_BYTES, self.position)
            marker = content.pread(length, self.position - length)
            self._marker = self.before = marker if len(marker) == length else b""
        if not self._marker and not self._ahead:
            self._ahead = content.pread(HEAD_BYTES, self.position)
        self.close()
        self._content = content
        # To look at its beginning may have decompressed all of it, but nothing was read of it yet.
        self._packed_consumed = 0 if content.is_packed else None
        self.ends_early = content.ends_early
        self.is_short = self.at_end = False

    def take_as_read(self, consumed: int, signature: Signature) -> None:
        """The file, which is not opened, is compressed, has `consumed` bytes on the disk, and holds nothing after the offset."""
        self._packed_consumed, self._known, self.at_end = consumed, signature, True

    def agrees(self, content: Content) -> bool:
        """Whether a file holds before `position` what was read there; the benefit of the doubt for one that is still being compressed."""
        found = content.pread(len(self._marker), self.position - len(self._marker))
        return found == self._marker or (content.ends_early and len(found) < len(self._marker))

    def close(self) -> None:
        if self._content is not None:
            self._content.close()
            self._content = None

    def fileno(self) -> int:
        assert self._content is not None, "the reader is closed"
        return self._content.fileno()

    def read(self, now_s: float, limit: int = CHUNK_BYTES) -> list[Part]:
        """The records that the next chunk, of `limit` bytes, completes, or that have waited long enough for a further line.

        Raises Replaced, and OSError as the file system does (a share that went away; Damaged: compressed data that is broken).
        """
        limit = max(limit, min(CHUNK_BYTES, len(self._held)))  # a long record in small pieces would be copied once for each
        content, marker = self._content, self._marker
        assert content is not None, "the reader is closed"
        try:
            data = content.pread(limit + len(marker), self.position - len(marker))
        except Damaged:
            self._packed_consumed = os.fstat(content.fileno()).st_size  # there is no more to be had from it as it stands
            raise
        self._note_consumed(content)
        is_behind = content.ends_early and len(data) < len(marker)
        if not is_behind and not data.startswith(marker or self._ahead[:limit]):
            raise Replaced
        self.is_short = len(data) < limit + len(marker)
        self.at_end = len(data) <= len(marker)
        if self.at_end:
            is_due = self.waits and now_s - self._grown_s >= self._timeout_s
            return list(self._complete(final=True)) if is_due else []
        self._grown_s = now_s
        self._marker, self._ahead = data[-ENDING_BYTES:], b""
        self._take(memoryview(data)[len(marker) :])
        return list(self._complete(final=False))

    def finish(self) -> list[Part]:
        """What is held back, for a file that is taken to be complete as it stands."""
        begin = framing.torn_begin(self._held, self._start)
        parts: list[Part] = []
        if begin or self._held.endswith(b"\n"):
            parts.extend(self._complete(final=True))
        if self._too_large:
            parts.append(self._too_large._replace(end=self._too_large.begin))  # torn: what it is to be is not known yet
        elif self._held:
            parts.append(Torn(self._begin, self._held))
        return parts

    def _note_consumed(self, content: Content) -> None:
        self._packed_consumed = content.consumed if isinstance(content, Packed) else None
        self.ends_early = content.ends_early

    def _take(self, fresh: memoryview) -> None:
        unsigned = SIGNED_BYTES - self._signed_length
        if unsigned > 0:
            self._signed.update(fresh[:unsigned])
            self._signed_length += len(fresh[:unsigned])
        self._held = b"".join((self._held, fresh))

    def _drop(self, length: int) -> None:
        self._held = self._held[length:]
        self._begin += length

    def _complete(self, final: bool) -> Iterator[Part]:
        if self._too_large:
            end = framing.find_end(self._held, self._until)
            if end < 0 and final:
                end = self._held.rfind(b"\n") + 1 or -1
            if end >= 0:
                self._drop(end)
                yield self._too_large._replace(end=self._begin)
                self._too_large = None
        if not self._too_large:
            ends = framing.split(self._held, self._start, final=final)
            if ends:
                yield from _within_limit(Records(self._begin, self._held, ends))
                self._drop(ends[-1])
        if len(self._held) > MAX_RECORD_BYTES or self._too_large:
            yield from self._skip()

    def _skip(self) -> Iterator[Part]:
        """Let go of a record that is too large but for what shows where it ends: its last line's beginning, with the LF before.

        A record is too large if its complete lines are. Only a line that is too large by itself is judged before its end.
        """
        line = self._held.rfind(b"\n") + 1
        endless = len(self._held) - line > MAX_RECORD_BYTES
        if line and endless and self._start and self._start.match(self._held[line:]):
            if self._too_large:
                yield self._too_large._replace(end=self._begin + line)
                self._too_large = None
            else:
                yield from _within_limit(Records(self._begin, self._held[:line], [line]))
            self._drop(line)
            line = 0
        if not self._too_large:
            if line <= MAX_RECORD_BYTES + 1 and not endless:
                return
            self._too_large = TooLarge(self._begin, -1, self._held[:DEAD_BYTES])
            self._until = self._start if self._start and self._start.match(self._held) else None
        self._drop(line - 1 if line and not endless else len(self._held))


def _within_limit(records: Records) -> Iterator[Part]:
    """The same records with those above the limit taken out. A buffer below the limit costs one comparison."""
    begin, buffer, ends = records
    if len(buffer) <= MAX_RECORD_BYTES:
        yield records
        return
    last, good = 0, 0
    kept: list[int] = []
    for end in ends:
        if end - last > MAX_RECORD_BYTES + 1:
            if kept:
                yield Records(begin + good, buffer[good:last], kept)
            yield TooLarge(begin + last, begin + end, buffer[last : last + DEAD_BYTES])
            good, kept = end, []
        else:
            kept.append(end - good)
        last = end
    if kept:
        yield Records(begin + good, buffer[good:last], kept)
