"""Brace ranges and lists in paths, as bash expands them."""

from __future__ import annotations

import re
from itertools import product
from typing import Final

from sluice.errors import SourceError

_RANGE: Final = re.compile(r"^(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?$|^([A-Za-z])\.\.([A-Za-z])$")
_MOST: Final = 1_000_000  # names one pattern may stand for


def expand_braces(pattern: str) -> list[str]:
    """Every name that `pattern` stands for, as bash would expand it.

    >>> expand_braces("shard-{008..010}.tar")
    ['shard-008.tar', 'shard-009.tar', 'shard-010.tar']
    >>> expand_braces("{train,val}/{a,b}.csv")
    ['train/a.csv', 'train/b.csv', 'val/a.csv', 'val/b.csv']
    """
    parts = _split(pattern)
    count = 1
    for part in parts:
        count *= len(part)
        if count > _MOST:
            raise SourceError(f"{pattern}: the braces stand for more than {_MOST:,} names; use a glob such as `*.tar`")
    return ["".join(combination) for combination in product(*parts)]


def _split(pattern: str) -> list[list[str]]:
    """The pattern as a list of alternatives, one list a piece; a piece of literal text has one."""
    pieces: list[list[str]] = []
    literal = ""
    at = 0
    while at < len(pattern):
        if pattern[at] == "{":
            end = _closing(pattern, at)
            options = _options(pattern[at + 1 : end]) if end else None
            if options is not None:
                pieces += [[literal], options]
                literal = ""
                at = end + 1
                continue
        literal += pattern[at]
        at += 1
    return [*pieces, [literal]]


def _closing(pattern: str, start: int) -> int:
    depth = 0
    for at in range(start, len(pattern)):
        depth += (pattern[at] == "{") - (pattern[at] == "}")
        if depth == 0:
            return at
    return 0


def _options(body: str) -> list[str] | None:
    """What stands between braces: a range, a list (whose members may hold braces), or neither."""
    match = _RANGE.match(body)
    if match:
        return _range(match)
    depth = 0
    members = [""]
    for character in body:
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            members.append("")
        else:
            members[-1] += character
    if len(members) == 1:
        return None
    return [name for member in members for name in expand_braces(member)]


def _range(match: re.Match[str]) -> list[str]:
    if match[4] is not None:
        first, last = ord(match[4]), ord(match[5])
        return [chr(code) for code in range(first, last + (1 if last >= first else -1), 1 if last >= first else -1)]
    first, last = int(match[1]), int(match[2])
    step = abs(int(match[3] or 1)) or 1
    if abs(last - first) // step >= _MOST:
        raise SourceError(f"{{{match[0]}}} stands for more than {_MOST:,} names; use a glob such as `*.tar`")
    padded = any(re.match(r"-?0\d", number) for number in (match[1], match[2]))
    width = max(len(match[1]), len(match[2])) if padded else 0
    numbers = range(first, last + (1 if last >= first else -1), step if last >= first else -step)
    return [f"{number:0{width}d}" for number in numbers]
