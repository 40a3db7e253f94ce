"""A source: where lines come from and what they mean, as one object that no loop needs to look into.

`SourceSettings` is the block `[sources.NAME]` of the configuration; `Source` is what a format module makes of it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from schemas.event import Document, Parsed, Usual
from schemas.localtime import LocalClock
from schemas.place import Place

Format = Literal["ezcast", "dataone", "delimited", "json", "regex"]
FieldType = Literal["keyword", "text", "integer", "float", "boolean", "ip", "date"]

MONTH_PATTERN = "%Y.%m"


class SourceSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`[sources.NAME]`. Every key has a default; `format` defaults to NAME where NAME is a format."""

    format: Format | None = None
    paths: list[str] = []
    """Globs of the files to tail; `**` crosses folders."""
    exclude: list[str] = []
    """Globs of files to leave alone."""
    ignore_older: str | None = None
    """Files that were last written longer ago than this (`"30d"`) are left alone, unless some of them was shipped before."""
    torn_timeout: str = "1h"
    """An unterminated last line of a file that has not grown for so long is shipped as it stands; if it is completed
    later, the whole line takes its place."""
    encoding: str = "utf-8"
    """Of the text in the files: utf-8, or a single-byte encoding such as `latin-1`. The raw topic holds the bytes as they are."""
    timezone: str = "UTC"
    """IANA name of the zone of stamps that carry none. A block of EZCast that names none gets Europe/Brussels."""
    index: str | None = None
    """Start of the index names, `<index>-YYYY.MM`; the source's name by default."""
    name: str | None = None
    """DataONE: `beat.name` and `fields.entryType`; the index by default."""
    fields: dict[str, str] = {}
    """Static fields that every event of this producer carries."""
    solr_url: str | None = None
    """DataONE: URL of the Solr core of events, which `tailrace harvest` reads: `http://127.0.0.1:8983/solr/event_core`."""
    solr_filter: str | None = None
    """A filter query: only events that match it (`nodeId:"urn:node:KNB"`). Another filter starts from the core's beginning."""
    solr_poll: str = "60s"
    """How often the core is asked for what is new."""
    solr_overlap: str = "15m"
    """Longer than a commit of the core takes to come, plus the difference between its shards' clocks; how far each poll looks back."""
    solr_rows: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    """Events per request."""
    solr_username: str | None = None
    solr_password_file: str | None = None
    """Path of a file that holds the password of `solr_username`."""
    earliest: str = "2010-01-01"
    """Events stamped before this day (UTC) are dead letters."""

    own_networks: str | None = None
    """Path of a list of the operator's own addresses and networks: tags dataone_ip and ignore_ip."""
    robot_networks: str | None = None
    """Path of a list of robots' addresses and networks: tags robot_ip and ignore_ip."""
    machine_user_agents: str | None = None
    """Path of a list of regular expressions of programs: tag machine_ua."""
    robot_user_agents: str | None = None
    """Path of a list of regular expressions of robots: tag robot_ua."""
    user_agent_details: bool = True
    """Browser, system and device of the agent as `user_agent.name`, `user_agent.os.name`, `user_agent.device.name`. EZCast's lines say
    the first two themselves, so its documents have no such object; nor has a source with a field `user_agent` of its own."""
    user_agent_case: Literal["sensitive", "insensitive"] = "sensitive"
    machine_wins: bool = False
    """True: an agent on both lists is tagged machine_ua only, which the full COUNTER robot list needs."""
    admin_subjects: str | None = None
    """Path of a list of subjects: tag d1_admin_subject."""
    geoip_city: str | None = None
    """Path of a MaxMind City database."""
    geoip_asn: str | None = None
    """Path of a MaxMind ASN database."""

    pseudonymize: bool = False
    """Addresses, logins and clients become pseudonyms under the key TAILRACE_HASH_KEY or `hash_key_file`; geography ends at the region."""
    personal_fields: list[str] = []
    """Further fields that name people, for `pseudonymize`."""

    session_gap: str = "60m"
    """Events of one client at most this far apart belong to one session."""
    session_days: Annotated[int, msgspec.Meta(ge=1)] = 90
    """Days of event time for which a late event can still join, extend or merge sessions."""

    retention: str | None = None
    """`"400d"`: `tailrace retention` deletes the indices of months that are further back; None keeps them for ever."""

    actions: str | None = None
    """EZCast: path of a file that adds actions, and new versions of actions, in the form of `schemas/ezcast/catalogue.toml`."""

    # Formats of the user's own: delimited, json, regex.
    record_start: str | None = None
    """Regular expression of a record's first line; without it every line is a record."""
    record_timeout: str = "5s"
    """How long the last record of a growing file waits for a further line."""
    delimiter: str = ","
    columns: list[str] = []
    """Names of a delimited record's columns, in order."""
    pattern: str | None = None
    """Regular expression with named groups that a whole record must match."""
    rename: dict[str, str] = {}
    """JSON: what a field is called in the document, by its name in the record; `"user.id"` is the field `id` of the object `user`."""
    types: dict[str, FieldType] = {}
    """Types of fields; keyword where not named."""
    time: str | None = None
    """The field that holds the event's time."""
    time_format: str = "iso8601"
    """`iso8601`, `epoch`, `epoch_ms` or a strptime format."""
    client: list[str] = []
    """Fields that together say who, for sessions; empty: no sessions."""
    id: str | None = None
    """The field that holds a unique id; by default the id is the record's place."""
    kind: str | None = None
    """The field that says what happened."""
    address: str | None = None
    """The field that holds the client's address, for networks and geography."""
    user_agent: str | None = None
    """The field that holds the user agent."""
    session_fields: dict[str, dict[str, str]] = {}
    """By kind: fields that events of this kind give to all events of their session, and the fields that hold them. The
    session's earliest event that has any counts: `[sources.shop.session_fields.login]`, `session_browser = "browser"`."""


