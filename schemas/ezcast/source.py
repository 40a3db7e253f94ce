"""EZCast traces as a source: settings in, parser and mapping out."""

from schemas.common import BOOLEAN, IP, KEYWORD, LONG, TEXT, Mapping
from schemas.ezcast.catalogue import Catalogue, TraceType, built_in
from schemas.ezcast.parse import MAX_ELEMENTS, RECORD_START, client_of, parser
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


def source(name: str, settings: SourceSettings) -> Source:
    """The source of a block `[sources.NAME]` with format ezcast."""
    catalogue = built_in()
    return Source(
        name=name,
        settings=settings,
        index=settings.index or name,
        parse=parser(catalogue, settings.timezone),
        properties=properties(catalogue),
        record_start=RECORD_START,
        ordered_by_file=True,
        address_field="ip",
        user_agent_field="user_agent",
        user_agent_kinds=frozenset(
            action for action, forms in catalogue.forms.items() if any("user_agent" in form.fields for form in forms)
        ),
        session_fields={login: {"session_browser": "browser_name", "session_os": "user_os"} for login in LOGINS},
        views=VIEWS,
        client=client_of,
        client_fields=("session", "ip", "netid"),
        kind_field="action",
        client_class=True,
        local_timezone=settings.timezone,
    )


def properties(catalogue: Catalogue) -> Mapping:
    """Mapping of every column and field, of records without form, and of what enrichment takes from a session's login."""
    return {
        "timestamp": KEYWORD,
        "fold": LONG,
        "session": _WORD,
        "ip": IP,
        "netid": _WORD,
        "level": LONG,
        "action": _WORD,
        **{field: _MAPPINGS[kind] for field, kind in catalogue.types.items()},
        **{f"elem{n}": _WORD for n in range(1, MAX_ELEMENTS + 1)},
        "session_browser": _WORD,
        "session_os": _WORD,
    }
