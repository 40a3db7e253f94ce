"""DataONE as a source."""

from schemas.dataone.fields import PROPERTIES
from schemas.dataone.parse import client_of, parser
from schemas.dataone.usual import reader
from schemas.source import Source, SourceSettings

NOBODY = frozenset({"", "public", "authenticatedUser", "verifiedUser"})
"""Subjects that are no person's."""


def source(name: str, settings: SourceSettings) -> Source:
    """The source of a block `[sources.NAME]` with format dataone."""
    index = settings.index or name
    beat_name = settings.name or index
    return Source(
        name=name,
        settings=settings,
        index=index,
        parse=parser(beat_name, settings.fields),
        usual=reader(beat_name, settings.fields),
        properties=PROPERTIES,
        session_kinds=frozenset({"read"}),
        address_field="ipAddress",
        user_agent_field="userAgent",
        user_agent_details=settings.user_agent_details,
        subject_field="subject",
        client_of=client_of,
        person_fields=("subject",),
        nobody=NOBODY,
        counter_kinds=frozenset({"read"}),
        version_field="_version_",
        client_fields=("ipAddress",),
        kind_field="event",
    )
