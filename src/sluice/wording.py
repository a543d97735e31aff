"""How numbers are said to a person."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """`number` of things: one is `one`, several are `many` (`one` and an s).

    >>> counted(1, "line"), counted(1200, "line"), counted(0, "entry", "entries")
    ('1 line', '1,200 lines', '0 entries')
    """
    return f"{number:,} {noun(number, one, many)}"


def noun(number: int, one: str, many: str | None = None) -> str:
    """The word alone, where the number stands elsewhere.

    >>> noun(1, "names", "name")
    'names'
    """
    return one if number == 1 else many or f"{one}s"
