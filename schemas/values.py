"""Text to typed values, strictly: what does not fit is told by a reason and never bent into shape.

A converter takes the text and gives the value, or a reason as a string: `empty`, `not_an_integer`, `not_a_number`,
`not_a_boolean`. No value of these types is a string, so the two cannot be confused.
"""

import re
from math import isfinite

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_SURE_DIGITS = 18
"""So many digits always fit in 64 bits."""
INT64 = 1 << 63
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False, "": False}


def integer(text: str) -> int | str:
    """A decimal integer of 64 bits: no spaces, no plus sign, no digits but 0 to 9. Else the reason why not."""
    if len(text) <= _SURE_DIGITS and text.isdigit() and text.isascii():  # the usual case without a regular expression
        return int(text)
    if not text:
        return "empty"
    if not _INTEGER.fullmatch(text):
        return "not_an_integer"
    value = int(text)
    return value if -INT64 <= value < INT64 else "not_an_integer"


def number(text: str) -> float | str:
    """A finite decimal number as PHP and JavaScript print it, exponent included. Else the reason why not."""
    if len(text) <= _SURE_DIGITS and text.isdigit() and text.isascii():
        return float(text)
    if not text:
        return "empty"
    if not _NUMBER.fullmatch(text):
        return "not_a_number"
    value = float(text)
    return value if isfinite(value) else "not_a_number"


def boolean(text: str) -> bool | str:
    """1 and true; 0, false and the empty text, which is how PHP prints false. Else the reason why not."""
    return _BOOLEANS.get(text, "not_a_boolean")
