"""Build a source of any format from its settings."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time
from importlib import import_module
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from schemas import encoding
from schemas.duration import seconds
from schemas.source import Format, Source, SourceSettings

_MODULES: dict[Format, str] = {
    "ezcast": "schemas.ezcast.source",
    "dataone": "schemas.dataone.source",
    "delimited": "schemas.custom",
    "json": "schemas.custom",
    "regex": "schemas.custom",
}

_DEFAULTS = SourceSettings()
_INDEX = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_OWN_KEYS = (
    "record_start",
    "delimiter",
    "columns",
    "pattern",
    "rename",
    "types",
    "time",
    "time_format",
    "client",
    "id",
    "kind",
    "address",
    "user_agent",
    "session_fields",
)
"""Keys that describe a record, which the built-in formats know by themselves."""


def build(name: str, settings: SourceSettings) -> Source:
    """The source that a block `[sources.NAME]` describes.

    Raises ValueError, which begins with the key, where a value of the block cannot be used.
    """
    if settings.format is None:
        raise ValueError(f"format: missing; one of {', '.join(_MODULES)}")
    _check_zone(settings.timezone)
    _check_index(settings.index)
    encoding.check(settings.encoding)
    if _MODULES[settings.format] != "schemas.custom":
        _check_own(settings)
    if settings.actions is not None and settings.format != "ezcast":
        raise ValueError(f'actions: format = "{settings.format}" has no catalogue of actions; only ezcast has: leave it out')
    _check_solr(settings)
    module = import_module(_MODULES[settings.format])  # only the format asked for: a producer host has few packages
    source: Source = module.source(name, settings)
    return replace(
        source,
        parse=encoding.decoding(source.parse),
        record_timeout_s=_duration("record_timeout", settings.record_timeout),
        torn_timeout_s=_duration("torn_timeout", settings.torn_timeout),
        ignore_older_s=_duration("ignore_older", settings.ignore_older) if settings.ignore_older else None,
        session_gap_ms=round(_duration("session_gap", settings.session_gap) * 1000),
        retention_s=_duration("retention", settings.retention) if settings.retention else None,
        earliest_ms=_day_ms("earliest", settings.earliest),
    )


def with_actions(source: Source, text: str) -> Source:
    """An EZCast source that knows the actions of an operator's file too. Raises ValueError for a file that cannot be used."""
    extended: Source = import_module(_MODULES["ezcast"]).source(source.name, source.settings, text)
    return replace(source, parse=encoding.decoding(extended.parse), usual=extended.usual, properties=extended.properties)


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError; "" and "../x" are the other two
        raise ValueError(f'timezone: "{zone}" is no zone of the IANA database; write one such as "Europe/Brussels" or "UTC"') from None


def _check_index(index: str | None) -> None:
    if index is not None and not _INDEX.fullmatch(index):
        raise ValueError(f'index: "{index}" cannot begin the name of an index: write lower-case letters, digits, ".", "_" and "-"')


def _check_own(settings: SourceSettings) -> None:
    for key in _OWN_KEYS:
        if getattr(settings, key) != getattr(_DEFAULTS, key):
            raise ValueError(f'{key}: format = "{settings.format}" fixes this; only delimited, json and regex take it: leave it out')


def _check_solr(settings: SourceSettings) -> None:
    if settings.solr_url is not None:
        if settings.format != "dataone":
            raise ValueError(f'solr_url: format = "{settings.format}" has no Solr core; only dataone has: leave it out')
        url = urlsplit(settings.solr_url)
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise ValueError(
                f'solr_url: "{settings.solr_url}" is no URL of a core; write one such as "http://127.0.0.1:8983/solr/event_core"'
            )
        if url.username is not None:
            raise ValueError("solr_url: holds a user, which would stand in every key; set solr_username and solr_password_file")
    if _duration("solr_poll", settings.solr_poll) < 1:
        raise ValueError(f'solr_poll: "{settings.solr_poll}" is too often; at least 1s')
    _duration("solr_overlap", settings.solr_overlap)


def _duration(key: str, text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _day_ms(key: str, text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'{key}: "{text}" is no day; write it as "2010-01-01"') from None
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000
