"""EZCast traces as a source: settings in, parser and mapping out."""

import re

from schemas.common import BOOLEAN, COMMON_PROPERTIES, IP, KEYWORD, LONG, TEXT, Mapping
from schemas.ezcast.catalogue import Catalogue, TraceType, built_in, extended
from schemas.ezcast.parse import MAX_ELEMENTS, RECORD_START, client_of, parser
from schemas.ezcast.usual import reader
from schemas.source import Source, SourceSettings, Views

# The users' queries name `browser_name.keyword`; the plain name is a keyword too, so that either sorts and counts.
_WORD: Mapping = {**KEYWORD, "fields": {"keyword": KEYWORD}}
_MAPPINGS: dict[TraceType, Mapping] = {
    "keyword": _WORD,
    "text": {**TEXT, "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
    "integer": LONG,
    "float": {"type": "double"},
    "boolean": BOOLEAN,
}

LOGINS = ("login", "login_as_anonymous", "login_from_anonymous")
"""The actions that say which browser and which system the session is of."""

VIEWS = Views(
    kind="video_play_time",
    day="timestamp",
    identity=("album", "asset"),
    beside=("session", "netid", "asset_name"),
    amount="play_time",
    enough=60,
)
"""EZCast's own rule of what a view is, by the day of the stamp."""

_ELEMENTS = tuple(f"elem{n}" for n in range(1, MAX_ELEMENTS + 1))
"""Fields of records without form."""
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def source(name: str, settings: SourceSettings, actions: str | None = None) -> Source:
    """The source of a block `[sources.NAME]` with format ezcast.

    `actions`: the text of an operator's file that extends the catalogue. Raises ValueError for one that contradicts it, itself or
    the names that every document has.
    """
    catalogue = built_in() if actions is None else extended(actions)
    _check_names(catalogue)
    return Source(
        name=name,
        settings=settings,
        index=settings.index or name,
        parse=parser(catalogue, settings.timezone),
        usual=reader(catalogue),
        properties=properties(catalogue),
        record_start=RECORD_START,
        ordered_by_file=True,
        address_field="ip",
        user_agent_field="user_agent",
        user_agent_expected=False,
        session_fields={login: {"session_browser": "browser_name", "session_os": "user_os"} for login in LOGINS},
        views=VIEWS,
        client_fields=("session", "ip", "netid"),
        kind_field="action",
        client_of=client_of,
        person_fields=("netid", "session", "session_id", "email", *_ELEMENTS),  # nobody knows what the last hold
        nobody=frozenset({"", "nologin"}),
        client_class=True,
        local_timezone=settings.timezone,
    )


def properties(catalogue: Catalogue) -> Mapping:
    """Mapping of every column and field, of records without form, and of what enrichment takes from a session's login."""
    return {**_columns(), **{field: _MAPPINGS[kind] for field, kind in catalogue.types.items()}}


def _columns() -> Mapping:
    """What is no field of an action."""
    return {
        "timestamp": KEYWORD,
        "fold": LONG,
        "session": _WORD,
        "ip": IP,
        "netid": _WORD,
        "level": LONG,
        "action": _WORD,
        **dict.fromkeys(_ELEMENTS, _WORD),
        "session_browser": _WORD,
        "session_os": _WORD,
    }


def _check_names(catalogue: Catalogue) -> None:
    for field in sorted(catalogue.types.keys() & {*_columns(), *COMMON_PROPERTIES}):
        raise ValueError(f"types: {field} is the name of a column or of what every document has; give the field another name")
    for field in catalogue.types:
        if not _FIELD_NAME.fullmatch(field):
            raise ValueError(f"types: {field!r} is no name of a field; use letters, digits and _, and begin with a letter")
