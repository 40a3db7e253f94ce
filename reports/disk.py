"""The files of a source on this disk: their records' places and checksums, cut as the producer cuts them."""

import glob
import os
import re
from array import array
from collections.abc import Iterator
from errno import EINVAL
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

from schemas.framing import split
from schemas.identity import HEAD_BYTES, head
from schemas.source import SourceSettings

BLOCK_BYTES = 1 << 20
GZIP = b"\x1f\x8b"


class DiskFile(NamedTuple):
    path: str
    head: bytes
    """What names the file: its first line."""
    size: int
    """Bytes when it was read."""
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


def read(path: str, record_start: re.Pattern[bytes] | None) -> DiskFile:
    """Raises OSError for a file that cannot be read, and for one that is compressed, which producers leave alone."""
    starts, ends, checksums = array("q"), array("q"), array("I")
    beginning, size = b"", 0
    with Path(path).open("rb") as file:
        for base, buffer, cuts in _blocks(file, record_start):
            if base == 0:
                beginning = buffer[:HEAD_BYTES]
            size = base + len(buffer)
            start = 0
            for end in cuts:
                starts.append(base + start)
                ends.append(base + end)
                checksums.append(crc32(buffer[start : end - 1]))
                start = end
    if beginning.startswith(GZIP):
        raise OSError(EINVAL, "it is compressed: leave it out (exclude), or unpack it", path)
    return DiskFile(path, head(beginning) or beginning, size, starts, ends, checksums)


def _blocks(file: BinaryIO, record_start: re.Pattern[bytes] | None) -> Iterator[tuple[int, bytes, list[int]]]:
    """Offset of a buffer that begins with a record, the buffer, and the ends of its records; the last buffer ends with the file."""
    base, buffer = 0, b""
    while block := file.read(max(BLOCK_BYTES, len(buffer))):  # doubling: a record of many blocks is not searched once for each
        buffer += block
        ends = split(buffer, record_start)
        if ends:
            yield base, buffer, ends
            base, buffer = base + ends[-1], buffer[ends[-1] :]
    yield base, buffer, split(buffer, record_start, final=True)
