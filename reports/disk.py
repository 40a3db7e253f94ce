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
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from schemas.framing import split
from schemas.identity import GZIP, HEAD_BYTES, head, is_gzip, leading_nuls
from schemas.source import SourceSettings

BLOCK_BYTES = 1 << 20


class DiskFile(NamedTuple):
    path: str
    head: bytes
    """What names the file: its first line."""
    size: int
    """Bytes when it was read, decompressed."""
    starts: "array[int]"
    ends: "array[int]"
    """Places of the terminated records; each end is just after the record's LF. 20 bytes of memory a record with its checksum."""
    checksums: "array[int]"
    """CRC-32 of each record without its last LF, which is the value that Kafka should hold."""

    @property
    def terminated(self) -> int:
        """Offset where the unterminated end begins; `size` where there is none."""
        return self.ends[-1] if self.ends else 0


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


def read(path: str, record_start: re.Pattern[bytes] | None) -> DiskFile:
    """Raises OSError for a file that cannot be read, broken or incomplete compressed data included."""
    starts, ends, checksums = array("q"), array("q"), array("I")
    beginning, size, hole = b"", 0, 0
    with content(path) as file:
        hole, rest = _over_hole(file)
        for at, buffer, cuts in _blocks(file, rest, record_start):
            base = hole + at
            if at == 0:
                beginning = buffer[:HEAD_BYTES]
            size = base + len(buffer)
            start = 0
            for end in cuts:
                starts.append(base + start)
                ends.append(base + end)
                checksums.append(crc32(buffer[start : end - 1]))
                start = end
    return DiskFile(path, head(beginning) or beginning, size, starts, ends, checksums)


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
