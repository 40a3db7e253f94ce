"""Which file is which: an id made of content, so that it is the same under any name, on any host, compressed or not.

The id is a hash of the first line. Files that begin with the same line but differ later (a banner, a header) are told
apart by whoever has both in hand, and get ordinals: the first is 0.
"""

from hashlib import blake2b

HEAD_BYTES = 4096
"""At most this much of the first line counts: enough for any line that differs at all, and a file of one endless line still gets an id."""

GZIP = b"\x1f\x8b\x08"
"""What a gzip file begins with; the third byte says deflate, the only method that there is."""

_DIGEST_BYTES = 10
"""80 bits in 20 hex digits: with a million files the chance that any two share an id by accident is 4e-13."""


def head(beginning: bytes) -> bytes | None:
    """The part of a file's first bytes that names it: its first line with LF, cut at `HEAD_BYTES`.

    None where the line is not complete yet. `beginning` holds at least `HEAD_BYTES` bytes, or all that the file has.
    """
    end = beginning.find(b"\n", 0, HEAD_BYTES) + 1
    if end:
        return beginning[:end]
    return beginning[:HEAD_BYTES] if len(beginning) >= HEAD_BYTES else None


def file_id(head: bytes, ordinal: int = 0) -> str:
    """20 hex digits. `ordinal` counts the files known so far with this head and other content."""
    salt = b"" if ordinal == 0 else b"%d" % ordinal
    return blake2b(head, digest_size=_DIGEST_BYTES, salt=salt).hexdigest()


def is_gzip(beginning: bytes) -> bool:
    """Whether a file that begins so is compressed, or begins to be. `beginning` holds three bytes, or all that the file has."""
    return beginning != b"" and GZIP.startswith(beginning[: len(GZIP)])


def leading_nuls(beginning: bytes) -> int:
    """How many NUL bytes it begins with.

    At the start of a file they are a hole that a writer left which went on at its old offset after its log was cut;
    the file's first line begins after them.
    """
    return len(beginning) - len(beginning.lstrip(b"\0"))
