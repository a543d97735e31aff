"""MinHash signatures of texts, cut into bands; and a sketch of each that tells which two cannot be alike."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.hamming import Indices
from sluice.corpus.ngrams import BASE, Grams, Texts, Words, mixed_hashes
from sluice.native.calling import LONG, NUMBER, POINTER, addresses, bound

_LANES: Final = 32  # as in minhash.c: room for a multiple of it
_BITMAP: Final = 4  # words of 64 bits, as there
_PARTS: Final = 65_536  # texts that a thread takes at a time
_NUMPY_BYTES: Final = 1 << 22  # of text, at a time
_SLACK: Final = 1e-6  # of what is rounded to single precision, and more


@dataclass(frozen=True)
class Signatures:
    """Of texts: a key a band, as (bands, texts), equal where all minima of the band are; and the sketch."""

    keys: Words
    counts: npt.NDArray[np.uint32]  # n-grams, repeated ones too
    bits: Words  # (texts, 4): which of 256 bits the n-grams set

    def may(self, one: Indices, other: Indices, jaccard: float) -> npt.NDArray[np.bool_]:
        """Whether two texts may have this Jaccard index; none that has it is left out.

        A bit in which they differ takes an n-gram that one of them lacks, so as many n-grams differ at least as bits
        do (a bitmap filter: Sandes, Teodoro and Melo, 2017).
        """
        differ = np.bitwise_count(self.bits[one] ^ self.bits[other]).sum(axis=1, dtype=np.int64)
        both = self.counts[one].astype(np.float64) + self.counts[other]
        return both - differ >= (jaccard - _SLACK) * (both + differ)


def signatures(texts: Texts, grams: Grams, bands: int, rows: int, threads: int = 2, first_band: int = 0) -> Signatures:
    """The signatures of texts in `bands` bands of `rows` minima, from band `first_band` on: not all need be held."""
    a, b = _permutations(bands * rows, first_band * rows)
    counts, bits = np.zeros(len(texts), np.uint32), np.zeros((len(texts), _BITMAP), np.uint64)
    found = Signatures(np.empty((bands, len(texts)), np.uint64), counts, bits)
    kernel = _minhash()
    if kernel is None:
        for first, last in _slices(texts):
            _by_numpy(texts, grams, (first, last), (a, b), rows, found)
        return found
    of_texts, drawn, out = addresses(texts.data, texts.offsets), addresses(a, b), addresses(found.keys)
    sketch = addresses(counts, bits)

    def some(first: int) -> int:
        span = first, min(first + _PARTS, len(texts))
        return kernel(*of_texts, *span, grams.words, grams.n, *drawn, bands, rows, *out, len(texts), *sketch)

    with ThreadPoolExecutor(threads) as pool:
        if any(pool.map(some, range(0, len(texts), _PARTS))):
            raise MemoryError("no memory for the n-grams of a text")
    return found


_TEXTS: Final = (POINTER, POINTER, LONG, LONG, NUMBER, NUMBER)  # buffer, offsets, from, to, of words, n
_DRAWN: Final = (POINTER, POINTER, NUMBER, NUMBER)  # a, b, bands, rows
_minhash: Final = bound("minhash", *_TEXTS, *_DRAWN, POINTER, LONG, POINTER, POINTER, gives=NUMBER)


def _by_numpy(
    texts: Texts, grams: Grams, span: tuple[int, int], drawn: tuple[Any, Any], rows: int, found: Signatures
) -> None:
    """The signatures of the texts in `span`, into `found`."""
    a, b = drawn
    some = slice(*span)
    hashes, count = grams.hashes(texts, *span)
    found.counts[some] = count
    owner = np.repeat(np.arange(*span), count)
    word = (hashes >> np.uint64(6) & np.uint64(_BITMAP - 1)).astype(np.int64)
    np.bitwise_or.at(found.bits, (owner, word), np.uint64(1) << (hashes & np.uint64(63)))
    upper = (hashes >> np.uint64(32)).astype(np.uint32)
    has = count > 0
    starts = (np.cumsum(count) - count)[has]
    keys = np.zeros((len(found.keys), span[1] - span[0]), np.uint64)
    for number in range(len(keys) * rows):
        least = np.full(span[1] - span[0], 2**32 - 1, np.uint64)
        if len(starts):
            least[has] = np.minimum.reduceat(upper * a[number] + b[number], starts)
        keys[number // rows] = keys[number // rows] * np.uint64(BASE) + least
    found.keys[:, some] = mixed_hashes(keys)


def _permutations(count: int, first: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """x -> a x + b modulo 2^32, `a` odd: a permutation of numbers of 32 bits; with room as the kernel needs it."""
    room = -(-count // _LANES) * _LANES
    drawn = mixed_hashes(np.arange(first, first + room, dtype=np.uint64) * np.uint64(BASE) + np.uint64(1))
    return (drawn >> np.uint64(32)).astype(np.uint32) | np.uint32(1), drawn.astype(np.uint32)


def _slices(texts: Texts) -> Iterator[tuple[int, int]]:
    """Texts of a bounded length together."""
    first = 0
    while first < len(texts):
        last = int(np.searchsorted(texts.offsets, texts.offsets[first] + _NUMPY_BYTES))
        last = min(max(last, first + 1), len(texts))
        yield first, last
        first = last
