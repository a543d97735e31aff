"""Brackets, quotation marks and Markdown fences that a text opens and never closes."""

from __future__ import annotations

import re
from typing import Final

_CLOSER_OF: Final = dict(zip("([{（【《〈「『［", ")]}）】》〉」』］", strict=True))
_OPENER_OF: Final = {closer: opener for opener, closer in _CLOSER_OF.items()}
_MARKS: Final = re.compile(r"[()\[\]{}（）【】《》〈〉「」『』［］“”„«»]")
_SMILEY: Final = re.compile(r"[:;=8xX]['-]?[()\[\]]")
_STRAIGHT: Final = re.compile(r"(?<!\d)\"")  # 5" is five inches
_FENCE: Final = re.compile(r"```")
_BOLD: Final = re.compile(r"(?<![\w*])\*\*(?=\S)|(?<=\S)\*\*(?!\w)")
_ANY: Final = re.compile(r"[(\[{（【《〈「『［“„«»\"`*]")


def count_unclosed(text: str) -> int:
    r"""How many are opened and never closed. What is only closed, as in "a) red", is none.

    >>> count_unclosed('a sign (red, with "OPEN'), count_unclosed('a 5" nail (steel) „gut“ »ja« a) b :(')
    (2, 0)
    """
    if not _ANY.search(text):
        return 0
    open_marks: list[str] = []
    if _MARKS.search(text):
        for mark in _MARKS.findall(_SMILEY.sub("", text)):
            _take(mark, open_marks)
    count = len(open_marks)
    if '"' in text:
        count += len(_STRAIGHT.findall(text)) % 2
    if "`" in text:
        count += len(_FENCE.findall(text)) % 2
    if "**" in text:
        count += len(_BOLD.findall(text)) % 2
    return count


def _take(mark: str, open_marks: list[str]) -> None:
    """Open or close with `mark`; “ closes a German „, and » and « open in one language and close in another."""
    if mark in _CLOSER_OF or mark == "„":
        open_marks.append(mark)
        return
    openers = {"”": "“„", "“": "„", "»": "«", "«": "»"}.get(mark) or _OPENER_OF.get(mark, "")
    for place in range(len(open_marks) - 1, -1, -1):
        if open_marks[place] in openers:
            del open_marks[place]
            return
    if mark in "“«»":
        open_marks.append(mark)
