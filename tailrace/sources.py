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
    found = {name: load_source(settings, name) for name in names}
    check_indices(found.values())
    return found


def load_source(settings: Settings, name: str) -> Source:
    """One source; as `load_sources`."""
    try:
        return build(name, settings.sources[name])
    except ValueError as error:
        raise ConfigError(f"sources.{name}.{error}") from None


def check_indices(sources: Iterable[Source]) -> None:
    """Raises ConfigError where a source's events would stand among the sessions or views of another, whose retention they would share."""
    sources = list(sources)
    taken = {f"{source.index}-{family}": (source.name, family) for source in sources for family in source.families}
    for source in sources:
        if source.index in taken:
            other, family = taken[source.index]
            raise ConfigError(f'sources.{source.name}.index: "{source.index}" is where the {family} of sources.{other} stand; name another')


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
