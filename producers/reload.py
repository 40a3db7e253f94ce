"""A changed configuration, taken over by a running producer as far as that can be done without a restart.

Taken over are sources that come and go, a source's `paths` and `exclude`, and all of [ship] but `monitor`. Other changes are named and
wait for a restart. A configuration that is wrong is refused whole: the old one stays.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from schemas.source import Source, SourceSettings
from tailrace import settings as config
from tailrace.errors import TailraceError
from tailrace.settings import Settings

log = logging.getLogger("tailrace.ship")

_LIVE_SHIP = {"records_per_second", "bytes_per_second", "log_level", "seal_after", "close_inactive"}
_LIVE_SOURCE = {"paths", "exclude"}
_NOT_OURS = {"elasticsearch", "harvest", "stream", "sink", "max_dead_share", "hash_key_file"}
"""What a producer of files makes no use of."""


class Reloaded(NamedTuple):
    ship: config.Ship
    sources: list[Source]
    """Those to ship from now on; the ones that stay come first, in their order, with the paths of now."""


class Fresh(NamedTuple):
    """The configuration, read again."""

    settings: Settings
    names: Sequence[str]
    """The sources that this producer ships by it."""
    sources: Callable[[Sequence[str]], list[Source]]
    """Makes those of them that are new, their topics included. Raises TailraceError where that cannot be."""


class Reloader:
    """Call it at each SIGHUP."""

    def __init__(self, settings: Settings, load: Callable[[], Fresh]) -> None:
        """`load` raises what `tailrace.settings.load` raises."""
        self._in_force = settings
        self._load = load
        self._level = logging.getLogger().level
        """As --log-level says."""
        self._set_level(settings.ship)

    def _set_level(self, ship: config.Ship) -> None:
        logging.getLogger().setLevel(ship.log_level.upper() if ship.log_level else self._level)

    def __call__(self, sources: Sequence[Source]) -> Reloaded | None:
        """What is in force from now on; None where the new configuration is refused."""
        try:
            new, names, make = self._load()
            check(new.ship)
            known = {source.name for source in sources}
            added = make([name for name in names if name not in known])
        except TailraceError as error:
            log.error("the new configuration is refused and the old one stays: %s", error.format_message())
            return None
        staying = [source for source in sources if source.name in names]
        waiting = sorted(waits_for_restart(self._in_force, new, [source.name for source in staying]))
        if waiting:
            log.warning("these changes wait for a restart: %s", ", ".join(waiting))
        ship = msgspec.structs.replace(self._in_force.ship, **{key: getattr(new.ship, key) for key in _LIVE_SHIP})
        blocks = {source.name: _block(self._in_force, new, source.name) for source in staying}
        blocks |= {source.name: new.sources[source.name] for source in added}
        self._in_force = msgspec.structs.replace(self._in_force, ship=ship, sources=blocks)
        self._set_level(ship)
        log.info("the configuration was read again%s", _said("added", added) + _said("removed", [s for s in sources if s not in staying]))
        return Reloaded(ship, [replace(source, settings=blocks[source.name]) for source in staying] + added)


def check(ship: config.Ship) -> None:
    """Raises ConfigError for what is no duration."""
    config.seconds(ship.seal_after, "ship.seal_after")
    config.seconds(ship.close_inactive, "ship.close_inactive")


def _said(what: str, sources: Sequence[Source]) -> str:
    return f"; {what}: {', '.join(source.name for source in sources)}" if sources else ""


def _block(old: Settings, new: Settings, name: str) -> SourceSettings:
    """A source's block with the live keys of the new one."""
    return msgspec.structs.replace(old.sources[name], **{key: getattr(new.sources[name], key) for key in _LIVE_SOURCE})


def waits_for_restart(old: Settings, new: Settings, names: Sequence[str]) -> set[str]:
    """The keys that differ and cannot be taken over; of the sources that this producer ships."""
    before, now = _keys(old, names), _keys(new, names)
    return {
        ".".join(key)
        for key in before.keys() | now.keys()
        if before.get(key) != now.get(key) and not _is_live(key, before, now) and key[0] not in _NOT_OURS
    }


def _is_live(key: tuple[str, ...], before: dict[tuple[str, ...], Any], now: dict[tuple[str, ...], Any]) -> bool:
    if key[0] == "ship":
        return key[1] in _LIVE_SHIP
    return key[0] == "sources" and len(key) == 3 and key[2] in _LIVE_SOURCE and key in before and key in now


def _keys(settings: Settings, names: Sequence[str]) -> dict[tuple[str, ...], Any]:
    """Values by path; of the sources, the named ones."""
    found: dict[tuple[str, ...], Any] = {}
    for section, content in msgspec.to_builtins(settings).items():
        if section == "sources":
            found |= {(section, name, key): value for name in names for key, value in content.get(name, {}).items()}
        elif isinstance(content, dict):
            found |= {(section, key): value for key, value in content.items()}
        else:
            found[section,] = content
    return found
