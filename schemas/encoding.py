"""Text of other encodings than UTF-8: raw records keep the file's bytes, and are decoded where they are parsed.

Single-byte encodings only: one byte is one character, and LF, digits and separators are those of ASCII, so records are
cut from the bytes without knowing the encoding.
"""

from schemas.event import Dead, Event, Parsed
from schemas.localtime import LocalClock
from schemas.place import Place
from schemas.source import ParseRecord

_ASCII = bytes(range(128))


def check(encoding: str) -> None:
    """Raises ValueError, which begins with the key, for an encoding that records cannot be cut in."""
    if encoding == "utf-8":
        return
    try:
        pairs = (bytes((first, second)) for first in range(256) for second in b"A\xa9")
        is_single = all(len(pair.decode(encoding, "replace")) == 2 for pair in pairs)
        if is_single and _ASCII.decode(encoding) == _ASCII.decode("ascii"):
            return
    except (LookupError, UnicodeDecodeError):
        pass
    raise ValueError(f'encoding: "{encoding}" is not supported; write "utf-8" or a single-byte encoding such as "latin-1" or "cp1252"')


def decoding(parse: ParseRecord) -> ParseRecord:
    """A parser of UTF-8 made one that goes by the encoding of the place; ids, offsets and dead letters stay those of the file."""

    def parse_any(value: bytes, place: Place, offset: int, clock: LocalClock | None = None) -> Parsed:
        if place.encoding == "utf-8":
            return parse(value, place, offset, clock)
        text = value.decode(place.encoding, "replace").encode()
        return [_as_it_stood(found, value, text, offset) for found in parse(text, place, offset, clock)]

    return parse_any


def _as_it_stood(found: Event | Dead, value: bytes, text: bytes, offset: int) -> Event | Dead:
    """A dead letter with the file's own bytes; an event begins where its record does."""
    if isinstance(found, Event):
        return found
    begin = len(text[: found.offset - offset].decode())
    return found._replace(payload=value[begin : begin + len(found.payload.decode())], offset=offset + begin)
