"""The files of this host as a producer would find them now: what is acknowledged of each, and which may be deleted.

Nothing is written and no lock is taken, so a running producer is not disturbed. What it has read and not yet saved is
not known here: its checkpoint is at most a second old.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from errno import EINVAL
from typing import Literal

import msgspec

from producers import content
from producers.checkpoint import Entry, Packed
from producers.discovery import Found, find
from producers.registry import ENDS_EARLY, Registry
from producers.seal import SLICE_BYTES, Complete
from producers.tailed import TailedFile
from schemas.heartbeat import Seal
from schemas.source import Source

State = Literal["not_started", "growing", "read", "sealed", "copy", "gone", "ignored", "unreadable"]
"""What each means stands in the help of `tailrace files` (producers.files_cli)."""


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    path: str
    file: str
    """File id; empty where it cannot be read."""
    size: int
    """Bytes of its content: decompressed, where the file is compressed."""
    acknowledged: int
    lag: int
    """Bytes of content that are not acknowledged, an unterminated end included."""
    state: State
    safe_to_delete: bool
    """Everything in it is acknowledged, and nothing more is expected."""
    note: str = ""
    sealed: Seal | None = None


def take(sources: Sequence[Source], host: str, entries: Sequence[Entry], seal_after_s: float) -> list[FileState]:
    """Every file that the sources name or the checkpoint knows, by source and path."""
    registry = Registry(host, entries)
    states: list[FileState] = []
    for source in sources:
        found = find(source.settings)
        registry.update(source, found, heads_may_be_torn=True)
        followed = [tailed for tailed in registry.files if tailed.source is source]
        complete = Complete((file.mtime_ns for file in found), time.time_ns(), seal_after_s)
        known = {entry.file: entry for entry in entries if entry.source == source.name}
        states += (_followed(tailed, complete, known.get(tailed.place.file)) for tailed in followed)
        states += (_copy(source, copy, of, complete) for copy, of in registry.copies(source))
        states += (_unreadable(source, file, why) for file in found if (why := registry.unreadable.get(file.path)))
        told = {state.path for state in states if state.source == source.name}
        states += (_ignored(source, file) for file in found if file.path not in told)
        states += (_gone(known[file]) for file in known.keys() - {tailed.place.file for tailed in followed})
        for tailed in followed:
            tailed.reader.close()
    return sorted(states, key=lambda state: (state.source, state.path))


def _followed(tailed: TailedFile, complete: Complete, entry: Entry | None) -> FileState:
    try:
        unchanged = entry is not None and entry.packed == Packed(tailed.found.size, tailed.found.mtime_ns)
        size = tailed.acknowledged if unchanged else _content_size(tailed.found)
    except OSError as error:
        return _state(tailed, "unreadable", tailed.found.size, error.strerror or str(error))
    if entry is None or not entry.offset:
        return _state(tailed, "not_started", size)
    if size != tailed.acknowledged:
        return _state(tailed, "growing", size)
    if entry.sealed and entry.sealed.bytes == size:
        return _state(tailed, "sealed", size, sealed=entry.sealed)
    return _state(tailed, "read" if complete(tailed.found.mtime_ns) else "growing", size)


def _content_size(found: Found) -> int:
    """Decompresses what is compressed, since its end has to be seen. Raises OSError where it cannot be read to its end."""
    with closing(content.open_file(found.path)) as opened:
        if not opened.is_packed:
            return found.size
        size = 0
        while data := opened.pread(SLICE_BYTES, size):
            size += len(data)
        if opened.ends_early:
            raise OSError(EINVAL, ENDS_EARLY)
        return size


def _state(tailed: TailedFile, state: State, size: int, note: str = "", sealed: Seal | None = None) -> FileState:
    return FileState(
        source=tailed.source.name,
        path=tailed.found.path,
        file=tailed.place.file,
        size=size,
        acknowledged=tailed.acknowledged,
        lag=max(0, size - tailed.acknowledged),
        state=state,
        safe_to_delete=state in ("read", "sealed"),
        note=note,
        sealed=sealed,
    )


def _copy(source: Source, copy: Found, of: TailedFile, complete: Complete) -> FileState:
    """A copy is a file of its own as soon as it grows differently, so the newest one is kept."""
    try:
        size = _content_size(copy)
    except OSError as error:
        return _unreadable(source, copy, error.strerror or str(error))
    covered = min(size, of.acknowledged)
    return FileState(
        source=source.name,
        path=copy.path,
        file=of.place.file,
        size=size,
        acknowledged=covered,
        lag=size - covered,
        state="copy",
        safe_to_delete=covered == size and complete(copy.mtime_ns),
        note=f"of {of.found.path}",
    )


def _unreadable(source: Source, file: Found, why: str) -> FileState:
    return FileState(
        source=source.name, path=file.path, file="", size=file.size, acknowledged=0, lag=file.size,
        state="unreadable", safe_to_delete=False, note=why,
    )  # fmt: skip


def _ignored(source: Source, file: Found) -> FileState:
    return FileState(
        source=source.name, path=file.path, file="", size=file.size, acknowledged=0, lag=0, state="ignored", safe_to_delete=False
    )  # fmt: skip


def _gone(entry: Entry) -> FileState:
    """Its size was last known to the producer; what stands here is what is acknowledged."""
    return FileState(
        source=entry.source, path=entry.path, file=entry.file, size=entry.offset, acknowledged=entry.offset, lag=0,
        state="gone", safe_to_delete=False, sealed=entry.sealed,
    )  # fmt: skip
