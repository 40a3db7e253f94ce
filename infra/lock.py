"""One process at a time, by a lock that ends with its holder however that ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.progress import Say


@contextmanager
def locked(file: Path, say: Say, waiting: str) -> Iterator[None]:
    """Hold the lock of `file`, which is made where missing; `waiting` is said where another process holds it."""
    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
