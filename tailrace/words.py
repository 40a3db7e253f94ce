"""How amounts are said."""


def amount(number: int, one: str, many: str | None = None) -> str:
    """`1 file`, `2,000 files`; `many` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
