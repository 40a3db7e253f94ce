"""The bytes that were written to a file, whether it holds them as they are or compressed by gzip.

All offsets are of the decompressed bytes, so that a file which is compressed later goes on where it was.
"""

import os
import zlib
from errno import EINVAL, ENXIO

from schemas import identity

_INPUT_BYTES = 64 * 1024

_KEPT_BYTES = 2048
"""Decompressed bytes that stay at hand before the offset: a reader looks back a little each time (`reader.ENDING_BYTES`)."""

_GZIP = zlib.MAX_WBITS | 16


class Replaced(Exception):
    """The file was cut or overwritten: the bytes before the offset are not those that were read."""


class Damaged(OSError):
    """Compressed bytes that no patience mends."""


class Content:
    """Of a file that holds its bytes as they are. Owns the descriptor."""

    is_packed = False
    ends_early = False
    """True where what is at hand of a compressed file stops before its end: it is still being written, or was cut."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def pread(self, length: int, offset: int) -> bytes:
        """Up to `length` bytes from `offset` on; fewer only where no more are there now.

        Raises Replaced where a compressed file is shorter than what was read of it, and OSError as the file system does.
        """
        return os.pread(self._fd, length, offset)

    def begin(self) -> int:
        """Offset of the first byte that is not NUL; of the end where none is.

        A writer that goes on at its old offset after its log was cut leaves a hole of NULs, which nobody wrote.
        """
        offset = 0
        while zeros := identity.leading_nuls(block := self.pread(_INPUT_BYTES, offset)):
            offset += zeros
            if zeros < len(block):
                break
            offset = self._over_hole(offset)
        return offset

    def _over_hole(self, offset: int) -> int:
        """Where a sparse file has data again, so that a hole of gigabytes takes no time; `offset` where that is not known."""
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError as error:
            return os.fstat(self._fd).st_size if error.errno == ENXIO else offset


class Packed(Content):
    """Of a gzip file, of one member or several. Reading backwards, beyond a few bytes, starts it anew."""

    is_packed = True

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._rewind()

    def _rewind(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._input = b""
        self._taken = 0
        """Bytes of the file that were read, `_input` included, which the member did not take yet."""
        self._window = b""
        """The last bytes that were decompressed."""
        self._end = 0
        """Offset of the end of `_window`."""
        self._drained = False
        self._damage = ""
        self.ends_early = True

    def pread(self, length: int, offset: int) -> bytes:
        """As for plain files. Raises Damaged with the offset up to which the file was good."""
        if offset < self._end - len(self._window):
            self._rewind()
        before = self._end
        while (left := offset + length - self._end) > 0:
            try:
                fresh = self._inflate(min(left, _INPUT_BYTES))
            except Damaged:
                if self._end == before:
                    raise
                break  # what was good first
            self._drained = not fresh
            if not fresh:
                break
            needed = max(_KEPT_BYTES, self._end - offset)
            self._window = self._window[-needed:] + fresh
            self._end += len(fresh)
        begin = offset - (self._end - len(self._window))
        found = self._window[begin : begin + length]
        self._window = self._window[-_KEPT_BYTES:]
        return found

    @property
    def consumed(self) -> int:
        """How many bytes of the file on disk are behind what was read; less one while there may be more of them in the works."""
        return self._taken - len(self._input) - (not self._drained)

    def _over_hole(self, offset: int) -> int:
        return offset

    def _inflate(self, limit: int) -> bytes:
        """The next bytes, at most `limit`; none where the file ends for now."""
        while not self._damage:
            data = self._input or self._more()
            if self._member.eof and data:
                self._input = data.lstrip(b"\0")  # tapes and blocks are padded
                if not self._input:
                    continue
                self._member, data = zlib.decompressobj(_GZIP), self._input
            try:
                fresh = self._member.decompress(data, limit)
            except zlib.error as error:
                self._damage = f"its compressed data is damaged after byte {self._end} of its content ({error})"
                break
            self._input = self._member.unconsumed_tail or self._member.unused_data
            self.ends_early = not self._member.eof
            if fresh or not data:
                return fresh
        raise Damaged(EINVAL, self._damage)

    def _more(self) -> bytes:
        data = os.pread(self._fd, _INPUT_BYTES, self._taken)
        if not data and os.fstat(self._fd).st_size < self._taken:
            raise Replaced
        self._taken += len(data)
        return data


def take(fd: int) -> Content:
    """The content of an open file, which closes it. Raises OSError as the file system does; the descriptor stays open then."""
    return Packed(fd) if identity.is_gzip(os.pread(fd, len(identity.GZIP), 0)) else Content(fd)


def open_file(path: str | os.PathLike[str]) -> Content:
    """Raises OSError as the file system does."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return take(fd)
    except OSError:
        os.close(fd)
        raise
