"""Buckets of texts that share a key of a band: which pairs in them may be alike, and which texts crowd together.

A kernel in C does it where it is there, NumPy where it is not; both tell the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from sluice.corpus.alike import Similarities, joined
from sluice.corpus.hamming import Indices
from sluice.corpus.ngrams import Grams, Texts, Words
from sluice.corpus.signatures import Signatures
from sluice.native.calling import LONG, NUMBER, POINTER, REAL, addresses, bound

CROWD: Final = 64  # texts of one key that are compared all with all
_ROOM: Final = 1 << 20  # pairs told at a time


@dataclass(frozen=True)
class Buckets:
    """Texts in the order of their keys: those from starts[i] to before ends[i] share one."""

    text: Indices
    starts: Indices
    ends: Indices


def buckets_of(keys: Words, nodes: Indices, crowd: int = CROWD) -> tuple[Buckets, list[Indices]]:
    """The buckets of two texts to `crowd`; and the texts of each that has more, ascending. `nodes` are looked at."""
    bits = max(1, int(len(keys) - 1).bit_length())
    low = np.uint64((1 << bits) - 1)
    # The number of a text takes the place of a key's lowest bits: one sort of plain numbers. That others of the key may
    # agree by chance costs a comparison.
    ordered = (keys[nodes] & ~low) | nodes.astype(np.uint64)
    ordered.sort()
    same = ((ordered[1:] ^ ordered[:-1]) & ~low) == 0
    text = (ordered & low).astype(np.int64)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2] + 1
    small = ends - starts <= crowd
    large = zip(starts[~small].tolist(), ends[~small].tolist(), strict=True)
    return Buckets(text, starts[small], ends[small]), [text[start:end].copy() for start, end in large]


def candidates(buckets: Buckets, signatures: Signatures, jaccard: float) -> Iterator[Words]:
    """All pairs of a bucket that may have this Jaccard index, as one << 32 | other, the lesser first."""
    kernel = _candidates()
    if kernel is None:
        yield from _candidates_by_numpy(buckets, signatures, jaccard)
        return
    out, found, at = np.empty(_ROOM, np.uint64), np.zeros(1, np.int64), 0
    order, sketch = (
        addresses(buckets.text, buckets.starts, buckets.ends),
        addresses(signatures.counts, signatures.bits),
    )
    while at < buckets.starts.size:
        at = kernel(*order, buckets.starts.size, at, *sketch, jaccard, *addresses(out), _ROOM, *addresses(found))
        yield out[: int(found[0])].copy()


_SKETCH: Final = (POINTER, POINTER)  # counts, bits
_candidates: Final = bound(
    "candidates", POINTER, POINTER, POINTER, LONG, LONG, *_SKETCH, REAL, POINTER, LONG, POINTER, gives=LONG
)


def _candidates_by_numpy(buckets: Buckets, signatures: Signatures, jaccard: float) -> Iterator[Words]:
    length = buckets.ends - buckets.starts
    at = np.repeat(buckets.starts, length) + np.arange(int(length.sum()))
    at -= np.repeat(np.cumsum(length) - length, length)
    end = np.repeat(buckets.ends, length)
    for shift in range(1, int(length.max(initial=0))):
        inside = at + shift < end
        at, end = at[inside], end[inside]
        one, other = buckets.text[at], buckets.text[at + shift]
        may = signatures.may(one, other, jaccard)
        yield as_words(one[may], other[may])


def as_words(one: Indices, other: Indices) -> Words:
    """Pairs as one number each."""
    return np.minimum(one, other).astype(np.uint64) << np.uint64(32) | np.maximum(one, other).astype(np.uint64)


@dataclass(frozen=True)
class Hubs:
    """Of a bucket: the hub of each text's group, and which texts are how like which hubs; all by their places in it."""

    group: Indices
    hub: Indices
    other: Indices
    likeness: Similarities


def hubs_of(texts: Texts, grams: Grams, signatures: Signatures, bucket: Indices, jaccard: float) -> Hubs:
    """The next text that is in no group becomes a hub and takes in those that have this Jaccard index with it.

    Told is, of each hub and each other text, how alike they are: where that is the index t at least; and where the hub
    took any in, where it is 2t - 1 at least.
    """
    group = np.full(bucket.size, -1, np.int64)
    within = max(0.0, 2 * jaccard - 1 - 1e-6)
    if _hubs() is None:
        parts = _hubs_by_numpy(texts, grams, signatures, bucket, (jaccard, within), group)
    else:
        parts = _hubs_by_kernel(texts, grams, signatures, bucket, (jaccard, within), group)
    return Hubs(group, *joined(list(parts)))


_Told = Iterator[tuple[Indices, Indices, Similarities]]


def _hubs_by_kernel(
    texts: Texts, grams: Grams, signatures: Signatures, bucket: Indices, asked: tuple[float, float], group: Indices
) -> _Told:
    kernel = _hubs()
    assert kernel is not None
    room, at = max(_ROOM, 2 * bucket.size + 1), 0
    hub, other, likeness = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.float32)
    found = np.zeros(1, np.int64)
    of_texts = *addresses(texts.data, texts.offsets), grams.words, grams.n
    sketch, out = addresses(signatures.counts, signatures.bits), addresses(group, hub, other, likeness)
    while at < bucket.size:
        at = kernel(*of_texts, *addresses(bucket), bucket.size, at, *sketch, *asked, *out, room, *addresses(found))
        if at < 0:
            raise MemoryError("no memory for the n-grams of a text")
        told = slice(int(found[0]))
        yield hub[told].copy(), other[told].copy(), likeness[told].copy()


_TEXTS: Final = (POINTER, POINTER, NUMBER, NUMBER)  # buffer, offsets, of words, n
_TOLD: Final = (POINTER, POINTER, POINTER, POINTER, LONG, POINTER)  # group, hub, other, likeness, room, how many
_hubs: Final = bound("hubs", *_TEXTS, POINTER, LONG, LONG, *_SKETCH, REAL, REAL, *_TOLD, gives=LONG)


def _hubs_by_numpy(
    texts: Texts, grams: Grams, signatures: Signatures, bucket: Indices, asked: tuple[float, float], group: Indices
) -> _Told:
    while (free := np.flatnonzero(group < 0)).size:
        hub = int(free[0])
        group[hub] = hub
        others = np.delete(np.arange(bucket.size), hub)
        for number, least in enumerate(asked):
            some = others[signatures.may(np.full(others.size, bucket[hub]), bucket[others], least)]
            likeness = grams.jaccard(texts, np.full(some.size, bucket[hub]), bucket[some])
            near = likeness >= np.float32(least)
            yield np.full(int(near.sum()), hub), some[near], likeness[near]
            if number:
                break
            taken = some[near][group[some[near]] < 0]
            group[taken] = hub
            if not taken.size:
                break
            others = np.setdiff1d(others, some[near])
