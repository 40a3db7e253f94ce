"""One `tailrace.toml`, checked; each key can be overridden by a `TAILRACE_…` variable.

The variable of a key is its path in capitals: `kafka.bootstrap_servers` is `TAILRACE_KAFKA_BOOTSTRAP_SERVERS`,
`sources.ezcast.timezone` is `TAILRACE_SOURCES_EZCAST_TIMEZONE`. Text is taken as it stands, everything else is read as TOML.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec

from schemas import duration
from schemas.source import Format, SourceSettings
from tailrace import mistakes
from tailrace.errors import ConfigError

DEFAULT_FILES = (Path("tailrace.toml"), Path("/etc/tailrace/tailrace.toml"))
"""Read the first that exists where neither --config nor TAILRACE_CONFIG names one."""

PREFIX = "TAILRACE_"
HASH_KEY = "TAILRACE_HASH_KEY"
"""Holds the key of pseudonyms and of COUNTER's users, which stands in no configuration."""
OTHER_VARIABLES = {HASH_KEY, "TAILRACE_CONFIG", "TAILRACE_LOG_LEVEL", "TAILRACE_CACHE", "TAILRACE_SHARED"}
"""Variables of our prefix that are no keys."""


SECRETS = frozenset({"sasl_password", "password", "api_key"})
"""Keys that are shown to nobody."""
HIDDEN = "********"


def _covered(section: msgspec.Struct) -> str:
    """Its `repr` without its secrets: a traceback or a log may hold it."""
    shown = {key: HIDDEN if key in SECRETS and value else value for key, value in msgspec.structs.asdict(section).items()}
    return f"{type(section).__name__}({', '.join(f'{key}={value!r}' for key, value in shown.items())})"


AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class Kafka(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: str = ""
    """Put before every topic and group name, so that runs can stand side by side."""
    partitions: AtLeastOne = 4
    """Of topics that Tailrace creates."""
    replication_factor: int = -1
    """Of topics that Tailrace creates; -1: the broker's default."""
    raw_retention: str | None = None
    """`"30d"`: topics that hold original bytes, raw and dead, keep records this long, where Tailrace creates them; by default for ever.
    Longer than the workers may ever lie behind, since what is gone from raw before it is parsed is gone."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "lz4"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: str | None = None
    """Better in TAILRACE_KAFKA_SASL_PASSWORD, or in the file that `sasl_password_file` names."""
    sasl_password_file: str | None = None
    ssl_ca_location: str | None = None

    __repr__ = _covered

    def suffix(self, name: str) -> str:
        """What a topic's kind and a group's role have appended: nothing, but for later generations (`tailrace.generations`)."""
        return ""


class Ship(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`tailrace ship`. A running one takes all but `monitor` anew at SIGHUP."""

    records_per_second: Annotated[float, msgspec.Meta(ge=0)] = 0
    """Records are sent at most so fast on average, others wait in their files; 0: no limit."""
    bytes_per_second: Annotated[float, msgspec.Meta(ge=0)] = 0
    log_level: Literal["debug", "info", "warning", "error"] | None = None
    """In place of --log-level."""
    seal_after: str = "10m"
    """A file that is read to its end, has not been written for so long and is not the source's newest is complete: it is sealed."""
    close_inactive: str = "1h"
    """A file that has not grown for so long is closed, and opened again when it grows; earlier where too many are open."""
    monitor: str | None = None
    """`127.0.0.1:9464` answers /metrics (Prometheus) and /health there; off by default."""


class Harvest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`tailrace harvest`."""

    monitor: str | None = None
    """`127.0.0.1:9467` answers /metrics (Prometheus) and /health there; off by default."""


class Stream(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`tailrace stream`."""

    store: Literal["memory", "rocksdb"] = "memory"
    """What holds the sessions beside Kafka: `rocksdb` (an extra), below `state_dir`, for state larger than memory and short restarts."""
    standby_replicas: Annotated[int, msgspec.Meta(ge=0)] = 0
    """So many other workers keep a copy of each partition's sessions up to date, to take over at once."""
    monitor: str | None = None
    """`127.0.0.1:9465` answers /metrics (Prometheus) and /health there, for a worker that runs alone (with a role); off by default."""


class Sink(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`tailrace sink`."""

    monitor: str | None = None
    """`127.0.0.1:9466` answers /metrics (Prometheus) and /health there, for a sink that is the only one of its configuration; off by
    default."""


class Elasticsearch(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    url: str = "http://127.0.0.1:9200"
    """Of one node or, separated by commas, of several nodes of one cluster: one that does not answer is left out for a while."""
    index_prefix: str = ""
    username: str | None = None
    password: str | None = None
    """Better in TAILRACE_ELASTICSEARCH_PASSWORD, or in the file that `password_file` names."""
    password_file: str | None = None
    api_key: str | None = None
    api_key_file: str | None = None
    ca_certs: str | None = None
    number_of_shards: AtLeastOne = 1
    number_of_replicas: Annotated[int, msgspec.Meta(ge=0)] = 0
    refresh_interval: str = "1s"
    codec: Literal["default", "best_compression"] = "default"
    """Of new indices. The second takes about a quarter less space and a fifth off the speed (`python -m benchmarks index_size`)."""
    ilm_policy: str | None = None
    """A policy of Elasticsearch's index lifecycle management for indices made from now on; `tailrace retention` needs none."""

    __repr__ = _covered


def _built_in_sources() -> dict[str, SourceSettings]:
    return {
        "ezcast": SourceSettings(format="ezcast", paths=["/var/lib/ezcast/traces/*.trace"], timezone="Europe/Brussels"),
        "dataone": SourceSettings(
            format="dataone",
            paths=["/var/log/dataone/logagg_mirror/d1logagg.log*"],
            index="eventlog",
            fields={"env": "production"},
        ),
    }


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    state_dir: str = "state"
    """Folder of checkpoints and tables."""
    host: str | None = None
    """Name of this host in keys and documents; the system's own by default."""
    max_dead_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Parse and sink stop where more than this share of what they last read became dead letters (see `tailrace.dead_share`); 1: never."""
    hash_key_file: str | None = None
    """Path of a file with the key of pseudonyms and of COUNTER's users, at least 16 characters; TAILRACE_HASH_KEY goes before it. All
    workers need the same one, and for good: another key makes everybody somebody else."""
    kafka: Kafka = Kafka()
    ship: Ship = Ship()
    harvest: Harvest = Harvest()
    stream: Stream = Stream()
    sink: Sink = Sink()
    elasticsearch: Elasticsearch = Elasticsearch()
    sources: dict[str, SourceSettings] = msgspec.field(default_factory=_built_in_sources)


EZCAST_ZONE = "Europe/Brussels"
SOURCE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_NODE = re.compile(r"https?://[^/:\s]+:\d+(/\S*)?|https?://\[[0-9a-fA-F:]+\]:\d+(/\S*)?")


def seconds(text: str, key: str = "duration") -> float:
    """`"60m"` is 3600.0; units ms, s, m, h, d. Raises ConfigError naming the key."""
    try:
        return duration.seconds(text)
    except ValueError as error:
        raise ConfigError(f"{key} = {error}") from None


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file and the environment; defaults where no file is found.

    Raises ConfigError for a missing file, broken TOML, an unknown key or variable, a wrong type, an impossible value.
    """
    file = find_file(path, environ)
    raw = _read(file) if file else {}
    where = str(file) if file else "the defaults"
    _check_names(raw, Settings, where, "")
    for name, block in raw.get("sources", {}).items():
        _complete(name, block, where)
    _override(raw, environ, {*(raw.get("sources") or Settings().sources)})
    for name, block in raw.get("sources", {}).items():
        _convert(block, SourceSettings, where, f"sources.{name}.")  # by itself, so that the message names the source
    found = _convert(raw, Settings, where)
    _check_url(found.elasticsearch.url, where)
    return found


def _check_url(urls: str, where: str) -> None:
    if "@" in urls:  # it would be told in every message about the server
        raise ConfigError(
            f"{where}: elasticsearch.url holds a user or password: write them to elasticsearch.username and "
            "TAILRACE_ELASTICSEARCH_PASSWORD (or elasticsearch.password_file) instead"
        )
    for url in urls.split(","):
        if not _NODE.fullmatch(url.strip()):
            raise ConfigError(
                f'{where}: elasticsearch.url = "{urls}": "{url.strip()}" is no URL with scheme, host and port; write it as '
                '"http://127.0.0.1:9200"'
            )


Shape = TypeVar("Shape", bound=msgspec.Struct)


def _convert(raw: dict[str, Any], shape: type[Shape], where: str, path: str = "") -> Shape:
    try:
        return msgspec.convert(raw, shape, strict=True)
    except msgspec.ValidationError as error:
        key, fault = mistakes.of_key(error, shape)
        raise ConfigError(f"{where}: {path}{key}: {fault}") from None


def secret(value: str | None, file: str | None, key: str) -> str | None:
    """A secret that stands in the configuration or environment, or in a file of its own."""
    if value is not None or file is None:
        return value
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise ConfigError(f"{key}_file: cannot read {file}: {error.strerror}") from None


def certificates(file: str, key: str) -> str:
    """The path of a file of certificates that can be read. Raises ConfigError."""
    try:
        with open(file, "rb"):
            return file
    except OSError as error:
        raise ConfigError(f"{key}: cannot read {file}: {error.strerror}") from None


SHORTEST_HASH_KEY = 16
"""Characters: 128 bits where they are random bytes, and enough to keep out what people think up."""


def hash_key(settings: Settings, environ: Mapping[str, str] = os.environ) -> bytes:
    """The key of pseudonyms and of COUNTER's users; empty where none is set.

    Raises ConfigError for a file that cannot be read and for a key that is too short.
    """
    key = secret(environ.get(HASH_KEY), settings.hash_key_file, "hash_key") or ""
    if (key or settings.hash_key_file) and len(key) < SHORTEST_HASH_KEY:
        where = HASH_KEY if environ.get(HASH_KEY) else f"hash_key_file = {settings.hash_key_file}"
        raise ConfigError(f"{where}: a key of {len(key)} characters is too short; make one: openssl rand -hex 32")
    return key.encode()


def origins(path: Path | None, environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """What set each key that is not left at its default: the file or the variable, by the key's path."""
    file = find_file(path, environ)
    raw = _read(file) if file else {}
    found = {key: str(file) for key in _keys(raw)}
    for variable, key, _ in _variables({*(raw.get("sources") or Settings().sources)}):
        if variable in environ:
            found[key] = variable
    return found


def _keys(raw: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The paths of a file's keys, down to the keys of sections and of sources."""
    for section, content in raw.items():
        if section == "sources":
            yield from ((section, name, key) for name, block in content.items() for key in block)
        elif isinstance(content, dict):
            yield from ((section, key) for key in content)
        else:
            yield (section,)


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file in force, None where there is none. Raises ConfigError where one is named and missing."""
    chosen = path or (Path(environ["TAILRACE_CONFIG"]) if environ.get("TAILRACE_CONFIG") else None)
    if chosen is not None:
        if not chosen.is_file():
            raise ConfigError(f"configuration file {chosen} does not exist: give --config the path of a tailrace.toml")
        return chosen
    return next((file for file in DEFAULT_FILES if file.is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from None


def _check_names(raw: Mapping[str, Any], shape: type[msgspec.Struct], where: str, path: str) -> None:
    known = get_type_hints(shape)
    for key, value in raw.items():
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {path}{near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
            raise ConfigError(f"{where}: unknown key {path}{key}; {hint}")
        is_section = isinstance(known[key], type) and issubclass(known[key], msgspec.Struct)
        if key == "sources" and shape is Settings:
            _check_table(value, where, "sources")
            for name, block in value.items():
                if not SOURCE_NAME.fullmatch(name):
                    raise ConfigError(
                        f"{where}: sources.{name}: a source's name is lower-case letters, digits, - and _, for topics and indices"
                    )
                _check_table(block, where, f"sources.{name}")
                _check_names(block, SourceSettings, where, f"sources.{name}.")
        elif is_section:
            _check_table(value, where, f"{path}{key}")
            _check_names(value, known[key], where, f"{path}{key}.")


def _check_table(value: Any, where: str, key: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {key} = {value!r} is no block; write [{key}] and its keys below it")


def _complete(name: str, block: dict[str, Any], where: str) -> None:
    """Give a source's block the format that its name is, and EZCast's the zone that its own analyser assumes."""
    if block.setdefault("format", name) not in get_args(Format) and block["format"] == name:
        raise ConfigError(f"{where}: sources.{name}.format is missing: one of {', '.join(get_args(Format))}")
    if block["format"] == "ezcast":
        block.setdefault("timezone", EZCAST_ZONE)


def _variables(source_names: set[str]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every overridable key as (variable, path, type)."""

    def walk(shape: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        for key, kind in get_type_hints(shape, include_extras=True).items():
            here = (*path, key)
            if here == ("sources",):
                for name in source_names:
                    yield from walk(SourceSettings, (*here, name))
            elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield from walk(kind, here)
            else:
                yield PREFIX + "_".join(here).upper().replace("-", "_"), here, kind

    yield from walk(Settings, ())


def _override(raw: dict[str, Any], environ: Mapping[str, str], source_names: set[str]) -> None:
    known = {variable: (path, kind) for variable, path, kind in _variables(source_names)}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable not in known:
            near = get_close_matches(variable, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"environment: {variable} is no setting{hint}")
        path, kind = known[variable]
        at = raw
        if path[0] == "sources" and "sources" not in raw:
            raw["sources"] = msgspec.to_builtins(Settings().sources)
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = _value(variable, text, kind)


def _value(variable: str, text: str, kind: Any) -> Any:
    """Text where the key takes this text; else what it is in TOML, and text again where it is no TOML."""
    try:
        return msgspec.convert(text, kind, strict=True)
    except msgspec.ValidationError as error:
        refusal = error
    try:
        return msgspec.convert(tomllib.loads(f"value = {text}")["value"], kind, strict=True)
    except tomllib.TOMLDecodeError:
        pass
    except msgspec.ValidationError as error:
        refusal = error
    raise ConfigError(f"environment: {variable}={text!r}: {mistakes.of_value(refusal, kind)}")
