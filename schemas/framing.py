"""Where records begin and end in the bytes of a file.

Lines end in LF and nothing else: a lone CR, U+2028 or NUL is part of its line. A source without `record_start` has one
record per line. With it, a line that does not match continues the record before it; a continuation with no record
before it (at the start of a file, or after its record was given up as complete) is a record of its own, line by line.

Whether a line begins a record is decided on the complete line, so the records of a file do not depend on how its bytes
came in pieces. A pattern must therefore look at one line only, and may not match the empty string.
"""

import re
from functools import lru_cache

_LF = re.compile(rb"\n")
_INLINE_FLAGS = re.compile(rb"^\(\?[aimsux]+\)")


@lru_cache(maxsize=256)
def _boundary(start: re.Pattern[bytes]) -> re.Pattern[bytes]:
    """Matches the LF before a line that begins a record.

    One search over the whole buffer, led by a literal LF which the engine finds with memchr: 0.2 us for a line of 170
    bytes, a third of what a loop that tries the pattern on each line costs.
    """
    if start.match(b""):
        raise ValueError(f"record_start {start.pattern!r} matches the empty string, so every line would begin a record: leave it out")
    line = _INLINE_FLAGS.sub(b"", start.pattern)  # they stand in `flags` already, and may only stand at the very start
    return re.compile(rb"\n(?=" + line + rb")", start.flags | re.MULTILINE)


def split(buffer: bytes, start: re.Pattern[bytes] | None, *, final: bool = False) -> list[int]:
    """The ends of the records in `buffer`, which begins where a record begins; each end is just after the record's LF.

    The records tile the buffer: record i is `buffer[ends[i - 1]:ends[i]]`, and what follows the last end has to stand
    at the start of the next buffer. An unterminated last line is never part of a record. With `start`, the last record
    stays open, since a continuation may follow, unless `final` says that none will.
    """
    lines_end = buffer.rfind(b"\n") + 1
    if start is None:
        return [match.end() for match in _LF.finditer(buffer, 0, lines_end)]
    ends = [match.end() for match in _boundary(start).finditer(buffer, 0, lines_end)]
    if not start.match(buffer, 0, lines_end):  # orphans, each line a record, up to the first record
        ends[:1] = [match.end() for match in _LF.finditer(buffer, 0, ends[0] if ends else lines_end)]
    if final and lines_end > (ends[-1] if ends else 0):
        ends.append(lines_end)
    return ends


def find_end(buffer: bytes, start: re.Pattern[bytes] | None) -> int:
    """Where a record whose beginning is no longer at hand ends in `buffer`; -1 where it goes on beyond.

    `buffer` begins inside a line, or with the LF before one.
    """
    lines_end = buffer.rfind(b"\n") + 1
    match = (_LF if start is None else _boundary(start)).search(buffer, 0, lines_end)
    return match.end() if match else -1


def torn_begin(buffer: bytes, start: re.Pattern[bytes] | None) -> int:
    """Where the record begins to which the unterminated last line of `buffer` belongs, given that nothing follows.

    `buffer` begins where a record begins and holds that record's complete lines (none without `start`). The last line is
    a record of its own if it matches, or if it could be the first bytes of a line that does: completed by the end
    of the start that the buffer itself begins with, it matches ("2016-04-1" + "5-23:59:59 | ").
    """
    fragment_begin = buffer.rfind(b"\n") + 1
    if start is None or fragment_begin in (0, len(buffer)):
        return fragment_begin
    fragment = buffer[fragment_begin:]
    known = start.match(buffer)
    if known is None or start.match(fragment) or start.match(fragment + known.group()[len(fragment) :]):
        return fragment_begin
    return 0
