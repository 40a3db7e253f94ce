"""`tailrace config`: check the configuration before it is used, and show what is in force."""

import importlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click
import msgspec

from schemas.source import Source, SourceSettings
from tailrace.errors import ConfigError
from tailrace.monitor import host_and_port
from tailrace.options import form, pass_settings
from tailrace.settings import HIDDEN, SECRETS, Settings, find_file, hash_key, origins, seconds, secret
from tailrace.sources import check_indices, load_source, watch_actions
from tailrace.words import amount

_LISTS = ("own_networks", "robot_networks", "machine_user_agents", "robot_user_agents", "admin_subjects")
_DATABASES = ("geoip_city", "geoip_asn")
_FILES = (*_LISTS, *_DATABASES)
_GLOB = re.compile(r"[*?\[]")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Finding(NamedTuple):
    severity: Literal["error", "warning"]
    message: str


@click.group(name="config", context_settings={"help_option_names": ["-h", "--help"]})
def config() -> None:
    """Check and show the configuration: the file, TAILRACE_... variables, defaults."""


@config.command()
@pass_settings
def check(settings: Settings) -> None:
    """Check all that needs no server.

    The file's keys and types, variables, each source's block, time zones, regular expressions, lists and databases, passwords'
    files. What may well be meant (a folder that is not there yet) is a warning. Ends with 78 where there is an error.
    """
    findings = list(find(settings))
    for severity, message in findings:
        click.echo(f"{click.style(severity, fg='red' if severity == 'error' else 'yellow')}: {message}")
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    sources = ", ".join(f"{name} ({block.format})" for name, block in settings.sources.items())
    verdict = f"{'NOT usable' if errors else 'usable'}: {_where()}; sources: {sources or 'none'}"
    click.echo(f"{verdict}; {amount(errors, 'error')}, {amount(warnings, 'warning')}")
    if errors:
        raise SystemExit(ConfigError.exit_code)


@config.command()
@form("toml", "json")
@pass_settings
def show(settings: Settings, style: str) -> None:
    """Show every key in force and what set it; passwords are hidden."""
    effective = hide_secrets(msgspec.to_builtins(settings))
    if style == "json":
        click.echo(json.dumps(effective, indent=2, ensure_ascii=False))
        return
    click.echo(f"# {_where()}")
    for line in toml_lines(effective, origins(_path(), os.environ)):
        click.echo(line)


def find(settings: Settings) -> Iterator[Finding]:
    """What is wrong, or looks so, in settings whose keys and types are right."""
    if not settings.sources:
        yield Finding("warning", "sources: none is configured, so there is nothing to do; add a block [sources.NAME]")
    for value, file, key in (
        (settings.kafka.sasl_password, settings.kafka.sasl_password_file, "kafka.sasl_password"),
        (settings.elasticsearch.password, settings.elasticsearch.password_file, "elasticsearch.password"),
        (settings.elasticsearch.api_key, settings.elasticsearch.api_key_file, "elasticsearch.api_key"),
    ):
        yield from _refusal(secret, value, file, key)
    yield from _unreadable(settings.kafka.ssl_ca_location, "kafka.ssl_ca_location")
    yield from _unreadable(settings.elasticsearch.ca_certs, "elasticsearch.ca_certs")
    for name, block in settings.sources.items():
        yield from _unreadable(block.solr_password_file, f"sources.{name}.solr_password_file")
    yield from _state(Path(settings.state_dir))
    yield from _refusal(seconds, settings.ship.seal_after, "ship.seal_after")
    yield from _refusal(seconds, settings.ship.close_inactive, "ship.close_inactive")
    for role in ("ship", "harvest", "stream", "sink"):
        yield from _refusal(host_and_port, f"{role}.monitor", getattr(settings, role).monitor or "unused:0")
    yield from _privacy(settings)
    for name, block in settings.sources.items():
        yield from _source(settings, name, block)
    yield from _refusal(check_indices, _usable(settings))


def _refusal(look: Callable[..., object], *asked: object) -> Iterator[Finding]:
    try:
        look(*asked)
    except ConfigError as error:
        yield Finding("error", error.message)


def _usable(settings: Settings) -> Iterator[Source]:
    """The sources whose blocks are right."""
    for name in settings.sources:
        with suppress(ConfigError):
            yield load_source(settings, name)


