"""What a variation of a caption must not change: digits, names in quotation marks, left and right."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_DIGITS: Final = re.compile(r"\d+")
_QUOTED: Final = re.compile(
    '"([^"]+)"|[“„]([^”“]+)[”“]|«\\s*([^»]+?)\\s*»|»([^«]+)«|‹\\s*([^›]+?)\\s*›|「([^」]+)」|『([^』]+)』|'
    r"(?<!\w)['‘‚]([^'’‘]+)['’‘](?!\w)"
)
# Left, then right. German "Rechteck" and English "bright" are none; "right" in "all right" and French "droit" for
# straight count: a variation too many is dropped rather than one with its sides swapped kept.
_SIDES: Final = {
    "en": (r"left(?:most|hand)?(?:-hand)?", r"right(?:most|hand)?(?:-hand)?"),
    "de": (r"links|linke[mnrs]?", r"rechts|rechte[mnrs]?"),
    "fr": (r"gauches?", r"droite?s?"),
    "es": (r"izquierd[oa]s?", r"derech[oa]s?"),
    "it": (r"sinistr[aoie]", r"destr[aoie]"),
    "pt": (r"esquerd[oa]s?", r"direit[oa]s?"),
    "nl": (r"links|linker\w*", r"rechts|rechter\w*"),
    "zh": ("左", "右"),
    "ja": ("左", "右"),
}
SIDED_LANGUAGES: Final = tuple(_SIDES)


def digits(text: str) -> list[str]:
    """The runs of digits, in order, whatever script they are written in.

    >>> digits("3.5 m, ٤٢ and １０"), digits("no. 7")
    (['3', '5', '42', '10'], ['7'])
    """
    return ["".join(str(unicodedata.digit(one)) for one in run) for run in _DIGITS.findall(text)]


def quoted(text: str) -> list[str]:
    """What stands in quotation marks of any kind, in order.

    >>> quoted('A sign says "Café 24", „Bäckerei“ and «Le Bon Pain»; it\\'s open.')
    ['Café 24', 'Bäckerei', 'Le Bon Pain']
    """
    return [next(filter(None, groups)) for groups in _QUOTED.findall(text)]


def sides(text: str, language: str | None) -> str:
    """L and R for each left and right, in order; without a language, those of all that are known.

    >>> sides("A dog left of a cat, a bright cup on the right", "en"), sides("links ein Rechteck, rechts nichts", "de")
    ('LR', 'LR')
    """
    primary = None if language is None else language.partition("-")[0].lower()
    chosen = [_SIDES[primary]] if primary in _SIDES else list(_SIDES.values())
    found: dict[int, str] = {}
    for left, right in chosen:
        for side, words in (("L", left), ("R", right)):
            bounded = words if words in "左右" else rf"\b(?:{words})\b"
            found |= {match.start(): side for match in re.finditer(bounded, text, re.IGNORECASE)}
    return "".join(found[place] for place in sorted(found))


def changed(
    before: str, after: str, before_language: str | None = None, after_language: str | None = None
) -> str | None:
    """What a variation changed that it must not, in words; None where all is kept.

    Their order counts too: whoever swaps two numbers or two sides has changed what is said. Where a language's words
    for left and right are not known, a text with sides in it cannot be checked and counts as changed.

    >>> changed("2 dogs left of 3 cats", "3 dogs left of 2 cats", "en", "en")
    'the digits 2, 3 became 3, 2'
    >>> changed("a dog on the left", "ein Hund auf der linken Seite", "en", "de") is None
    True
    """
    for name, what in (("digits", digits), ("names in quotation marks", quoted)):
        if what(before) != what(after):
            return f"the {name} {', '.join(what(before)) or '(none)'} became {', '.join(what(after)) or '(none)'}"
    was, now = sides(before, before_language), sides(after, after_language)
    for language in (before_language, after_language):
        if language is not None and language.partition("-")[0].lower() not in _SIDES and (was or now):
            return f"left and right cannot be checked in {language}"
    return None if was == now else f"left and right ({was or 'none'}) became {now or 'none'}"
