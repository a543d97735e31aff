"""The constants that a rule compares columns with: what a plot draws as a line, what makes an example borderline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import Final

_COLUMN: Final = r'(?:"(?P<{0}q>[^"]+)"|(?P<{0}>[A-Za-z_]\w*))'
_NUMBER: Final = r"(?P<{0}>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_SIGN: Final = r"\s*(?P<sign><=|>=|<>|!=|==|=|<|>)\s*"
_RIGHT: Final = re.compile(_COLUMN.format("c") + _SIGN + _NUMBER.format("n") + r"(?![\w.])(?!\s*[-+*/%|])")
_LEFT: Final = re.compile(r"(?<![\w.\"])" + _NUMBER.format("n") + _SIGN + _COLUMN.format("c") + r"(?!\s*[-+*/%|(.])")
_BETWEEN: Final = re.compile(
    _COLUMN.format("c") + r"\s+BETWEEN\s+" + _NUMBER.format("n") + r"\s+AND\s+" + _NUMBER.format("m"), re.IGNORECASE
)
_STRINGS: Final = re.compile(r"'(?:[^']|'')*'")
_ARITHMETIC: Final = tuple("+-*/%|.")


@dataclass(frozen=True)
class Threshold:
    """A rule compares `column` with `value`."""

    column: str
    value: float
    rule: str = ""


def thresholds(rule: str, sql: str) -> tuple[Threshold, ...]:
    """The columns that the condition `sql` compares with a constant, each pair once, in order of appearance.

    What compares more than a bare column (`sharpness / contrast < 3`) has no place on one column's axis.

    >>> [(t.column, t.value) for t in thresholds("size", "min_side < 64 OR 3.5 <= aspect")]
    [('min_side', 64.0), ('aspect', 3.5)]
    >>> thresholds("relative", "sharpness < 2 * contrast")
    ()
    """
    text = _STRINGS.sub("''", sql)
    found: dict[tuple[int, int], tuple[str, float]] = {}
    for match in _BETWEEN.finditer(text):
        found[match.start(), 0] = _column(match), float(match["n"])
        found[match.start(), 1] = _column(match), float(match["m"])
    for pattern in (_RIGHT, _LEFT):
        for match in pattern.finditer(text):
            if not text[: match.start()].rstrip().endswith(_ARITHMETIC):
                found[match.start(), 0] = _column(match), float(match["n"].replace("_", ""))
    pairs = (pair for _, pair in sorted(found.items()) if isfinite(pair[1]))
    return tuple(dict.fromkeys(Threshold(*pair, rule) for pair in pairs))


def _column(match: re.Match[str]) -> str:
    return match["cq"] or match["c"]


def loosened(sql: str) -> str | None:
    """The condition with its first threshold moved by a quarter: something to try; None where it has none.

    >>> loosened("sharpness < 20 OR aspect > 3")
    'sharpness < 15 OR aspect > 3'
    >>> loosened("aspect > 3")
    'aspect > 3.75'
    """
    match = _RIGHT.search(_STRINGS.sub(lambda found: "'" * len(found[0]), sql))
    if match is None or not float(match["n"].replace("_", "")):
        return None
    value = float(match["n"].replace("_", ""))
    factor = 0.75 if match["sign"].startswith("<") else 1.25
    return f"{sql[: match.start('n')]}{value * factor:.4g}{sql[match.end('n') :]}"
