"""LIKE in linear time: DuckDB's own matcher backtracks as soon as a pattern holds `_`; RE2 never does."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile(r"([^\w\s])", re.ASCII)


def like_sql(value: str, pattern: str, escape: str, any_case: bool) -> str:
    """The SQL of `value LIKE pattern`; with `any_case`, of ILIKE.

    >>> like_sql('"text"', "%dog%", "", any_case=False)
    '("text" LIKE \\'%dog%\\')'
    >>> like_sql('"text"', "IMG!_%", "!", any_case=False)
    'regexp_full_match("text", \\'(?s)IMG_.*\\')'
    """
    pieces = _pieces(pattern, escape)
    plain = all(wildcard == (piece == "%") and (wildcard or not {"%", "_"} & set(piece)) for piece, wildcard in pieces)
    if plain:
        written = "".join(piece for piece, _ in pieces)
    else:
        written = "(?s)" + "".join(_as_regex(piece, wildcard) for piece, wildcard in pieces)
    constant = "'" + written.replace("'", "''") + "'"
    if any_case:
        value, constant = f"lower({value})", f"lower({constant})"
    return f"({value} LIKE {constant})" if plain else f"regexp_full_match({value}, {constant})"


def _pieces(pattern: str, escape: str) -> list[tuple[str, bool]]:
    """The characters of a pattern, each with whether it is a wildcard."""
    if len(escape) > 1:
        raise ValueError("an ESCAPE of more than one character")
    pieces: list[tuple[str, bool]] = []
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            escaped = next(characters, None)
            if escaped is None:
                raise ValueError("a pattern that ends in its escape character")
            pieces.append((escaped, False))
        else:
            pieces.append((character, character in "%_"))
    return pieces


def _as_regex(piece: str, wildcard: bool) -> str:
    if wildcard:
        return ".*" if piece == "%" else "."
    return _SPECIAL.sub(r"\\\1", piece) if piece.isascii() else piece
