"""The sources that the settings describe, ready to use."""

from collections.abc import Iterable

from schemas.source import Source
from schemas.sources import build
from tailrace.errors import ConfigError
from tailrace.settings import Settings


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
