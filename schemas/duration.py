"""Durations as they are written in settings: a number and a unit."""

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str) -> float:
    """`"60m"` is 3600.0; units ms, s, m, h, d. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError(f'"{text}" is no duration: write a number and a unit, such as "500ms", "5s" or "60m"')
    return float(match[1]) * _UNIT_S[match[2]]
