"""What a session is called, wherever it is computed: by the stream as events arrive, by a repair from the index."""

from functools import lru_cache
from hashlib import blake2b

NO_SESSION = -1
"""Of an event that would have a session if it had a usable client and time."""


@lru_cache(maxsize=65_536)  # asked for each event of a session
def session_id(client: str, start: int) -> int:
    """The id of the client's session whose first event is at `start` (ms): 0 < id < 2^53, exact in JavaScript and JSON."""
    digest = blake2b(b"%d " % start + client.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 11 or 1