class Views(NamedTuple):
    """What was watched: documents that sum up, for each client, day and object, an amount that events of one kind carry."""

    kind: str
    day: str
    """The field whose first ten characters are the local day."""
    identity: tuple[str, ...]
    """Fields that say what was watched."""
    beside: tuple[str, ...]
    """Further fields to carry."""
    amount: str
    """The field to sum up, an integer; events without it count for nothing."""
    enough: int
    """From this sum on it is `viewed`."""


ParseRecord = Callable[[bytes, Place, int, LocalClock | None], Parsed]
"""parse(value, place, offset, clock): the events and dead letters of one raw record. Never raises on input."""

ReadUsual = Callable[[bytes, int], Usual | None]
"""read(value, offset): the event of a usual record; None for all others. Raises UnknownPast only."""

UsualReader = Callable[[Place, LocalClock | None], ReadUsual | None]
"""reader(place, clock): reads the usual records of one file; None where it can read none of them."""

ClientOf = Callable[[Document], str | None]
"""Who, for sessions, as the source's parser says it, from the document alone; None where it names nobody."""


def _nobody(document: Document) -> None:
    return None


@dataclass(frozen=True)
class Source:
    """Made by `schemas.sources.build`."""

    name: str
    settings: SourceSettings
    index: str
    parse: ParseRecord
    properties: dict[str, Any]
    """Elasticsearch mapping of the source's own document fields (the `properties` object)."""
    usual: UsualReader | None = None
    """Reads usual records in half the time that `parse` takes, which gives the same events; None: they all go that way."""
    record_start: re.Pattern[bytes] | None = None
    """Matches at the first byte of a line that begins a record; None: every line is a record."""
    record_timeout_s: float = 5.0
    torn_timeout_s: float = 3600.0
    ignore_older_s: float | None = None
    ordered_by_file: bool = False
    """True: all records of a file go to one partition, in order. False: spread."""
    sessions: bool = True
    session_kinds: frozenset[str] | None = None
    """Kinds of events that belong to sessions; None: all."""
    session_gap_ms: int = 3_600_000
    retention_s: float | None = None
    """How far back its indices are kept; None: for ever."""
    session_fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """As in `SourceSettings`: by kind, names of the session's fields and of the document's."""
    views: Views | None = None
    client_fields: tuple[str, ...] = ()
    """The fields that `client_of` looks at."""
    kind_field: str | None = None
    """The document's field that holds the kind; None: all events are of one kind, the source's name."""
    address_field: str | None = None
    user_agent_field: str | None = None
    user_agent_expected: bool = True
    """True: every event ought to carry an agent, so one without it is matched as an empty agent. False: it is not matched."""
    user_agent_details: bool = False
    """True: the object `user_agent` says what the agent does."""
    subject_field: str | None = None
    version_field: str | None = None
    """The field, an integer, that says which of several records of one event is the newest."""
    client_of: ClientOf = _nobody
    person_fields: tuple[str, ...] = ()
    """Fields besides the address that name people."""
    nobody: frozenset[str] = frozenset()
    """Values of those fields that name nobody."""
    counter_kinds: frozenset[str] = frozenset()
    """Kinds of events that are accesses in COUNTER's sense and get the object `counter`."""
    client_class: bool = False
    """True: addresses are classed as own, private or public (field `client_class`), and `own_networks` tags nothing: a campus's
    own people are its audience, where DataONE's own hosts are noise."""
    local_timezone: str | None = None
    """Zone of ambiguous local stamps; a reader then keeps one LocalClock per file."""
    earliest_ms: int = field(default=1_262_304_000_000)

    @property
    def families(self) -> tuple[str, ...]:
        """What is summed up in indices of its own, `<index>-<family>-YYYY.MM`."""
        return (("sessions",) if self.sessions else ()) + (("views",) if self.views is not None else ())

    def index_for(self, time_ms: int | None, family: str | None = None) -> str:
        """The index of an event, or of a document that sums up events, by its own time, so that a replay writes to the same place."""
        if time_ms is None:
            return f"{self.index}-undated"
        name = self.index if family is None else f"{self.index}-{family}"
        return f"{name}-{datetime.fromtimestamp(time_ms / 1000, UTC).strftime(MONTH_PATTERN)}"

    def has_session(self, kind: str) -> bool:
        return self.sessions and (self.session_kinds is None or kind in self.session_kinds)

    @property
    def session_properties(self) -> dict[str, Any]:
        """Mapping of the fields that sessions give to their events and to their summaries."""
        names = {name for fields in self.session_fields.values() for name in fields}
        return {name: self.properties[name] for name in sorted(names)}
