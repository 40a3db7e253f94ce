"""The key of a record in `<source>.raw`: where its bytes stood.

A key is one JSON object per file, `@`, and the byte offset of the record: `{"file":"…","host":"…","path":"…"}@1234`.
The part before the offset is constant per file, so it is encoded once by the producer and parsed once by a reader.
"""

from functools import lru_cache
from hashlib import blake2b

import msgspec


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file as one producer sees it."""

    file: str
    """File id: the same for the same content, whatever its name, host or compression."""
    host: str
    path: str
    fields: dict[str, str] = {}
    """Static fields of the source, set where the producer is configured (`env = "production"`)."""
    torn: bool = False
    """True for the unterminated end of a file, shipped as it stands by a backfill (`--once`), or when the file has long not grown."""
    encoding: str = "utf-8"
    """Of the file's text; the bytes are shipped as they are."""


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Place).decode


def is_file(path: str) -> bool:
    """False for the path of a Solr core, its URL: the offsets of its records are versions, which name but measure nothing."""
    return not path.startswith(("http://", "https://"))


@lru_cache(maxsize=65_536)
def origin(file: str) -> int:
    """A number (63 bits) for a file, by its id: smaller than the id wherever it is kept per file."""
    return int.from_bytes(blake2b(file.encode(), digest_size=8).digest(), "big") >> 1


def key_prefix(place: Place) -> bytes:
    """The constant part of the keys of a file's records, `@` included; append the offset in ASCII digits."""
    return _encode(place) + b"@"


def key(place: Place, offset: int) -> bytes:
    return key_prefix(place) + b"%d" % offset


@lru_cache(maxsize=65_536)
def place_of(prefix: bytes) -> Place:
    """The place that the constant part of a key names, given without `@`. Raises ValueError (msgspec's errors included)."""
    return _decode(prefix)


def cut_key(raw_key: bytes) -> tuple[bytes, int]:
    """The constant part of a key, without `@`, and the byte offset. Raises ValueError where no number ends the key."""
    prefix, _, offset = raw_key.rpartition(b"@")
    return prefix, int(offset)


def split_key(raw_key: bytes) -> tuple[Place, int]:
    """The place and byte offset that a key names.

    Raises ValueError (msgspec's errors included) where the key is none of ours.
    """
    prefix, offset = cut_key(raw_key)
    return place_of(prefix), offset
