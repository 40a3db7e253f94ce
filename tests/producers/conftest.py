import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from producers import follow
from producers import ship as loop
from producers.checkpoint import Entry, Store
from producers.publish import Publisher
from producers.ship import Shipper
from schemas.event import Parsed
from schemas.place import split_key
from schemas.source import Source, SourceSettings
from tailrace import kafka
from tailrace.settings import Settings
from tests.helpers import eventually, read_topic

START = re.compile(rb"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d \| ")


def no_parse(*_: object) -> Parsed:
    raise NotImplementedError("a producer does not parse")


def make_source(
    *paths: Path | str, name: str = "trace", start: re.Pattern[bytes] | None = START, exclude: tuple[str, ...] = (), **more: Any
) -> Source:
    settings = SourceSettings(format="ezcast", paths=[str(path) for path in paths], exclude=list(exclude))
    return Source(name, settings, name, no_parse, {}, record_start=start, **{"record_timeout_s": 0.3, "ordered_by_file": True, **more})


class Ship:
    """Producers in this process, on real files and a real Kafka."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = Path(settings.state_dir) / "ship"
        kafka.ensure_topics(kafka.connect(settings.kafka, 5), settings.kafka, ["trace"])

    @contextmanager
    def _shipper(self, source: Source, once: bool, **overrides: Any) -> Iterator[Shipper]:
        store = Store(self.state)
        publisher = Publisher(self.settings.kafka, lambda: shipper.stopping, **overrides)
        try:
            shipper = Shipper([source], "test-host", publisher, store, once=once)
            yield shipper
        finally:
            publisher.close()
            store.close()

    def once(self, source: Source, **overrides: Any) -> None:
        with self._shipper(source, once=True, **overrides) as shipper:
            shipper.run()

    @contextmanager
    def running(self, source: Source, **overrides: Any) -> Iterator[Shipper]:
        """Tailing in a thread; stopped cleanly at the end, where an error of it is raised."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                shipper.run()
            except BaseException as error:
                errors.append(error)

        with self._shipper(source, once=False, **overrides) as shipper:
            thread = threading.Thread(target=run, name="shipper")
            thread.start()
            try:
                yield shipper
            finally:
                shipper.stop()
                thread.join(30)
                assert not thread.is_alive(), "the producer did not stop"
                for error in errors:
                    raise error

    def values(self) -> list[bytes]:
        """The payloads on the raw topic."""
        return [record.value or b"" for record in read_topic(self.settings, "trace", "raw")]

    def places(self) -> dict[tuple[str, int], bytes]:
        """Payloads by file id and offset; asserts that whatever was sent twice is the same."""
        found: dict[tuple[str, int], bytes] = {}
        for record in read_topic(self.settings, "trace", "raw"):
            place, offset = split_key(record.key or b"")
            assert found.setdefault((place.file, offset), record.value or b"") == record.value
        return found

    def checkpoint(self) -> dict[str, Entry]:
        """By name of the file."""
        store = Store(self.state)
        try:
            return {Path(entry.path).name: entry for entry in store.load()}
        finally:
            store.close()


@pytest.fixture
def ship(settings: Settings) -> Ship:
    return Ship(settings)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Shorten one of the loop's intervals, which are seconds."""

    def shorten(name: str, value: float) -> None:
        monkeypatch.setattr(loop if hasattr(loop, name) else follow, name, value)

    return shorten


def event(number: int, text: str = "x") -> bytes:
    """A line that begins a record."""
    return f"2016-09-27-{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02} | {number} | {text}\n".encode()


def lines(first: int, last: int) -> bytes:
    """Records of one line each."""
    return b"".join(map(event, range(first, last)))


def records(content: bytes) -> list[bytes]:
    """Of a file whose every line is a record."""
    return content.removesuffix(b"\n").split(b"\n")


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def shipped(ship: Ship, *contents: bytes) -> None:
    """Wait until the topic holds each record of the contents, and then no record twice."""
    expected = sorted(record for content in contents for record in records(content))
    eventually(lambda: len(ship.values()) >= len(expected), f"{len(expected)} records on the topic")
    assert sorted(ship.values()) == expected
