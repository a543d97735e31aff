"""Left and right in texts: whether a text speaks of them, and the text of the mirrored image, where that is safe.

`right` may mean correct, `left` gone: a word is exchanged only where what stands beside it makes it a side. A text with
one that is not understood so is not rewritten at all, and its image is not mirrored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sluice.caption.facts import quoted, sides

_END: Final = r"(?=\s*(?:$|[.,;:!?)\]]|{})|\s+(?:{})\b)"


def _end(letters: str, *words: str) -> str:
    """What may follow: the end, a mark, one of `letters` at once, or one of `words`."""
    return _END.format(letters or "$", "|".join(words))


_EN_END: Final = _end(
    "",
    r"of(?! way\b)",
    *("and", "while", "there", "a", "an", "in the"),
    *("is", "are", "was", "were", "has", "stands?", "sits?", "looks?", "holds?", "wears?"),
)
_EN_PART: Final = (
    "side|half|third|part|corner|edge|end|border|hand|foreground|background|arm|leg|foot|eye|ear|shoulder|wall|lane|"
    "wing|page|column|panel"
)
_EN_GO: Final = "fac(?:ing|es)|turn(?:s|ed|ing)|look(?:s|ing)|point(?:s|ing)|head(?:s|ing)|mov(?:es|ing)|lean(?:s|ing)"
_DE_PART: Final = (
    "(?:(?:ober|unter|vorder|hinter)e[mnrs]? )?"
    "(?:Seite|Hälfte|Hand|Rand|Ecke|Teil|Arm|Bein|Fuß|Auge|Ohr|Schulter|Ufer|Spalte|Bild)"
)
_FR_END: Final = _end("", "d['’]", "de", "du", "des", "et", "est", "sont", "il", "elle", "se", "une?", "on", "dans")
_FR_PART: Final = "main|partie|moitié|aile|jambe|patte|oreille|épaule|rive|porte|page|colonne"
_ES_PART: Final = "la|mano|parte|mitad|esquina|pierna|pata|oreja|orilla|página|columna"

# What is full of writing, or is said to be: rather a flip too few. `reading` is what people do, too.
_WRITING: Final = re.compile(
    r"\b(?:text|texts|letters|lettering|inscriptions?|logos?|watermarks?|captioned|reads|says|written|labell?ed"
    r"|charts?|screenshots?|newspapers?|(?:license|licence|number) plates?"
    r"|(?:auf|in)?schrift\w*|buchstaben|steht geschrieben|\w*diagramm\w*|bildschirmfoto|zeitung\w*|nummernschild\w*"
    r"|texte|lettres|écrite?s?|diagrammes?|graphique|capture d.écran|journal|plaque d.immatriculation"
    r"|texto|letras|inscripción|escrit[oa]s?|dice|gráfic[oa]s?|captura de pantalla|periódico|matrícula)\b"
    "|文字|字样|字樣|写着|寫著|标语|图表|柱状图|条形图|饼图|截图|报纸|车牌",
    re.IGNORECASE,
)
_WORDS: Final[Mapping[str, tuple[str, str]]] = {  # what is exchanged for what, lower case
    "en": ("left", "right"),
    "de": ("link", "recht"),
    "fr": ("gauche", "droite"),
    "es": ("izquierda", "derecha"),
    "zh": ("左", "右"),
}
_ANY: Final[Mapping[str, str]] = {  # words that may speak of a side, beyond those that `facts` knows
    "en": r"\b(?:left|right)(?:most|hand(?:ed)?|wards?|side)?\b",
    "de": r"\b(?:links|rechts)\w*|\b(?:linke|rechte)(?:[mnrs]|rhand|rseits)?\b",
    "fr": r"\b(?:gauch|droit)\w*",
    "es": r"\b(?:izquierd|derech)\w*",
    "zh": "[左右]",
}
_SAFE: Final[Mapping[str, tuple[str, ...]]] = {  # each with one group: the word that is exchanged
    "en": (
        r"(?i:\b(left|right)(?:most|-most|-hand(?:ed)?|hand(?:ed)?|-facing|wards?)\b)",
        rf"(?i:\b(left|right)[ -](?:{_EN_PART})s?\b)",
        r"(?i:\b(?:on|to|at|from|towards?|in)(?: the| its| his| her| their)?"
        rf"(?: far| very| upper| lower| top| bottom)? (left|right)\b{_EN_END})",
        rf"(?i:\b(?:{_EN_GO}) (?:to the )?(left|right)\b{_end('', 'and', 'while')})",
        r"(?i:\b(?:upper|lower|top|bottom)[ -](left|right)\b)",
        r"(?i:\b(left)(?= to right\b))",
        r"(?i:(?<=\bleft to )(right)\b)",
        r"(?i:\b(right)(?= to left\b))",
        r"(?i:(?<=\bright to )(left)\b)",
    ),
    "de": (
        r"\b(link|recht)s\b",
        r"(?:^|[.!?:] +)(Link|Recht)s\b",
        rf"\b(link|recht)e[mnrs]?(?= {_DE_PART})",
        rf"(?:^|[.!?:] +)(Link|Recht)e[mnrs]?(?= {_DE_PART})",
    ),
    "fr": (
        rf"\b(?i:à|de|la|sa|vers la|sur la) (gauche|droite)\b{_FR_END}",
        rf"\b(?i:{_FR_PART}) (gauche|droite)\b",
    ),
    "es": (rf"\b(?i:{_ES_PART})(?: superior| inferior)? (izquierda|derecha)\b",),
    "zh": (r"(左|右)(?=[边邊侧側面方上下手半端角前后後腿脚臂眼耳部])", r"(?<=[向往朝靠])(左|右)(?![左右])"),
}


def speaks_of_sides(text: str) -> bool:
    """Whether any word of `text` may mean left or right, in any language that is known: rather once too often.

    >>> speaks_of_sides("Ein Ball links von einem Würfel."), speaks_of_sides("a bright red bag")
    (True, False)
    """
    return bool(_places(text)) or bool(sides(text, None))


def shows_writing(text: str) -> bool:
    """Whether `text` quotes what is to be read in the image, or names what is full of writing.

    >>> shows_writing("A red sign reading “STOP”."), shows_writing("A bar chart."), shows_writing("A red sign.")
    (True, True, False)
    """
    return bool(quoted(text)) or _WRITING.search(text) is not None


def mirrored_text(text: str, language: str | None) -> str | None:
    """The text with left and right exchanged, case kept; None where one is not surely a side.

    None, too, where the language is not known. What it gives it also turns back.

    >>> mirrored_text("A red ball to the left of a blue cube, on the RIGHT.", "en")
    'A red ball to the right of a blue cube, on the LEFT.'
    >>> mirrored_text("the right answer", "en") is None
    True
    """
    if not speaks_of_sides(text):
        return text
    primary = (language or "").partition("-")[0].lower()
    if primary not in _SAFE:
        return None
    found = _exchanged(text, primary)
    return found if found is not None and _exchanged(found, primary) == text else None


def _exchanged(text: str, language: str) -> str | None:
    safe: dict[int, int] = {}
    for pattern in _SAFE[language]:
        safe |= {match.start(1): match.end(1) for match in re.finditer(pattern, text)}
    unsure = _places(text) - safe.keys()
    if unsure or len(sides(text, None)) > len(safe):
        return None
    left, right = _WORDS[language]
    pieces: list[str] = []
    last = 0
    for start in sorted(safe):
        word = text[start : safe[start]]
        pieces += [text[last:start], _cased(right if word.lower() == left else left, word)]
        last = safe[start]
    return "".join([*pieces, text[last:]])


def _places(text: str) -> set[int]:
    """Where words begin that may mean a side."""
    return {match.start() for pattern in _ANY.values() for match in re.finditer(pattern, text, re.IGNORECASE)}


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word
