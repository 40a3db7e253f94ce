"""A file's checkpoint moved back, so that its records are sent again, under the same keys."""

import os
import re
from contextlib import closing
from typing import NamedTuple

import msgspec

from producers import content
from producers.checkpoint import Entry, Store
from producers.content import Content
from producers.discovery import find
from producers.registry import Registry
from schemas.source import Source
from tailrace.errors import TailraceError

_BLOCK_BYTES = 64 * 1024


class Rewound(NamedTuple):
    path: str
    before: int
    offset: int
    """Where the next producer goes on: the start of a record."""


def rewind(store: Store, sources: list[Source], host: str, path: str, offset: int) -> Rewound:
    """Raises TailraceError for a file that is not there, not known, or not acknowledged as far as `offset`."""
    entries = store.load()
    source, entry, opened = _open(entries, sources, host, path)
    with closing(opened):
        if offset > entry.offset:
            raise TailraceError(
                f"{path} is acknowledged up to byte {entry.offset} only: a checkpoint moves back, since bytes between would never be sent"
            )
        start = record_start(opened, offset, source.record_start)
    if not store.save(_moved(entry, start) if one == entry else one for one in entries):
        raise TailraceError("the checkpoint could not be written; nothing was changed")
    return Rewound(path, entry.offset, start)


def _moved(entry: Entry, offset: int) -> Entry:
    return msgspec.structs.replace(entry, offset=offset, ended=0, ending="", packed=None, sealed=None)


def _open(entries: list[Entry], sources: list[Source], host: str, path: str) -> tuple[Source, Entry, Content]:
    """The source and entry of the file at a path, and its content; found as a producer finds it."""
    registry = Registry(host, entries)
    known = {(entry.source, entry.file): entry for entry in entries}
    try:
        for source in sources:
            registry.update(source, find(source.settings), heads_may_be_torn=True)
        for tailed in registry.files:
            if os.path.realpath(tailed.found.path) == os.path.realpath(path):
                entry = known.get((tailed.source.name, tailed.place.file))
                if entry is None:
                    raise TailraceError(f"nothing of {path} is acknowledged yet: it will be shipped from its start anyway")
                return tailed.source, entry, content.open_file(tailed.found.path)
    except OSError as error:
        raise TailraceError(f"cannot read {path}: {error.strerror}") from None
    finally:
        for tailed in registry.files:
            tailed.reader.close()
    why = "is named by no source's paths, or is a copy of a file that is read" if os.path.exists(path) else "does not exist"
    raise TailraceError(f"{path} {why}; `tailrace files` lists what can be rewound")


def record_start(opened: Content, offset: int, start: "re.Pattern[bytes] | None") -> int:
    """The start of the last record that begins at or before `offset`; of the content, where none does.

    With a pattern, a line that continues a record is no start, even where it was shipped as a record of its own.
    """
    end = min(offset + _BLOCK_BYTES, offset + len(opened.pread(_BLOCK_BYTES, offset)))  # the line at `offset`, to judge it by
    begin = offset
    while begin > 0:
        begin = max(0, begin - max(_BLOCK_BYTES, offset - begin))  # doubling: a record of megabytes is not searched once for each block
        buffer = opened.pread(end - begin, begin)
        line = buffer.rfind(b"\n", 0, offset - begin) + 1
        while line or begin == 0:
            if start is None or start.match(buffer, line):
                return begin + line
            if not line:
                break
            line = buffer.rfind(b"\n", 0, line - 1) + 1
    return 0
