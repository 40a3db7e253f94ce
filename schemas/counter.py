"""COUNTER's view of one access, by the Code of Practice for Research Data: fields from which exact reports can be drawn later.

They depend on the record, the lists and the key alone, so a replay gives the same. Double clicks are left to the report: they need
the accesses around this one, which may come months later.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from schemas.common import KEYWORD, LONG, Mapping
from schemas.keyed import Keyed

PROPERTIES: Mapping = {"properties": {"user": LONG, "session": LONG, "method": KEYWORD, "excluded": KEYWORD, "lists": KEYWORD}}

HOUR_MS = 3_600_000
OWN, ADMIN = "dataone_ip", "admin_subject"


class Access(NamedTuple):
    """What follows from an address and an agent."""

    user: int | None
    """None without a usable address."""
    method: str
    """`machine` for programs that people run (COUNTER's access method), else `regular`."""
    excluded: str | None
    """Why it does not count: `dataone_ip`, `robot_ip` or `robot_ua`."""
    lists: str
    """Which lists decided."""


class Counter:
    """Works out the fields of `counter`, under a key."""

    def __init__(self, hashes: Keyed) -> None:
        self._user = hashes.numbers(b"counter-user")
        self._session = hashes.numbers(b"counter-session")
        self._own_session = hashes.numbers(b"counter-event")

    def access(self, address: str | None, agent: str, tags: Collection[str], lists: str) -> Access:
        """`address` in its canonical spelling; `tags` of the lists, whose version is `lists`.

        A machine is never excluded as a robot: section 10 wants machine use counted, and COUNTER's own list of robots has most
        machines on it.
        """
        user = None if address is None else self._user(f"{address}|{agent}")
        machine = "machine_ua" in tags
        reasons = (OWN, "robot_ip") if machine else (OWN, "robot_ip", "robot_ua")
        return Access(user, "machine" if machine else "regular", next((reason for reason in reasons if reason in tags), None), lists)

    def fields(self, access: Access, is_admin: bool, time: int | None, id: str) -> dict[str, Any]:
        """The object `counter` of one event; `time` in milliseconds since 1970.

        The session is the user's UTC clock hour; of an event without user or time the session is its own.
        """
        session = self._own_session(id) if access.user is None or time is None else self._session(f"{access.user}|{time // HOUR_MS}")
        fields = {"session": session, "method": access.method, "lists": access.lists}
        if access.user is not None:
            fields["user"] = access.user
        excluded = ADMIN if is_admin and access.excluded != OWN else access.excluded
        if excluded is not None:
            fields["excluded"] = excluded
        return fields
