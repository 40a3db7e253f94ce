"""Functions that are written as text, where one straight line of Python for each schema is quicker than a loop over it."""

from collections.abc import Mapping
from typing import Any


def compiled(source: str, origin: str, known: Mapping[str, Any]) -> Any:
    """The one function that `source` defines, which may use the names in `known`. `origin` is where tracebacks say that it is."""
    found: dict[str, Any] = {}
    exec(compile(source, f"<compiled from {origin}>", "exec"), dict(known), found)
    (function,) = found.values()
    return function
