"""A tokenizer without a vocabulary: words, and characters where a script has no spaces, hashed to numbers in order.

    settings = HashedWords(length=48, buckets=14_867)
    tokens(["A red ball to the left of a cube."], settings)      # (1, 48) int64, 0 where the text has ended

It depends on nothing, knows every language a little, and keeps the order of words, without which "a red ball and
a blue cube" and "a blue ball and a red cube" would be one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Tokens: TypeAlias = npt.NDArray[np.int64]  # (texts, length)

# Scripts written without spaces: Han, Hiragana and Katakana, Thai to Lao, Myanmar, Khmer.
_DENSE: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PIECE: Final = re.compile(f"[{_DENSE}]+|[^\\W_{_DENSE}]+")
_DENSE_START: Final = re.compile(f"[{_DENSE}]")
_FNV_BASIS: Final = 0x811C9DC5
_FNV_PRIME: Final = 0x01000193


@dataclass(frozen=True)
class HashedWords:
    """What a text becomes.

    `characters`: how many characters in a row make a token in scripts without spaces. `ngrams`: the same inside words,
    each after the word itself, between `<` and `>`. Both are part of a model's identity.
    """

    length: int = 48  # tokens a text; what is longer is cut
    buckets: int = 14_867  # ids run from 1 to this; 0 is padding. Of the 645 words of the worlds 4 share theirs
    characters: tuple[int, ...] = (1, 2)
    ngrams: tuple[int, ...] = ()


def tokens(texts: Sequence[str], settings: HashedWords) -> Tokens:
    """The texts as numbers.

    >>> tokens(["A ball", "a BALL!"], HashedWords(length=3)).tolist()
    [[9505, 341, 0], [9505, 341, 0]]
    """
    table = np.zeros((len(texts), settings.length), dtype=np.int64)
    for row, text in zip(table, texts, strict=True):
        ids = [_bucket(piece, settings.buckets) for piece in pieces(text, settings)][: settings.length]
        row[: len(ids)] = ids
    return table


def pieces(text: str, settings: HashedWords) -> Iterator[str]:
    """What is hashed, in the order of the text.

    >>> list(pieces("Zwei rote Bälle 红球", HashedWords()))
    ['zwei', 'rote', 'bälle', '红', '红球', '球']
    """
    for found in _PIECE.findall(text.lower()):
        if _DENSE_START.match(found):
            for start in range(len(found)):
                yield from (found[start : start + n] for n in settings.characters if start + n <= len(found))
            continue
        yield found
        framed = f"<{found}>"
        for n in settings.ngrams:
            yield from (framed[start : start + n] for start in range(len(framed) - n + 1))


@lru_cache(maxsize=65_536)
def _bucket(piece: str, buckets: int) -> int:
    """FNV-1a, 32 bit, of the UTF-8, shared out over 1 to `buckets`."""
    value = _FNV_BASIS
    for byte in piece.encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value % buckets + 1
