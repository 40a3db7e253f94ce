"""Which servers to use: those that are named, else containers of a Docker engine, else Java processes of this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

Say = Callable[[str], None]


class Servers:
    """A Kafka and an Elasticsearch that have answered a request. As a context manager it stops what it started."""

    def __init__(self, bootstrap_servers: str, url: str, how: str, stop: Callable[[], None] = lambda: None) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.url = url
        self.how = how
        self._stop = stop

    def stop(self) -> None:
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def named(bootstrap_servers: str, url: str) -> Servers:
    """Servers that somebody else runs: never stopped from here."""
    return Servers(bootstrap_servers, url, "named by the environment")


def start(folder: Path, say: Say) -> Servers:
    raise NotImplementedError