def _privacy(settings: Settings) -> Iterator[Finding]:
    key, retention = b"", settings.kafka.raw_retention
    try:
        key = hash_key(settings)
    except ConfigError as error:
        yield Finding("error", error.message)
    yield from _refusal(seconds, retention or "1d", "kafka.raw_retention")
    hiding = [name for name, block in settings.sources.items() if block.pseudonymize]
    for name in hiding if not key else ():
        yield Finding("error", f"sources.{name}.pseudonymize: no key for `tailrace stream`: set TAILRACE_HASH_KEY or hash_key_file")
    if hiding and retention is None:
        yield Finding("warning", "kafka.raw_retention: not set, so the topics raw and dead keep everybody's addresses for ever")


def _state(folder: Path) -> Iterator[Finding]:
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        yield Finding("error", f'state_dir = "{folder}": cannot be made or written to; name a folder of the user that runs tailrace')


def _source(settings: Settings, name: str, block: SourceSettings) -> Iterator[Finding]:
    if not block.paths and not block.solr_url:
        yield Finding("warning", f"sources.{name}.paths: names no file, so `tailrace ship` has nothing to read here")
    for path in block.paths:
        folder = _fixed_folder(path)
        if not folder.is_dir():
            yield Finding("warning", f'sources.{name}.paths: "{path}": there is no folder {folder} on this machine')
    try:
        source = load_source(settings, name)
    except ConfigError as error:
        yield Finding("error", error.message)
        return
    yield from _refusal(watch_actions, source)
    for key in _FILES:
        yield from _file(source, key)


def _fixed_folder(pattern: str) -> Path:
    """The folder of a glob up to its first wildcard."""
    parts = Path(pattern).parts[:-1]
    wild = next((position for position, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    return Path(*parts[:wild])


def _file(source: Source, key: str) -> Iterator[Finding]:
    """Whether a list or database can be used, asked of the very code that will read it, where that is installed."""
    path: str | None = getattr(source.settings, key)
    if path is None:
        return
    if key in _DATABASES and not Path(path).exists():
        yield Finding("warning", f'sources.{source.name}.{key} = "{path}": there is no such file; events go on without until there is')
        return
    unreadable = list(_unreadable(path, f"sources.{source.name}.{key}"))
    if unreadable:
        yield from unreadable
        return
    try:
        enrich: Any = importlib.import_module("streams.enrich")
    except ModuleNotFoundError:  # the packages of streams are not installed on a producer's host
        return
    alone = msgspec.structs.replace(source.settings, pseudonymize=False, **{other: None for other in _FILES if other != key})
    yield from _refusal(enrich.Enricher, replace(source, settings=alone))


def _unreadable(path: str | None, key: str) -> Iterator[Finding]:
    if path is None:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        yield Finding("error", f'{key} = "{path}": cannot read it: {error.strerror}; name a readable file or leave the key out')


def hide_secrets(effective: dict[str, Any]) -> dict[str, Any]:
    """The settings with passwords and keys covered."""
    for section in (effective["kafka"], effective["elasticsearch"]):
        section.update({key: HIDDEN for key in SECRETS & section.keys() if section[key] is not None})
    return effective


def toml_lines(effective: dict[str, Any], origin: dict[tuple[str, ...], str], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Settings as TOML, unset keys left out, each key that was set with what set it."""
    tables = {key: value for key, value in effective.items() if isinstance(value, dict) and _is_table(path, key)}
    for key, value in effective.items():
        if key not in tables and value is not None:
            comment = origin.get((*path, key))
            yield f"{_key(key)} = {_value(value)}" + (f"  # from {comment}" if comment else "")
    for key, table in tables.items():
        if (*path, key) != ("sources",):
            yield ""
            yield f"[{'.'.join(map(_key, (*path, key)))}]"
        yield from toml_lines(table, origin, (*path, key))


def _is_table(path: tuple[str, ...], key: str) -> bool:
    return not path or path == ("sources",)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    """A value in TOML; its strings, numbers and booleans are JSON's but for the character DEL."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(item)}' for key, item in value.items())} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _path() -> Path | None:
    chosen: Path | None = click.get_current_context().find_root().obj
    return chosen


def _where() -> str:
    file = find_file(_path(), os.environ)
    return f"configuration file {file}" if file else "no configuration file, so the defaults and the environment"
