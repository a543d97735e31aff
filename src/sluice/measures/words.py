"""What a word is, in scripts with and without spaces.

- A run of letters and digits, with the combining marks on them, is a word; an apostrophe or hyphen between two
  letters, and a comma, point or colon between two digits, do not end it: "don't", "red-brown" and "12,000" are one.
- Each Han or kana character is a word, as word processors count them: 红色立方体 is five.
- Thai, Lao, Khmer and Myanmar write no spaces either: three letters with their marks are a word (words of
  running text in these scripts have about three letters besides vowel signs and tone marks).

Hangul, Ethiopic, Tibetan and all other scripts do set words apart, and follow the first rule.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Final

HAN: Final = "\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
KANA: Final = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
SPACELESS: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"


_JOINED: Final = r"(?:['’‐-](?=[^\W_])|(?<=[0-9])[.,:](?=[0-9]))"
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+(?:(?:['-](?=[a-z0-9])|(?<=[0-9])[.,:](?=[0-9]))[a-z0-9]+)*")
_PLAIN_WORD: Final = re.compile(rf"[^\W_]+(?:{_JOINED}[^\W_]+)*")
# Only scripts of plain letters (Latin, Greek, Cyrillic, Armenian) and punctuation can do with the quick pattern.
_SPECIAL: Final = re.compile("[^\x00-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u2bff]")
_IDEOGRAPH: Final = f"[{HAN}{KANA}]"
# Where the living scripts keep their combining marks; all code points would take 100 ms, and a class that reaches past
# U+FFFF makes `re` twenty times slower.
_MARK_BLOCKS: Final = (range(0x300, 0x3100), range(0xA66F, 0xAC00), range(0xFB1E, 0xFE30))


def words(text: str) -> list[str]:
    """The words of `text`, casefolded, in order.

    >>> words("The Dog's ball, 12,000 px")
    ['the', "dog's", 'ball', '12,000', 'px']
    >>> words("红色 cube")
    ['红', '色', 'cube']
    >>> len(words("สุนัขวิ่งเล่นบนชายหาด"))  # dog, run, play, on, beach
    6
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = text.casefold()
    return (_word() if _SPECIAL.search(folded) else _PLAIN_WORD).findall(folded)


@cache
def _word() -> re.Pattern[str]:
    """A word in any script; made when the first text needs it, for that takes 20 ms."""
    marks = _ranges(
        point for block in _MARK_BLOCKS for point in block if unicodedata.category(chr(point)).startswith("M")
    )
    letters = f"(?:[^\\W_{HAN}{KANA}{SPACELESS}][{marks}]*)+"
    return re.compile(f"{letters}(?:{_JOINED}{letters})*|[{HAN}{KANA}]|(?:[^\\W_{HAN}{KANA}][{marks}]*){{1,3}}")


def is_ideograph(word: str) -> bool:
    """Whether `word` is one Han or kana character."""
    return len(word) == 1 and re.match(_IDEOGRAPH, word) is not None


def _ranges(points: Iterable[int]) -> str:
    """The body of a character class that holds `points` (ascending)."""
    spans: list[list[int]] = []
    for point in points:
        if spans and point == spans[-1][1] + 1:
            spans[-1][1] = point
        else:
            spans.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)
