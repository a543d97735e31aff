"""Captions of a fit length, cut at the ends of sentences and nowhere else."""

from __future__ import annotations

import re
from typing import Final

from sluice.measures.words import words

# A mark, closing quotation marks or brackets, then white space or the end; Chinese and Japanese need no white space.
_END: Final = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[”’」』）]*")
_ABBREVIATIONS: Final = """
mr mrs ms dr prof st no nos vs approx ca etc eg ie e.g i.e fig inc ltd co jr sr sgt gen
bzw z.b d.h usw nr str evtl ggf u.a m mm mme mlle av bd p.ex sra srta ud p.ej aprox núm avda
"""
_ABBREVIATED: Final = frozenset(_ABBREVIATIONS.split())


def sentences(text: str) -> list[str]:
    """The sentences of `text`, with the white space that follows; joined again they are the text.

    >>> sentences("Dr. Lee holds 3.5 kg. She smiles! 一只狗。很大。")
    ['Dr. Lee holds 3.5 kg. ', 'She smiles! ', '一只狗。', '很大。']
    """
    found: list[str] = []
    start = 0
    for mark in _END.finditer(text):
        rest = text[mark.end() :]
        following = rest.lstrip()
        if following and not _ends(text[start : mark.start()], mark.group(), following):
            continue
        end = mark.end() + len(rest) - len(following)
        found.append(text[start:end])
        start = end
    return [*found, text[start:]] if start < len(text) else found


def _ends(before: str, mark: str, following: str) -> bool:
    """Whether a mark between these ends a sentence: not in `"Stop!" he says`, nor after an initial."""
    if following[0].islower():
        return False
    last = before.rsplit(maxsplit=1)[-1].lstrip("(\"'“„«").lower() if before.split() else ""
    return mark != "." or not (last in _ABBREVIATED or (len(last) == 1 and last.isalpha()))


class OutOfBandError(Exception):
    """A caption that no cut at the end of a sentence brings to a fit length."""


def in_band(text: str, shortest: int = 10, longest: int = 50) -> str:
    """As many whole sentences, from the first, as have `longest` words at most; `OutOfBandError` where none do.

    Words are counted as `sluice.measures.words` does: each Chinese or Japanese character is one.

    >>> in_band("A dog runs along a wide sandy beach at sunset. It is happy.", 5, 11)
    'A dog runs along a wide sandy beach at sunset.'
    """
    kept, count = "", 0
    for sentence in sentences(text.strip()):
        more = len(words(sentence))
        if count + more > longest:
            break
        kept, count = kept + sentence, count + more
    if not kept.strip():
        raise OutOfBandError(f"its first sentence has more than {longest} words")
    if count < shortest:
        raise OutOfBandError(f"it has {count} words in whole sentences, fewer than {shortest}")
    return kept.strip()
