"""Being told by the kernel that a file appeared, where the library watchfiles is installed (the extra `inotify`).

Looking goes on beside it: network shares tell nothing of what other hosts write. Growth is not asked for, since open files are
looked at ten times a second anyway and a busy log would report each of its lines.
"""

import glob
import logging
import os
import threading
from collections.abc import Callable, Iterable

log = logging.getLogger("tailrace.ship")
logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it reports each change

STEP_MS = 20
"""Appearances so close together are one."""

PATIENCE_MS = 500
"""How long the end waits for the thread to notice."""


class Notice:
    """Close it at the end."""

    def __init__(self, appeared: Callable[[], None]) -> None:
        """`appeared` is called, from a thread, when a file appears in the folders that are watched."""
        self._appeared = appeared
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, patterns: Iterable[str]) -> bool:
        """Watch the folders of these globs, and no others any more. Whether that can be done here."""
        self.close()
        folders, recursive = roots(patterns)
        try:
            import watchfiles
        except ImportError:
            return False
        if not folders:
            return False
        self._end = end = threading.Event()

        def wait() -> None:
            try:
                for _ in watchfiles.watch(
                    *folders,
                    watch_filter=lambda change, _: change == watchfiles.Change.added,
                    debounce=STEP_MS,
                    step=STEP_MS,
                    stop_event=end,
                    rust_timeout=PATIENCE_MS,
                    recursive=recursive,
                    ignore_permission_denied=True,
                ):
                    self._appeared()
            except OSError as error:  # no watches left; a folder that vanished
                log.info("new files are looked for once a second only: %s", error)

        self._thread = threading.Thread(target=wait, name="notice", daemon=True)
        self._thread.start()
        return True

    def close(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def roots(patterns: Iterable[str]) -> tuple[set[str], bool]:
    """The folders above which no glob has a wildcard, of those that exist, and whether files are wanted from folders in them."""
    folders, recursive = set(), False
    for pattern in map(os.path.abspath, patterns):
        folder = os.path.dirname(pattern)
        while glob.has_magic(folder):
            folder, recursive = os.path.dirname(folder), True
        if os.path.isdir(folder):
            folders.add(folder)
    return folders, recursive
