"""Who is spoiled, how, and with whose help: a pure function of (count, seed), so that any worker knows it all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final, Literal

import numpy as np

from sluice.synth.scene import LANGUAGES

DETAILS: Final[dict[str, tuple[str, ...]]] = {
    "blur": ("defocus", "shake"),
    "tiny": ("thumbnail",),
    "banner": ("wide", "wide", "tall"),
    "dark": ("underexposed",),
    "truncated": ("cut",),
    "wrong_extension": ("png named .jpg", "jpeg named .png", "webp named .jpg", "jpeg named .webp"),
    "exif_rotated": (
        "orientation 6",
        "orientation 8",
        "orientation 3",
        "orientation 5",
        "orientation 7",
        "orientation 2",
    ),
    "near_duplicate": ("recompressed", "resized", "cropped", "watermarked"),
    "exact_duplicate": ("copied",),
    "mismatched_caption": ("of another image",),
    "attribute_swapped_caption": ("colours",),
    "boilerplate_caption": ("phrase",),
    "file_name_caption": ("file name",),
    "wrong_language_tag": ("declared another",),
    "mojibake": ("utf-8 read as latin-1", "utf-8 read as cp1252"),
    "missing_licence": ("null",),
    "forbidden_licence": ("non-commercial", "no derivatives", "non-commercial, no derivatives"),
}
DEFECTS: Final = tuple(DETAILS)
HARMLESS: Final = ("exif_rotated",)  # unusual, correctly labelled: to be kept
NEEDS_MODEL: Final = ("mismatched_caption", "attribute_swapped_caption")  # only reading both image and text tells
PARTNERED: Final = ("near_duplicate", "exact_duplicate", "mismatched_caption")
SPOILED_SHARE: Final = 0.3
PARTS: Final = ".parts"  # folder in which workers leave what they know, until the world is whole
_REPEATED: Final = 22  # samples that share one boilerplate caption, where there are enough: caught by its repetition
_LANGUAGE_SHARES: Final = (0.4, 0.15, 0.15, 0.15, 0.15)


@dataclass(frozen=True)
class Part:
    """What one sample of the world is to be."""

    index: int
    language: str
    form: Literal["jpg", "png", "webp"]
    defect: str | None = None
    detail: str | None = None
    partner: int | None = None

    @property
    def expected(self) -> Literal["keep", "reject"]:
        """The verdict a perfect filter gives."""
        return "keep" if self.defect is None or self.defect in HARMLESS else "reject"

    @property
    def key(self) -> str:
        """The path of its image, relative to the world's folder."""
        suffix = self.detail.rpartition(".")[2] if self.defect == "wrong_extension" and self.detail else self.form
        return f"images/{self.index:06d}.{suffix}"


def plan(count: int, seed: int) -> tuple[Part, ...]:
    """The parts of a world of `count` samples: about 70% good, the rest spread evenly over the defects.

    >>> parts = plan(2000, 0)
    >>> sum(part.defect is None for part in parts), sum(part.defect == "blur" for part in parts)
    (1400, 36)
    """
    rng = np.random.default_rng((seed, count))
    order = [int(index) for index in rng.permutation(count)]
    languages = rng.choice(LANGUAGES, size=count, p=_LANGUAGE_SHARES)
    foreign = rng.choice(LANGUAGES[1:], size=count)
    forms = rng.choice(("jpg", "png", "webp"), size=count, p=(0.95, 0.025, 0.025))
    planted = list(_planted(round(count * SPOILED_SHARE)))
    spoiled, good = order[: len(planted)], order[len(planted) :]
    partners = iter(good)
    parts: dict[int, Part] = {}
    for index in good:
        parts[index] = Part(index, str(languages[index]), forms[index])
    for index, (defect, detail) in zip(spoiled, planted, strict=True):
        partner = next(partners) if defect in PARTNERED else None
        language = str(foreign[index] if defect == "mojibake" else languages[index])
        if defect == "exact_duplicate" and partner is not None:
            form = parts[partner].form
        elif defect == "wrong_extension":
            form = "jpg" if detail.startswith("jpeg") else "png" if detail.startswith("png") else "webp"
        elif defect in ("near_duplicate", "exif_rotated"):
            form = "jpg"
        else:
            form = forms[index]
        parts[index] = Part(index, language, form, defect, detail, partner)
    return tuple(parts[index] for index in range(count))


def _planted(total: int) -> Iterator[tuple[str, str]]:
    """`total` (defect, detail) pairs, evenly over the defects, details in turn."""
    each, more = divmod(total, len(DEFECTS))
    for number, defect in enumerate(DEFECTS):
        wanted = each + (number < more)
        details = DETAILS[defect]
        if defect == "boilerplate_caption" and wanted > _REPEATED:
            details = ("repeated",) * _REPEATED + ("phrase",) * (wanted - _REPEATED)
        yield from ((defect, detail) for detail in islice(cycle(details), wanted))
