"""The sources that the settings describe, ready to use."""

from collections.abc import Iterable
from pathlib import Path

from schemas.source import Source
from schemas.sources import build, with_actions
from tailrace.errors import ConfigError
from tailrace.settings import Settings
from tailrace.watched import Watched


def load_sources(settings: Settings, names: Iterable[str]) -> dict[str, Source]:
    """The named sources of the settings, by name, in the order given.

    Raises ConfigError, naming the key and what to write, for a block that no source can be made of.
    """
    return {name: load_source(settings, name) for name in names}


def load_source(settings: Settings, name: str) -> Source:
    """One source; as `load_sources`."""
    try:
        return build(name, settings.sources[name])
    except ValueError as error:
        raise ConfigError(f"sources.{name}.{error}") from None


def watch_actions(source: Source) -> Watched[Source] | None:
    """The source with what its file of actions adds, as long as that file can be used; None where it names no such file.

    Parsing and index mappings need the file, reading and shipping do not, so it is on no host that only ships.
    Raises ConfigError for a file that cannot be used.
    """
    if source.settings.actions is None:
        return None

    def read(file: Path) -> Source:
        return with_actions(source, file.read_text(encoding="utf-8-sig"))

    return Watched(Path(source.settings.actions), read, f"sources.{source.name}.actions")


def as_parsed(source: Source) -> Source:
    """The source as parse workers know it now, with its file of actions. Raises as `watch_actions`."""
    watched = watch_actions(source)
    return source if watched is None else watched.content()
