"""The parts of a trace record to its document: typed values under the catalogue's names, and where the record stood."""

from collections.abc import Callable, Mapping, Sequence

from schemas.address import canonical_address
from schemas.event import Document
from schemas.place import Place
from schemas.values import boolean, integer, number

Make = Callable[[list[str], str, Place, int], Document]
"""make(parts, time, place, offset): the document of a record whose parts are the names that the function was made for; `time` is its
`@timestamp`."""

CONVERTERS: dict[str, Callable[[str], int | float | str]] = {"integer": integer, "float": number, "boolean": boolean}
"""By type, of those that are no text; see `schemas.values`."""


def type_of(name: str, types: Mapping[str, str]) -> str:
    """Of a field in the catalogue's `types`, or of a column."""
    return "integer" if name == "level" else types.get(name, "keyword")


def maker(names: Sequence[str], types: Mapping[str, str], tags: Sequence[str] = ()) -> Make:
    """What does not fit its type is left out of the documents, and listed in `problems` as `name:reason`."""
    fields = [(name, CONVERTERS.get(type_of(name, types))) for name in names]

    def make(parts: list[str], time: str, place: Place, offset: int) -> Document:
        document: Document = {}
        problems = []
        for (name, convert), text in zip(fields, parts, strict=True):
            if convert is None:
                document[name] = text
            elif isinstance(value := convert(text), str):
                problems.append(f"{name}:{value}")
            else:
                document[name] = value
        if canonical_address(document["ip"]) is None:
            problems.append("ip:noip" if document.pop("ip") == "noip" else "ip:not_an_address")
        if problems:
            document["problems"] = problems
        document |= {"@timestamp": time, "tags": [*tags]}
        document |= {"host": place.host, "source": place.path, "file": place.file, "offset": offset}
        return document

    return make
