"""Where one partition's pages are kept on this machine: in memory, or in RocksDB for state that is larger than it.

What a batch changes can be read back at once, but counts as kept only when Kafka holds it: the changelog is the truth, and what is
kept here always stands for a prefix of it. RocksDB writes a transaction's pages and its changelog offset in one go, so that a
worker which is started again, however it ended, reads only what the changelog has more.
"""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from tailrace.errors import ConfigError

Pages = dict[bytes, bytes]
"""A client's pages by name."""
Changes = Mapping[bytes, bytes | None]
"""Values by table key; None deletes."""

HORIZON = b"\xff\xff\xff\xff"
"""The key of a partition's horizon: no client, since keys begin with the length of the client."""
_KEPT = HORIZON + b"kept"
"""The key, on disk only, of what is kept as of which changelog offset."""

TOMBSTONES_S = 7 * 24 * 3600.0
"""How long the changelog shows what was deleted. A copy on disk that is older cannot be brought up to date any more."""
LOCKED_S = 10.0
"""How long a folder is waited for that another worker of this machine is about to give up."""


def page_key(client: bytes, name: bytes) -> bytes:
    """The table's key of a page: the client's length in 4 bytes, the client, the page's name."""
    return len(client).to_bytes(4, "big") + client + name


def _split(key: bytes) -> tuple[bytes, bytes]:
    """Client and name."""
    cut = 4 + int.from_bytes(key[:4], "big")
    return key[4:cut], key[cut:]


class Partition(ABC):
    """The data of one partition."""

    horizon: bytes | None = None
    offset: int = -1
    """The last changelog record that is kept; -1: none."""

    @abstractmethod
    def pages(self, client: bytes) -> Mapping[bytes, bytes]:
        """A client's pages by name, none for a client that is not known."""

    @abstractmethod
    def clients(self) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
        """Each client that is kept, with its pages or the first of them."""

    @abstractmethod
    def change(self, changes: Changes) -> None:
        """Change what is read from here."""

    @abstractmethod
    def keep(self, changes: Changes, offset: int) -> None:
        """What was changed is in the changelog, up to an offset."""

    def recover(self, changes: Changes, offset: int) -> None:
        """Take over what the changelog holds, up to an offset."""
        self.change(changes)
        self.keep(changes, offset)

    @abstractmethod
    def clear(self) -> None:
        """Forget everything, to recover it as a whole."""

    @abstractmethod
    def close(self) -> None:
        """Give it up. What is kept on disk stays."""


class MemoryPartition(Partition):
    def __init__(self) -> None:
        self._clients: dict[bytes, Pages] = {}

    def pages(self, client: bytes) -> Mapping[bytes, bytes]:
        return self._clients.get(client, {})

    def clients(self) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
        return iter(self._clients.items())

    def change(self, changes: Changes) -> None:
        clients = self._clients
        for key, value in changes.items():
            if key == HORIZON:
                self.horizon = value
                continue
            client, name = _split(key)
            if value is not None:
                clients.setdefault(client, {})[name] = value
            elif client in clients:
                clients[client].pop(name, None)
                if not clients[client]:
                    del clients[client]

    def keep(self, changes: Changes, offset: int) -> None:
        self.offset = max(self.offset, offset)

    def clear(self) -> None:
        self._clients.clear()
        self.horizon, self.offset = None, -1

    def close(self) -> None:
        self.clear()


class _Kept(msgspec.Struct, array_like=True):
    offset: int
    topic: str
    """The id of the changelog topic: one that was made anew has other offsets."""
    time: float
    """When it was written, seconds since 1970."""


class DiskPartition(Partition):
    """A RocksDB of its own in a folder."""

    def __init__(self, folder: Path, topic: str) -> None:
        """Raises what rocksdict raises where the folder cannot be used, or is in use."""
        self._folder = folder
        self._topic = topic
        self._db = self._open()
        self._recent: dict[bytes, dict[bytes, bytes | None]] = {}
        """What was changed and is not kept yet, by client and name."""
        kept = self._db.get(_KEPT)
        if kept is not None:
            found = msgspec.msgpack.decode(kept, type=_Kept)
            if found.topic != topic or time.time() - found.time > TOMBSTONES_S * 0.9:
                self.clear()
                return
            self.offset = found.offset
        self.horizon = self._db.get(HORIZON)

    def _open(self) -> Any:
        from rocksdict import Options, Rdict  # not installed with every worker

        return Rdict(str(self._folder), Options(raw_mode=True))

    def pages(self, client: bytes) -> Mapping[bytes, bytes]:
        prefix = page_key(client, b"")
        cut = len(prefix)
        found: dict[bytes, bytes] = {}
        at = self._db.iter()
        at.seek(prefix)
        while at.valid() and (key := at.key()).startswith(prefix):
            found[key[cut:]] = at.value()
            at.next()
        for name, value in self._recent.get(client, {}).items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        return found

    def clients(self) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
        before = None
        for key, value in self._db.items():
            if key >= HORIZON:
                return
            client, name = _split(key)
            if client != before:
                yield client, {name: value}
                before = client

    def change(self, changes: Changes) -> None:
        for key, value in changes.items():
            if key == HORIZON:
                self.horizon = value
            else:
                client, name = _split(key)
                self._recent.setdefault(client, {})[name] = value

    def keep(self, changes: Changes, offset: int) -> None:
        from rocksdict import WriteBatch

        self.offset = max(self.offset, offset)
        together = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                together.delete(key)
            else:
                together.put(key, value)
        together.put(_KEPT, msgspec.msgpack.encode(_Kept(self.offset, self._topic, time.time())))
        self._db.write(together)
        for key, value in changes.items():
            if key != HORIZON:
                self._forget(*_split(key), value)

    def _forget(self, client: bytes, name: bytes, value: bytes | None) -> None:
        """The disk has it, unless it has changed again meanwhile."""
        recent = self._recent.get(client)
        if recent is not None and name in recent and recent[name] is value:
            del recent[name]
            if not recent:
                del self._recent[client]

    def clear(self) -> None:
        self._db.close()
        shutil.rmtree(self._folder)
        self._db = self._open()
        self._recent.clear()
        self.horizon, self.offset = None, -1

    def close(self) -> None:
        self._db.close()


def require_rocksdb() -> None:
    """Raises ConfigError where RocksDB is not installed."""
    if find_spec("rocksdict") is None:
        raise ConfigError(
            'stream.store = "rocksdb" needs the extra `rocksdb`: pip install "tailrace[streams,rocksdb]", or leave the key out'
        )


def open_on_disk(folder: Path, topic: str) -> DiskPartition:
    """The partition of a folder, or of `folder.2` and so on where another worker of this machine stays in it.

    Each is a copy of its own that is brought up to date from the changelog. Raises ConfigError where nothing can be kept there.
    """
    deadline = time.monotonic() + LOCKED_S
    number = 1
    while True:
        copy = folder if number == 1 else folder.with_name(f"{folder.name}.{number}")
        try:
            copy.mkdir(parents=True, exist_ok=True)
            return DiskPartition(copy, topic)
        except Exception as error:  # rocksdict raises bare exceptions
            if "lock" not in str(error).lower():
                raise ConfigError(f"stream.store: cannot keep sessions in {copy}: {error}") from None
        if time.monotonic() < deadline:
            time.sleep(0.2)
        else:
            number += 1
