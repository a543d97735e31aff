"""Batches of samples that are alike, by a token budget: the longest sample times the count stays within it.

A window is sorted into buckets, by length or by the shape of the image; each bucket is cut into batches in the order
of its samples, and what a bucket leaves over goes on into the next shorter one. Then the batches are shuffled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.load.stratified import evenly

Places: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.int64]
Shuffle: TypeAlias = Callable[[int], Places]  # a permutation of so many, such as philox.permutation under a key

RATIO: Final = 1.1
# Width to height of what batches of images are cropped or padded to; between two, the nearer by ratio.
ASPECTS: Final = (1 / 4, 1 / 3, 1 / 2, 9 / 16, 2 / 3, 3 / 4, 1.0, 4 / 3, 3 / 2, 16 / 9, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Batched:
    """Batches, each the places of its samples in the window; and the places that fit in none."""

    batches: tuple[Places, ...]
    too_long: Places  # longer than the budget: whoever batches must say what becomes of them


def length_buckets(lengths: Numbers, ratio: float = RATIO) -> Numbers:
    """The bucket of each length: in a bucket, none is more than about `ratio` times as long as another.

    >>> length_buckets(np.array([1, 2, 100, 101, 120])).tolist()
    [0, 1, 37, 37, 39]
    """
    if ratio <= 1:
        raise ValueError(f"a bucket's longest is more than once as long as its shortest, not {ratio} times")
    edges = [1]
    longest = int(lengths.max(initial=1))
    while edges[-1] <= longest:
        edges.append(max(edges[-1] + 1, int(edges[-1] * ratio)))  # multiplied, not by powers: the same everywhere
    return np.maximum(np.searchsorted(edges, lengths, side="right") - 1, 0).astype(np.int64)


def aspect_buckets(widths: Numbers, heights: Numbers, aspects: tuple[float, ...] = ASPECTS) -> Numbers:
    """The place in `aspects` (width / height, ascending) of the shape nearest to each image's; -1 for no image.

    >>> aspect_buckets(np.array([640, 480, 500, 0]), np.array([480, 640, 500, 0])).tolist()
    [7, 5, 6, -1]
    """
    if not aspects or min(aspects) <= 0 or list(aspects) != sorted(set(aspects)):
        raise ValueError(f"aspects are widths to heights above 0, ascending, not {aspects}")
    present = (widths > 0) & (heights > 0)
    aspect = np.where(present, widths, 1) / np.where(present, heights, 1)
    between = np.sqrt([low * high for low, high in pairwise(aspects)])
    return np.where(present, np.searchsorted(between, aspect, side="left"), -1)


def batch_buckets(
    lengths: Numbers,
    buckets: Numbers,
    budget: int,
    shuffle: Shuffle,
    merge: bool = True,
    sources: Numbers | None = None,
) -> Batched:
    """Cut samples of `lengths` tokens, each in one of `buckets`, into batches of at most `budget` tokens, padding too.

    `merge`: what a bucket leaves over, too little for a batch, goes on into the next lower one; else it is a small
    batch of its own, as buckets of shapes need.

    `sources`, where given: each batch holds its share of each. The longest of every source come together, then the
    next, so where sources differ in length a batch does too; buckets that are not merged hold their own shares.

    >>> lengths, buckets = np.array([4, 9, 4, 9, 4]), np.array([0, 1, 0, 1, 0])
    >>> batched = batch_buckets(lengths, buckets, 18, shuffle=np.arange)
    >>> [batch.tolist() for batch in batched.batches]
    [[1, 3], [0, 2, 4]]
    """
    if budget < 1:
        raise ValueError(f"a batch has a token at least, not {budget}")
    fits = lengths <= budget
    order = np.argsort(-buckets, kind="stable")
    order = order[fits[order]]
    if sources is not None:
        order = order[evenly(sources[order], None if merge else buckets[order])]
    found: list[list[int]] = []
    batch: list[int] = []
    longest, bucket_before = 0, None
    for place, length, bucket in zip(order.tolist(), lengths[order].tolist(), buckets[order].tolist(), strict=True):
        higher = max(longest, length)
        if batch and (higher * (len(batch) + 1) > budget or not (merge or bucket == bucket_before)):
            found.append(batch)
            batch, higher = [], length
        batch.append(place)
        longest, bucket_before = higher, bucket
    if batch:
        found.append(batch)
    shuffled = shuffle(len(found)).tolist()
    return Batched(tuple(np.array(found[at], np.int64) for at in shuffled), np.flatnonzero(~fits))
