"""Which files the globs of a source name right now."""

import glob
import os
import stat
from collections.abc import Sequence
from fnmatch import fnmatch
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

    What vanishes or is renamed during the walk is left to the next one. `exclude` holds globs of paths, or of bare names.
    """
    found: dict[Inode, Found] = {}
    for path in sorted({path for pattern in settings.paths for path in glob.iglob(pattern, recursive=True)}):
        if _excluded(path, settings.exclude):
            continue
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            inode = (status.st_dev, status.st_ino)
            found.setdefault(inode, Found(os.path.abspath(path), inode, status.st_size, status.st_mtime_ns))
    return list(found.values())


def _excluded(path: str, patterns: Sequence[str]) -> bool:
    name = os.path.basename(path)
    return any(fnmatch(path if "/" in pattern else name, pattern) for pattern in patterns)
