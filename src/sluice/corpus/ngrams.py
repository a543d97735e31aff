"""Texts as sets of n-grams: made comparable, each once, and how many n-grams two of them share.

A kernel in C does it where it is there (`sluice.native`), NumPy where it is not; both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.corpus.concepts import fold
from sluice.corpus.hamming import Indices
from sluice.native.calling import LONG, NUMBER, POINTER, addresses, bound
from sluice.table.arrays import distinct_numbers
from sluice.table.compute import pc

Unit = Literal["character", "word"]
Words = npt.NDArray[np.uint64]

BASE: Final = 0x9E3779B97F4A7C15
_SPACE: Final = 32


@dataclass(frozen=True)
class Texts:
    """Texts as they are compared, one after the other in a buffer of UTF-8; text i begins at `offsets[i]`."""

    data: npt.NDArray[np.uint8]
    offsets: Indices

    def __len__(self) -> int:
        return self.offsets.size - 1

    def __getitem__(self, text: int) -> str:
        return self.data[self.offsets[text] : self.offsets[text + 1]].tobytes().decode()


def folded(texts: pa.Array | Sequence[str | None]) -> Texts:
    """The texts without what does not tell them apart: compatible forms, letter case, white space; null is empty.

    >>> folded(["A  Red\\tCUBE ", None])[0]
    'a red cube'
    """
    column: Any = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    column = pc.fill_null(column.cast(pa.large_string()), "")
    foreign = np.flatnonzero(~pc.string_is_ascii(column).to_numpy(zero_copy_only=False))
    if len(foreign):
        said = [fold(text) for text in column.take(pa.array(foreign)).to_pylist()]
        mask = np.zeros(len(column), np.bool_)
        mask[foreign] = True
        column = pc.replace_with_mask(column, pa.array(mask), pa.array(said, pa.large_string()))
    _, places, data = column.buffers()
    offsets = np.frombuffer(places, np.int64)[column.offset : column.offset + len(column) + 1]
    raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    kernel = _fold()
    if kernel is None:
        return _folded_by_numpy(raw, offsets)
    out, ends = np.empty(int(offsets[-1] - offsets[0]), np.uint8), np.empty(offsets.size, np.int64)
    length = kernel(*addresses(raw, offsets), offsets.size - 1, *addresses(out, ends))
    return Texts(out[:length], ends)


_fold: Final = bound("fold", POINTER, POINTER, LONG, POINTER, POINTER, gives=LONG)


def distinct(texts: Texts) -> tuple[Texts, Indices]:
    """The texts, each once in order of appearance, and for each text its number among them."""
    whole: Any = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(texts.offsets), pa.py_buffer(texts.data))
    encoded = whole.dictionary_encode()
    words: Any = encoded.dictionary
    _, ends, data = words.buffers()
    offsets = np.frombuffer(ends, np.int64)[: len(words) + 1]
    raw = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return Texts(raw, offsets), encoded.indices.to_numpy().astype(np.int64)


@dataclass(frozen=True)
class Grams:
    """What texts are made of: n-grams of characters or words. A text with fewer than `n` of them is one n-gram."""

    unit: Unit = "character"
    n: int = 5

    def jaccard(self, texts: Texts, one: Indices, other: Indices) -> npt.NDArray[np.float32]:
        """The share of the n-grams of either text that both have, for each pair; 1 where both are empty.

        >>> texts = folded(["a red cube", "a red ball"])
        >>> Grams("word", 1).jaccard(texts, np.array([0]), np.array([1])).tolist()
        [0.5]
        """
        shared, either = np.zeros(one.size, np.int64), np.zeros(one.size, np.int64)
        kernel = _shared()
        if kernel is None:
            self._shared_by_numpy(texts, one, other, shared, either)
        elif one.size:
            one, other = (np.ascontiguousarray(column, np.int64) for column in (one, other))
            of_texts = *addresses(texts.data, texts.offsets), self.words, self.n
            if kernel(*of_texts, *addresses(one, other), one.size, *addresses(shared, either)):
                raise MemoryError("no memory for the n-grams of a text")
        return np.divide(shared, either, out=np.ones(one.size), where=either > 0).astype(np.float32)

    @property
    def words(self) -> int:
        """Whether an n-gram is made of words, as the kernels take it."""
        return int(self.unit == "word")

    def hashes(self, texts: Texts, first: int, last: int) -> tuple[Words, Indices]:
        """The hashes of the n-grams of the texts from `first` to `last`, by NumPy, and how many each text has."""
        said = texts.data[texts.offsets[first] : texts.offsets[last]]
        points = np.frombuffer(said.tobytes().decode().encode("utf-32-le"), np.uint32).astype(np.uint64)
        start = np.concatenate([[0], np.cumsum((said & 0xC0) != 0x80)])[
            texts.offsets[first : last + 1] - texts.offsets[first]
        ]
        count = np.diff(start)
        if self.unit == "word":
            points, count = _hashed_words(points, start)
        before = np.cumsum(count) - count
        size = np.minimum(self.n, count)  # a short text is one n-gram
        grams = np.where(count > 0, count - size + 1, 0)
        owner = np.repeat(np.arange(len(count)), grams)
        place = before[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(grams) - grams, grams)
        found = np.zeros(len(owner), np.uint64)
        for step in range(self.n):
            inside = step < size[owner]
            found[inside] = found[inside] * np.uint64(BASE) + points[place[inside] + step]
        return mixed_hashes(found), grams

    def _shared_by_numpy(self, texts: Texts, one: Indices, other: Indices, shared: Indices, either: Indices) -> None:
        known: dict[int, Words] = {}
        for pair, (left, right) in enumerate(zip(one.tolist(), other.tolist(), strict=True)):
            for text in (left, right):
                if text not in known:
                    known[text] = distinct_numbers(self.hashes(texts, text, text + 1)[0])
            shared[pair] = np.intersect1d(known[left], known[right], assume_unique=True).size
            either[pair] = known[left].size + known[right].size - shared[pair]


_shared: Final = bound(
    "shared", POINTER, POINTER, NUMBER, NUMBER, POINTER, POINTER, LONG, POINTER, POINTER, gives=NUMBER
)


def _hashed_words(points: Words, start: Indices) -> tuple[Words, Indices]:
    """The hashes of the words between spaces, and how many each text has; `start` says where texts begin and end."""
    edge = np.zeros(len(points) + 1, np.bool_)
    edge[start] = True
    space = points == _SPACE
    begins = ~space & (edge[:-1] | np.concatenate([[True], space[:-1]]))
    letters = np.flatnonzero(~space)
    word = np.cumsum(begins)[letters] - 1
    first = np.flatnonzero(begins)
    power = np.ones(int((letters - first[word]).max(initial=0)) + 1, np.uint64)
    power[1:] = np.multiply.accumulate(np.full(len(power) - 1, BASE, np.uint64))
    weighed = points[letters] * power[letters - first[word]]
    begun = np.flatnonzero(np.diff(word, prepend=-1))
    hashes = np.add.reduceat(weighed, begun) if len(begun) else weighed
    return mixed_hashes(hashes), np.diff(np.concatenate([[0], np.cumsum(begins)])[start])


def mixed_hashes(x: Words) -> Words:
    """The finaliser of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _folded_by_numpy(raw: npt.NDArray[np.uint8], offsets: Indices) -> Texts:
    raw = raw[offsets[0] : offsets[-1]]
    start = offsets - offsets[0]
    upper = (raw >= ord("A")) & (raw <= ord("Z"))
    low = np.where(upper, raw + np.uint8(32), raw)
    space = (raw == _SPACE) | ((raw >= 9) & (raw <= 13)) | ((raw >= 28) & (raw <= 31))
    letters = np.flatnonzero(~space)
    text = np.searchsorted(start, letters, side="right") - 1
    # A space stands between two letters of one text that had some between them.
    gap = np.zeros(len(letters), np.int64)
    gap[1:] = (np.diff(letters) > 1) & (np.diff(text) == 0)
    place = np.arange(len(letters)) + np.cumsum(gap)
    out = np.full(int(place[-1]) + 1 if len(place) else 0, _SPACE, np.uint8)
    out[place] = low[letters]
    length = np.bincount(text, minlength=len(start) - 1) + np.bincount(text, gap, minlength=len(start) - 1)
    return Texts(out, np.concatenate([[0], np.cumsum(length)]).astype(np.int64))
