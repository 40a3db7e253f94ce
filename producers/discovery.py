"""Which files the globs of a source name right now."""

import glob
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from schemas.source import SourceSettings

Inode = tuple[int, int]
"""Device and inode: a file while it exists, whatever its name. Reused afterwards, so it names nothing across restarts."""


class Found(NamedTuple):
    path: str
    inode: Inode
    size: int
    mtime_ns: int


def find(settings: SourceSettings) -> list[Found]:
    """Regular files by path, each inode once (hard links and symbolic links are other names of a file).

    What vanishes or is renamed during the walk is left to the next one.
    """
    found: dict[Inode, Found] = {}
    for path in sorted(_expand(settings.paths) - _expand(settings.exclude)):
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            inode = (status.st_dev, status.st_ino)
            found.setdefault(inode, Found(path, inode, status.st_size, status.st_mtime_ns))
    return list(found.values())


def _expand(patterns: Iterable[str]) -> set[str]:
    return {path for pattern in patterns for path in glob.iglob(os.path.abspath(pattern), recursive=True)}
