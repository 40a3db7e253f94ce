"""Files that operators replace while the workers run: lists and databases, read again when they change."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from tailrace.errors import ConfigError

log = logging.getLogger("tailrace.watched")

LOOK_EVERY_S = 1.0
"""How often those who use a file look whether it has changed: a call of stat, 2 us."""

Content = TypeVar("Content")
_Signature = tuple[int, int, int, int]


class Watched(Generic[Content]):
    """The content of a file, good at all times: content that cannot be used never replaces content that can.

    `read` turns the path into the content and raises OSError or ValueError where it cannot. `key` is the setting that names
    the file, for messages. At the start bad content is a ConfigError; with `optional` a missing file is a warning, and `value` is
    None until the file is there.
    """

    value: Content | None

    def __init__(self, path: Path, read: Callable[[Path], Content], key: str, *, optional: bool = False) -> None:
        self._path, self._read, self._key = path, read, key
        self._seen = _signature(path)
        if optional and self._seen is None:
            self.value = None
            log.warning('%s = "%s": there is no such file; events go on without it until there is', key, path)
            return
        try:
            self.value = read(path)
        except OSError as error:
            raise ConfigError(f'{key} = "{path}": cannot read it: {error.strerror}; name a readable file or leave the key out') from None
        except ValueError as error:
            raise ConfigError(f'{key} = "{path}": {error}') from None

    def content(self) -> Content:
        """The value of a file that is not optional."""
        assert self.value is not None
        return self.value

    def refresh(self) -> bool:
        """Read the file if it has changed since it was last looked at; True if `value` is new."""
        now = _signature(self._path)  # before reading: a change in between is then seen the next time
        if now == self._seen:
            return False
        self._seen = now
        try:
            self.value = self._read(self._path)
        except (OSError, ValueError) as error:
            log.warning('%s = "%s" has changed and cannot be used, what was read before stays in force: %s', self._key, self._path, error)
            return False
        log.info('%s = "%s" has changed and was read again', self._key, self._path)
        return True


def listed(path: Path) -> list[tuple[int, str]]:
    """The entries of a list with their line numbers; blank lines and lines that begin with # are left out.

    Raises OSError, and ValueError for a file that is not UTF-8 or lists nothing: an emptied list is far more often a copy that
    went wrong than the wish to tag nobody.
    """
    text = path.read_text(encoding="utf-8-sig")
    entries = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip() and not line.lstrip().startswith("#")]
    if not entries:
        raise ValueError("the file lists nothing; leave the key out where no list is wanted")
    return entries


def _signature(path: Path) -> _Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
