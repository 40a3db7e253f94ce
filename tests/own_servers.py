"""A Kafka and an Elasticsearch of a test's own, which it may stop, kill and start again on the same port and data."""

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from infra import account, download, elasticsearch, java, kafka, ports, processes
from infra.processes import Process
from tests.helpers import eventually

START_S = 300.0
"""A JVM takes long on a machine that is busy with all that it is a server for."""


class OwnServer(ABC):
    """Not started yet. `folder` is one that the servers' account can enter. Raises TailraceError where no Java process can be started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._account = account.unprivileged()
        self._jdk = java.find(self._account)
        self._programs = download.fetch(download.cache_folder(self._account), self._account, lambda _: None)
        self._process: Process | None = None

    @abstractmethod
    def _start(self) -> Process: ...

    @abstractmethod
    def answers(self) -> bool: ...

    def start(self) -> None:
        """And wait until it answers."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        self._process = self._start()

    def wait(self) -> None:
        eventually(self.answers, f"{type(self).__name__} answers", START_S)

    def signal(self, number: int) -> None:
        """To the server and whatever it has started."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        process = self._process
        assert process is not None
        self.signal(signal.SIGKILL)
        eventually(lambda: not processes.alive(process), f"{process.name} is dead")

    def stop(self) -> None:
        """In good order, if it runs."""
        if self._process is not None and processes.alive(self._process):
            self.signal(signal.SIGCONT)
            processes.stop([self._process])


class OwnKafka(OwnServer):
    def __init__(self, folder: Path, heap: str = "256m") -> None:
        super().__init__(folder)
        port, controller_port = ports.free(2)
        self.bootstrap_servers = f"{ports.HOST}:{port}"
        self._broker = kafka.Broker(port, controller_port, heap)

    def _start(self) -> Process:
        return kafka.start(self._broker, self._programs.kafka, self._jdk, self._folder, self._account, tied=True)

    def answers(self) -> bool:
        return kafka.answers(self.bootstrap_servers)


class OwnElasticsearch(OwnServer):
    def __init__(
        self, folder: Path, heap: str = "512m", transport_port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder)
        port, free = ports.free(2)
        self.url = f"http://{ports.HOST}:{port}"
        self._node = elasticsearch.Node(port=port, transport_port=transport_port or free, heap=heap, settings=settings or {})

    def _start(self) -> Process:
        return elasticsearch.start(self._node, self._programs.elasticsearch, self._jdk, self._folder, self._account, tied=True)

    def answers(self) -> bool:
        return elasticsearch.answers(self.url)


def elasticsearch_cluster(folder: Path, size: int) -> list[OwnElasticsearch]:
    """Nodes of one cluster, in folders of their own below `folder`. They answer when more than half of them run."""
    transport_ports = ports.free(size)
    names = [f"node-{number}" for number in range(size)]
    common = {
        "discovery.type": "multi-node",
        "discovery.seed_hosts": ",".join(f"{ports.HOST}:{port}" for port in transport_ports),
        "cluster.initial_master_nodes": ",".join(names),
    }
    return [
        OwnElasticsearch(folder / name, "384m", port, {**common, "node.name": name})
        for name, port in zip(names, transport_ports, strict=True)
    ]
