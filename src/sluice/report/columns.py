"""How columns are shown: their title, unit, scale, and which come first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Shown:
    """A column as a person reads it."""

    name: str
    title: str
    unit: str = ""
    log: bool = False
    note: str = ""


SHOWN: Final[dict[str, Shown]] = {
    shown.name: shown
    for shown in (
        Shown("alignment", "Alignment", "", note="cosine of image and caption"),
        Shown("false_accept", "False accept", "", note="share of mismatched pairs that fit as well"),
        Shown("sharpness", "Sharpness", "", True, "Laplacian variance at a fixed scale"),
        Shown("brightness", "Brightness", "", note="mean luma, 0 to 255"),
        Shown("min_side", "Shorter side", "px", True),
        Shown("aspect", "Aspect", "", note="longer side / shorter side"),
        Shown("words", "Words", "words"),
        Shown("language_confidence", "Language confidence", "", note="0 to 1"),
        Shown("jpeg_quality", "JPEG quality", "", note="estimated from the quantisation tables"),
        Shown("bytes", "File size", "bytes", True),
        Shown("contrast", "Contrast", "", note="standard deviation of luma"),
        Shown("entropy", "Entropy", "bits", note="of the luma histogram, 0 to 8"),
        Shown("colourfulness", "Colourfulness", "", note="Hasler and Süsstrunk"),
        Shown("characters", "Characters", "characters"),
        Shown("bits_per_pixel", "Bits per pixel", "bits", True),
        Shown("repeated_word_share", "Repeated words", "", note="share of the words"),
        Shown("repeated_ngram_share", "Repeated n-grams", "", note="share of the n-grams"),
        Shown("letter_share", "Letters", "", note="share of the characters"),
        Shown("digit_share", "Digits", "", note="share of the characters"),
        Shown("capital_share", "Capitals", "", note="share of the letters"),
        Shown("clipped_dark", "Clipped to black", "", note="share of the pixels"),
        Shown("clipped_bright", "Clipped to white", "", note="share of the pixels"),
        Shown("border", "Uniform border", "", note="share of the area"),
        Shown("width", "Width", "px", True),
        Shown("height", "Height", "px", True),
        Shown("pixels", "Pixels", "px", True),
    )
}
MAIN: Final = 10  # of the columns above are shown at once; the others, and those of plugins, on demand
MOST: Final = 36  # distributions in all
_PLAIN: Final = ("orientation", "frames")  # a number without a distribution worth a plot


def shown_columns(names: list[str], judged: set[str]) -> tuple[list[Shown], list[Shown]]:
    """What to show at once (columns that rules judge, then the usual ones) and what on demand.

    >>> [[shown.name for shown in part] for part in shown_columns(["entropy", "mine", "aspect"], {"mine"})]
    [['mine', 'aspect'], ['entropy']]
    """
    known = [SHOWN[name] for name in SHOWN if name in names]
    others = [Shown(name, name.replace("_", " ")) for name in names if name not in SHOWN and name not in _PLAIN]
    usual = set(list(SHOWN)[:MAIN])
    first = [shown for shown in (*known, *others) if shown.name in judged]
    first += [shown for shown in known if shown.name in usual and shown.name not in judged]
    rest = [shown for shown in (*known, *others) if shown not in first]
    return first[:MOST], rest[: max(0, MOST - len(first))]
