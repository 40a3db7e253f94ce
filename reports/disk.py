"""The files of a source on this disk: their records' places and checksums, cut as the producer cuts them.

All offsets are of the decompressed bytes.
"""

import glob
import gzip
import os
import re
import time
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from schemas.framing import split
from schemas.identity import GZIP, HEAD_BYTES, head, is_gzip, leading_nuls
from schemas.source import SourceSettings

BLOCK_BYTES = 1 << 20


class DiskFile(NamedTuple):
    """A file's records, cut; their places wait on disk, so that memory does not grow with files."""

    path: str
    head: bytes
    """What names the file: its first line."""
    size: int
    """Bytes when it was read, decompressed."""
    terminated: int
    """Offset where the unterminated end begins; `size` where there is none."""
    amount: int
    """Of terminated records."""
    first: int
    """Offset of the first one."""
    spool: BinaryIO
    """A temporary file that many files share. `at` is where this one's cuts begin there: the end of each record, just after its LF
    and where the next begins; then of each record the CRC-32 without its last LF, which is the value that Kafka should hold."""
    at: int

    def records(self) -> Iterator[tuple[int, int, int]]:
        """Start, end and checksum of each terminated record, in order."""
        ends, checksums = array("q"), array("I")
        self.spool.seek(self.at)
        ends.fromfile(self.spool, self.amount)
        checksums.fromfile(self.spool, self.amount)
        return zip(chain([self.first], ends), ends, checksums, strict=False)


def paths(settings: SourceSettings) -> list[str]:
    """The regular files that the source's globs name, sorted, each once however many names it has.

    `exclude` as producers take it: globs of paths, or of bare names.
    """
    found: dict[tuple[int, int], str] = {}
    for path in sorted({path for pattern in settings.paths for path in glob.iglob(pattern, recursive=True)}):
        name = os.path.basename(path)
        if os.path.isfile(path) and not any(fnmatch(path if "/" in pattern else name, pattern) for pattern in settings.exclude):
            status = os.stat(path)
            found.setdefault((status.st_dev, status.st_ino), os.path.abspath(path))
    return list(found.values())


def is_old(path: str, ignore_older_s: float | None) -> bool:
    """Whether producers leave the file alone, if they have not shipped any of it. One that is gone is not old."""
    try:
        return ignore_older_s is not None and time.time() - os.stat(path).st_mtime > ignore_older_s
    except OSError:
        return False


def read(path: str, record_start: re.Pattern[bytes] | None, spool: BinaryIO) -> DiskFile:
    """Cut a file, and keep the cuts at the end of `spool`.

    Raises OSError for a file that cannot be read, broken or incomplete compressed data included.
    """
    ends, checksums = array("q"), array("I")
    beginning, size = b"", 0
    with content(path) as file:
        hole, rest = _over_hole(file)
        for at, buffer, cuts in _blocks(file, rest, record_start):
            base = hole + at
            if at == 0:
                beginning = buffer[:HEAD_BYTES]
            size = base + len(buffer)
            start = 0
            for end in cuts:
                ends.append(base + end)
                checksums.append(crc32(buffer[start : end - 1]))
                start = end
    at = spool.seek(0, os.SEEK_END)
    ends.tofile(spool)
    checksums.tofile(spool)
    return DiskFile(path, head(beginning) or beginning, size, ends[-1] if ends else 0, len(ends), hole, spool, at)


def records(path: str, record_start: re.Pattern[bytes] | None) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each record, without its last LF; last what the file ends with unterminated. Raises as `read`."""
    with content(path) as file:
        hole, rest = _over_hole(file)
        for at, buffer, cuts in _blocks(file, rest, record_start):
            start = 0
            for end in cuts:
                yield hole + at + start, buffer[start : end - 1]
                start = end
            rest = buffer[start:]
            base = hole + at + start
    if rest:
        yield base, rest


@contextmanager
def content(path: str) -> Iterator[BinaryIO]:
    """The bytes that were written to a file, compressed or not."""
    with Path(path).open("rb") as file:
        if not is_gzip(file.read(len(GZIP))):
            file.seek(0)
            yield file
            return
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked  # type: ignore[misc]  # reads as one
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(EINVAL, f"its compressed data is incomplete or damaged ({error})", path) from None


def _over_hole(file: BinaryIO) -> tuple[int, bytes]:
    """How many NUL bytes the file begins with, which no producer ships, and what was read beyond them."""
    hole = 0
    while block := file.read(BLOCK_BYTES):
        zeros = leading_nuls(block)
        hole += zeros
        if zeros < len(block):
            return hole, block[zeros:]
    return hole, b""


def _blocks(file: BinaryIO, buffer: bytes, record_start: re.Pattern[bytes] | None) -> Iterator[tuple[int, bytes, list[int]]]:
    """Offset of a buffer that begins with a record, the buffer, and the ends of its records; the last buffer ends with the file."""
    base = 0
    while block := file.read(max(BLOCK_BYTES, len(buffer))):  # doubling: a record of many blocks is not searched once for each
        buffer += block
        ends = split(buffer, record_start)
        if ends:
            yield base, buffer, ends
            base, buffer = base + ends[-1], buffer[ends[-1] :]
    yield base, buffer, split(buffer, record_start, final=True)
