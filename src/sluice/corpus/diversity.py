"""Choosing a few of many unit vectors that serve all others best: facility location.

Vectors stay as stored (float16); a block at a time is made float32.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.kmeans import Stored, blocks

Indices = npt.NDArray[np.int64]

_FRESH: Final = 64  # gains brought up to date at once
_REFERENCE: Final = 4_096


def facility_location(vectors: Stored, size: int, reference: int = _REFERENCE) -> Indices:
    """`size` rows that serve the first `reference` rows best: each served by the chosen one most like it (lazy greedy).

    The sum runs over the first `reference` rows, a sample where rows are in a random order; all rows may be chosen.
    A gain only shrinks as more is chosen, so an old gain is a bound, and only the largest are worked out anew.

    >>> facility_location(np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], np.float16), 1).tolist()
    [1]
    """
    size = min(size, len(vectors))
    asking = vectors[:reference].astype(np.float32)
    served = np.zeros(len(asking), np.float32)
    gains = np.empty(len(vectors), np.float64)
    for rows, values in blocks(vectors, 1_024):
        gains[rows] = np.maximum(values @ asking.T, 0).sum(axis=1, dtype=np.float64)
    old = np.zeros(len(vectors), np.int64)  # with how many chosen each gain was worked out
    chosen: list[int] = []
    while len(chosen) < size:
        best = int(np.argmax(gains))
        if old[best] != len(chosen):
            top = np.argpartition(-gains, min(_FRESH, len(gains)) - 1)[:_FRESH]
            stale = np.union1d(top[old[top] != len(chosen)], [best])
            likeness = vectors[stale].astype(np.float32) @ asking.T
            gains[stale] = np.maximum(likeness - served, 0).sum(axis=1, dtype=np.float64)
            gains[chosen] = -1
            old[stale] = len(chosen)
            continue
        chosen.append(best)
        np.maximum(served, asking @ vectors[best].astype(np.float32), out=served)
        gains[best] = -1
        old[best] = size + 1
    return np.asarray(chosen, np.int64)


def facility_stochastic(
    vectors: Stored, size: int, reference: int = _REFERENCE, miss: float = 0.1, seed: int = 0
) -> Indices:
    """The same, each pick the best of a random sample of the rows (Mirzasoleiman et al., 2015): for large `size`.

    The samples have rows / size * log(1 / miss) rows, which makes the work independent of `size`; what is served is
    on average at least 1 - 1 / e - `miss` of the most that can be.

    >>> sorted(facility_stochastic(np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float16), 3).tolist())
    [0, 1, 2]
    """
    size = min(size, len(vectors))
    asking = vectors[:reference].astype(np.float32)
    served = np.zeros(len(asking), np.float32)
    left = np.arange(len(vectors))  # its first part: what is not chosen yet
    some = math.ceil(len(vectors) / max(size, 1) * math.log(1 / miss))
    drawing = np.random.default_rng(seed)
    chosen: list[int] = []
    for remaining in range(len(vectors), len(vectors) - size, -1):
        places = drawing.integers(0, remaining, min(some, remaining))
        likeness = vectors[left[places]].astype(np.float32) @ asking.T
        best = int(np.argmax(np.maximum(likeness - served, 0).sum(axis=1, dtype=np.float64)))
        chosen.append(int(left[places[best]]))
        np.maximum(served, likeness[best], out=served)
        left[places[best]] = left[remaining - 1]
    return np.asarray(chosen, np.int64)
