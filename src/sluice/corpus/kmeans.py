"""Clusters of unit vectors by seeded mini-batch k-means, a block of rows in float32 at a time.

Rows are taken in the order given: hand them over in an order that depends on ids alone, and so do the clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLOCK: Final = 8_192
_BATCH: Final = 4_096

Single = npt.NDArray[np.float32]
Stored = npt.NDArray[np.floating[Any]]


def blocks(vectors: Stored, size: int = BLOCK) -> Iterator[tuple[slice, Single]]:
    """The rows as float32, `size` at a time."""
    for start in range(0, len(vectors), size):
        rows = slice(start, min(start + size, len(vectors)))
        yield rows, vectors[rows].astype(np.float32)


def kmeans(vectors: Stored, k: int, passes: int = 3) -> Single:
    """The centres of `k` clusters (fewer where there are fewer rows), of length 1.

    The first rows are the first centres; each batch moves a centre towards its members by their share of all that it
    has had (Sculley, 2010).

    >>> kmeans(np.array([[1, 0], [0, 1], [1, 0]], np.float16), 2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    centres = vectors[:k].astype(np.float32)
    had = np.zeros(len(centres), np.float32)
    for _ in range(passes if len(centres) else 0):
        for _, rows in blocks(vectors, _BATCH):
            nearest = np.argmax(rows @ centres.T, axis=1)
            order = np.argsort(nearest, kind="stable")
            met, starts, counts = np.unique(nearest[order], return_index=True, return_counts=True)
            sums = np.add.reduceat(rows[order], starts, axis=0)
            had[met] += counts
            step = (counts / had[met])[:, None].astype(np.float32)
            centres[met] += step * (sums / counts[:, None].astype(np.float32) - centres[met])
            length = np.linalg.norm(centres[met], axis=1, keepdims=True)
            centres[met] = np.divide(centres[met], length, out=centres[met], where=length > 0)
    return centres


def nearest_centre(vectors: Stored, centres: Single) -> npt.NDArray[np.int64]:
    """The centre nearest to each row."""
    found = np.empty(len(vectors), np.int64)
    for rows, values in blocks(vectors):
        found[rows] = np.argmax(values @ centres.T, axis=1)
    return found
