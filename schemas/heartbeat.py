"""Values of the compacted topic `<source>.files`: how far a producer has come with a file.

The key is the file's place as JSON: what stands before `@` in the keys of its records.
"""

import msgspec

from schemas.place import Place, key_prefix


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    host: str
    path: str
    """As in the keys of the records: where the file was first seen."""
    path_now: str | None
    """Where it is now; None where it is gone."""
    size: int
    """Bytes, when last looked at."""
    mtime_ms: int
    read: int
    """Offset up to which records were handed to the Kafka client."""
    acknowledged: int
    """Offset up to which every record is on the topic or in a dead letter, without a gap."""
    read_to_end: bool
    """True: nothing stood after `acknowledged` when last looked at."""
    time_ms: int
    """The producer's clock when it wrote this."""


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Heartbeat).decode


def heartbeat_key(place: Place) -> bytes:
    """The place as one JSON object."""
    return key_prefix(place)[:-1]
