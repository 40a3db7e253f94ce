"""Which files are followed, under which ids, from which offsets: the memory that a scan of the globs is held against.

A file is recognised by its inode while it exists, and by its content otherwise: after a restart, a rename, a copy to
another name. Content decides by the first line (`schemas.identity`); files that share it are compared byte by byte
where both can be read, by the signature of what was read where one cannot. What a compressed file holds counts as if it
were not compressed.
"""

import logging
import os
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import count
from typing import NamedTuple

from producers import content as contents
from producers.checkpoint import Entry, Packed
from producers.content import Content, Replaced
from producers.discovery import Found, Inode
from producers.reader import SIGNED_BYTES, Reader, Signature, sign
from producers.tailed import TailedFile
from schemas import identity
from schemas.place import Place
from schemas.source import Source

log = logging.getLogger("tailrace.ship")

ENDS_EARLY = "its compressed data stops before its end: it is still being written, or was cut"

WRITTEN_S = 60.0
"""A compressed file that stops before its end and was not written for so long was cut; it is read as far as it goes."""


def _max_open() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 256 if soft == resource.RLIM_INFINITY else min(256, soft // 2)


MAX_OPEN = _max_open()
"""Files open at a time. Files that are read to their end make room for others. Half of the descriptors that this process may
have are left to the Kafka client; ordinary users have 1,024."""


class _Copy(NamedTuple):
    found: Found
    of: TailedFile


class Registry:
    """Feed it scans with `update`; it keeps `files` right."""

    def __init__(self, host: str, entries: Iterable[Entry]) -> None:
        self._host = host
        self._stored = {(entry.source, entry.file): entry for entry in entries}
        self._tracked: dict[tuple[str, str], TailedFile] = {}
        self._inodes: dict[tuple[str, Inode], TailedFile] = {}
        self._copies: dict[tuple[str, Inode], _Copy] = {}
        self._ignored: dict[tuple[str, Inode], Found] = {}
        """Files that are too old, as they were when they were looked at."""
        self._room = MAX_OPEN
        self._changed: list[TailedFile] = []
        self.unreadable: dict[str, str] = {}
        """Paths that could not be opened at the last scan, and why."""

    @property
    def files(self) -> Iterable[TailedFile]:
        return self._tracked.values()

    def take_changed(self) -> list[TailedFile]:
        """Files that are new, gone or back, or that changed since this was asked last."""
        changed, self._changed = self._changed, []
        return changed

    def copies(self, source: Source) -> Iterator[tuple[Found, TailedFile]]:
        """Files that hold what a followed one holds, with that one."""
        return ((copy.found, copy.of) for (name, _), copy in self._copies.items() if name == source.name)

    def entries(self) -> Iterator[Entry]:
        """The checkpoint: files that are followed, and those that earlier runs followed."""
        yield from self._stored.values()
        for tailed in self._tracked.values():
            yield tailed.entry()

    def update(self, source: Source, found: list[Found], *, heads_may_be_torn: bool) -> None:
        """Take in what the globs of a source name now, in order of paths."""
        present = set()
        self._room = MAX_OPEN - sum(tailed.reader.is_open for tailed in self.files)
        for file in found:
            at = (source.name, file.inode)
            present.add(at)
            tailed = self._inodes.get(at)
            if tailed is not None:
                if tailed.gone or tailed.found != file:
                    tailed.found, tailed.gone, tailed.changed = file, False, True
                    self._changed.append(tailed)
            elif self._ignored.get(at) != file and not self._still_a_copy(at, file):
                self._identify(source, file, heads_may_be_torn)
        for at, tailed in self._inodes.items():
            if at[0] == source.name and at not in present and not tailed.gone:
                tailed.gone = True
                self._changed.append(tailed)
                log.info("%s is gone: its rest is read from the open file", tailed.found.path)
        for seen in (self._copies, self._ignored):
            for at in [at for at in seen if at[0] == source.name and at not in present]:
                del seen[at]

    def forget(self, tailed: TailedFile, *, replaced: bool = False) -> None:
        """Nothing more is to be read from it; only deliveries are waited for. What its inode holds now, or next, is identified anew.

        `replaced`: the bytes that were read are no longer there.
        """
        tailed.finished, tailed.replaced = True, replaced
        self._inodes.pop((tailed.source.name, tailed.found.inode), None)
        tailed.reader.close()

    def _still_a_copy(self, at: tuple[str, Inode], file: Found) -> bool:
        copy = self._copies.get(at)
        if copy is None:
            return False
        unchanged = (copy.found.size, copy.found.mtime_ns) == (file.size, file.mtime_ns)
        return unchanged and not copy.of.gone and not copy.of.replaced

    def _identify(self, source: Source, file: Found, heads_may_be_torn: bool) -> None:
        try:
            content = contents.open_file(file.path)
        except FileNotFoundError:
            return
        except OSError as error:
            self._cannot_read(file.path, error.strerror or str(error))
            return
        kept = False
        try:
            begin = content.begin()
            beginning = content.pread(SIGNED_BYTES, begin)
            head = identity.head(beginning)
            if not head and heads_may_be_torn:
                if content.ends_early:
                    self._cannot_read(file.path, ENDS_EARLY)
                head = beginning if not content.ends_early else None
            if head and self._may_be_known(source, file, content, beginning, head):
                if heads_may_be_torn:
                    self._cannot_read(file.path, ENDS_EARLY)
            elif head:
                kept = self._follow(source, file, content, begin, beginning, head)
                if self.unreadable.pop(file.path, None):
                    log.info("%s can be read now", file.path)
        except Replaced:  # cut while it was looked at: the next scan sees what became of it
            pass
        except OSError as error:
            self._cannot_read(file.path, error.strerror or str(error))
        finally:
            if not kept:
                content.close()

    def _cannot_read(self, path: str, why: str) -> None:
        if self.unreadable.get(path) != why:
            log.warning("cannot read %s: %s; other files go on, and it is tried again", path, why)
        self.unreadable[path] = why

    def _may_be_known(self, source: Source, file: Found, content: Content, beginning: bytes, head: bytes) -> bool:
        """Whether a compressed file that is being written is too short to tell whether it is one that was read: it is waited for."""
        if not content.ends_early or time.time() - file.mtime_ns / 1e9 > WRITTEN_S:
            return False
        return any(
            len(beginning) < max(tailed.reader.signature.length if tailed else 0, entry.signed if entry else 0)
            for tailed, entry in self._begin_alike(source, head)
        )

    def _begin_alike(self, source: Source, head: bytes) -> Iterator[tuple[TailedFile | None, Entry | None]]:
        """What is known of files with this head, by ordinal."""
        for ordinal in count():
            at = (source.name, identity.file_id(head, ordinal))
            tailed, entry = self._tracked.get(at), self._stored.get(at)
            if tailed is None and entry is None:
                return
            yield tailed, entry

    def _follow(self, source: Source, file: Found, content: Content, begin: int, beginning: bytes, head: bytes) -> bool:
        """Decide what the file is. True where the content was given to a reader."""
        stored: list[tuple[bool, int, Entry]] = []
        known = list(self._begin_alike(source, head))
        for tailed, entry in known:
            if tailed is not None and _same(tailed, content, beginning):
                return self._known(tailed, file, content)
            if entry is not None and _continues(entry, file, content, beginning):
                stored.append((entry.path == file.path, entry.signed, entry))
        if stored:
            best = max(stored, key=lambda candidate: candidate[:2])[2]
            del self._stored[source.name, best.file]
            tailed = self._track(source, self._place(source, best.file, best.path), file, best.offset)
            tailed.sealed, tailed.ended = best.sealed, Signature(best.ended, best.ending)
            if best.packed == Packed(file.size, file.mtime_ns):
                tailed.reader.take_as_read(file.size, Signature(best.signed, best.signature))
                self._notice(tailed, file)
                return False
        elif _is_old(source, file):
            log.info("%s is left alone: it was last written longer than %s ago", file.path, source.settings.ignore_older)
            self._ignored[source.name, file.inode] = file
            return False
        else:
            if known:
                log.info("%s begins like a file that was read before and then differs: it is read as a file of its own", file.path)
            file_id = identity.file_id(head, len(known))
            tailed = self._track(source, self._place(source, file_id, file.path), file, begin)
        self._carry_on(tailed, file, content)
        return True

    def _place(self, source: Source, file_id: str, path: str) -> Place:
        return Place(file_id, self._host, path, source.settings.fields, encoding=source.settings.encoding)

    def _notice(self, tailed: TailedFile, file: Found) -> None:
        """This is where the file is from now on."""
        self._inodes[tailed.source.name, file.inode] = tailed
        self._copies.pop((tailed.source.name, file.inode), None)
        tailed.found, tailed.gone, tailed.replaced, tailed.finished = file, False, False, False
        self._changed.append(tailed)

    def _carry_on(self, tailed: TailedFile, file: Found, content: Content) -> None:
        """Read from this file from now on; later, by its path, where too many files are open."""
        self._notice(tailed, file)
        self._room -= not tailed.reader.is_open
        tailed.reader.open(content)
        if self._room < 0:
            tailed.reader.close()
            self._room += 1

    def _track(self, source: Source, place: Place, file: Found, offset: int) -> TailedFile:
        tailed = TailedFile(source, place, file, Reader(source, offset), offset)
        self._tracked[source.name, place.file] = tailed
        return tailed

    def _known(self, tailed: TailedFile, file: Found, content: Content) -> bool:
        """The same content as a followed file's: a copy, unless that one is gone or shorter, so that this one carries on."""
        at = (tailed.source.name, file.inode)
        free = tailed.gone or tailed.replaced or tailed.finished
        longer = not content.is_packed and file.size > tailed.size
        shorter = not content.is_packed and file.size < tailed.reader.position
        if shorter or not (free or longer):
            if at not in self._copies:
                log.info("%s is a copy of %s, which is read already", file.path, tailed.found.path)
            self._copies[at] = _Copy(file, tailed)
            return False
        self._inodes.pop((tailed.source.name, tailed.found.inode), None)
        self._carry_on(tailed, file, content)
        return True


def _is_old(source: Source, file: Found) -> bool:
    return source.ignore_older_s is not None and time.time() - file.mtime_ns / 1e9 > source.ignore_older_s


def _same(tailed: TailedFile, content: Content, beginning: bytes) -> bool:
    """Whether a followed file and another are one content, the shorter a prefix of the longer."""
    other = None if tailed.replaced else _reopened(tailed)
    if other is not None and not tailed.reader.agrees(other):  # it was cut since it was last read
        other.close()
        other = None
    if other is None:
        return _begins_with(beginning, tailed.reader.signature) and tailed.reader.agrees(content)
    with closing(other):
        if not (other.is_packed or content.is_packed):
            return _same_bytes(other.fileno(), content.fileno())
        begun = other.pread(len(beginning), other.begin())
    common = min(len(begun), len(beginning))
    return begun[:common] == beginning[:common] and (not tailed.gone or tailed.reader.agrees(content))


def _continues(entry: Entry, file: Found, content: Content, beginning: bytes) -> bool:
    """Whether a file is the one that a checkpoint speaks of: it holds the same at its beginning and before the offset."""
    if not _begins_with(beginning, Signature(entry.signed, entry.signature)):
        return False
    if content.is_packed and entry.packed == Packed(file.size, file.mtime_ns):
        return True  # nothing was written to it: it is not decompressed for the sake of its end
    if not content.is_packed and file.size < entry.offset:
        return False
    last = content.pread(entry.ended, entry.offset - entry.ended)
    cut = content.ends_early and len(last) < entry.ended  # still being compressed: what is there agrees
    return cut or entry.ended == 0 or sign(last) == Signature(entry.ended, entry.ending)


def _begins_with(beginning: bytes, signature: Signature) -> bool:
    nothing_read = signature.length == 0  # the first line says all that is known
    return nothing_read or (len(beginning) >= signature.length and sign(beginning[: signature.length]) == signature)


def _reopened(tailed: TailedFile) -> Content | None:
    """The content of a followed file once more, apart from its reader; None where it cannot be read."""
    try:
        if tailed.reader.is_open:
            return contents.take(os.dup(tailed.reader.fileno()))
        content = contents.open_file(tailed.found.path)
    except OSError:
        return None
    status = os.fstat(content.fileno())
    if (status.st_dev, status.st_ino) == tailed.found.inode:
        return content
    content.close()
    return None


def _same_bytes(one: int, other: int) -> bool:
    """Both ends of what the two have in common, each up to `SIGNED_BYTES`."""
    common = min(os.fstat(one).st_size, os.fstat(other).st_size)
    length = min(common, SIGNED_BYTES)
    return all(os.pread(one, length, offset) == os.pread(other, length, offset) for offset in (0, common - length))
