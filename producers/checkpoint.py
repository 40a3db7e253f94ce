"""How far each file is acknowledged, kept so that no crash, power cut or second producer can spoil it.

A checkpoint is one small file: a line with version and checksum, then JSON. A new one replaces the old in one step and
only once it is on the disk; the one before is kept. Whatever is older than the truth only sends records again, with the
same keys.
"""

import fcntl
import logging
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec

from schemas.heartbeat import Seal
from tailrace.errors import TailraceError

log = logging.getLogger("tailrace.ship")

_MAGIC = b"tailrace-checkpoint"
_VERSION = 1


class Packed(msgspec.Struct, frozen=True):
    """A compressed file as it was when it was read to its end: while it is so, it need not be decompressed again."""

    size: int
    """Bytes on the disk."""
    mtime_ns: int


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    source: str
    file: str
    """File id."""
    path: str
    """Where the file was first seen, as in the keys of its records."""
    offset: int
    """Every byte before it is on the topic or in a dead letter."""
    signed: int
    """The file's first `signed` bytes have the digest `signature`: tells files of one first line apart."""
    signature: str
    ended: int = 0
    """The `ended` bytes before `offset` have the digest `ending`: tells files apart that differ later. 0: not known."""
    ending: str = ""
    packed: Packed | None = None
    """Of a compressed file that ends at `offset`."""
    sealed: Seal | None = None
    """Of the file as it was when it was complete; it still is if it ends there."""


class _Damaged(Exception):
    pass


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Entry]).decode


def peek(folder: Path) -> list[Entry]:
    """The newest good checkpoint, whoever holds the lock; nothing is written. Empty where there is none.

    Raises TailraceError for one of a newer version, and one that may not be read.
    """
    for path in (folder / "checkpoint", folder / "checkpoint.previous"):  # the first is missing for a moment while it is replaced
        try:
            return _parse(path.read_bytes(), path)
        except (FileNotFoundError, _Damaged):
            continue
        except OSError as error:
            raise TailraceError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    return []


class Store:
    """The checkpoint of one state folder, which it locks until `close`."""

    def __init__(self, folder: Path) -> None:
        """Raises TailraceError where the folder cannot be written, or another producer uses it."""
        self._folder = folder
        self._current = folder / "checkpoint"
        self._previous = folder / "checkpoint.previous"
        self._complained = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            self._probe()
        except OSError as error:
            raise TailraceError(
                f"cannot write the state folder {folder}: {error.strerror}; set state_dir to a folder of this user"
            ) from None
        self._take_lock()

    def _probe(self) -> None:
        probe = self._folder / "probe"
        probe.write_bytes(b"")
        probe.unlink()

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise TailraceError(
                f"another producer (process {holder}) uses the state folder {self._folder}; stop it, or set another state_dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        os.close(self._lock)

    def load(self) -> list[Entry]:
        """The newest good checkpoint; empty where there is none.

        Raises TailraceError for a checkpoint of a newer version, which must not be overwritten.
        """
        for path in (self._current, self._previous):
            try:
                return _parse(path.read_bytes(), path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise TailraceError(f"cannot read the checkpoint {path}: {error.strerror}") from None
            except _Damaged as damage:
                aside = path.with_suffix(".damaged")
                os.replace(path, aside)
                log.warning(
                    "checkpoint %s is damaged (%s), kept as %s: going back to the one before; records may be sent twice",
                    path,
                    damage,
                    aside,
                )
        return []

    def save(self, entries: Iterable[Entry]) -> bool:
        """Replace the checkpoint durably. False, and a warning, where the disk refuses: the old one stands."""
        body = _encode(list(entries))
        try:
            self._replace(b"%s %d %s\n%s" % (_MAGIC, _VERSION, _checksum(body), body))
        except OSError as error:
            if not self._complained:
                log.warning(
                    "cannot write the checkpoint in %s: %s; going on and trying again, the old one stands", self._folder, error.strerror
                )
            self._complained = True
            return False
        if self._complained:
            log.warning("the checkpoint in %s can be written again", self._folder)
        self._complained = False
        return True

    def _replace(self, data: bytes) -> None:
        new = self._folder / "checkpoint.new"
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if self._current.exists():
            os.replace(self._current, self._previous)
        os.replace(new, self._current)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).hexdigest().encode()


def _parse(data: bytes, path: Path) -> list[Entry]:
    line, _, body = data.partition(b"\n")
    words = line.split(b" ")
    if len(words) != 3 or words[0] != _MAGIC or not words[1].isdigit():
        raise _Damaged("it does not begin as a checkpoint does")
    if int(words[1]) > _VERSION:
        raise TailraceError(f"checkpoint {path} was written by a newer version of tailrace: use that version, or set another state_dir")
    if words[2] != _checksum(body):
        raise _Damaged("its checksum is wrong")
    return _decode(body)
