"""Vectors as they are stored, of any length but none: taken a few at a time, told apart, compared exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from sluice.corpus.hamming import Indices
from sluice.corpus.kmeans import Single

Half = npt.NDArray[np.float16]

BLOCK: Final = 4_096  # rows


class Vectors(Protocol):
    """Vectors that are held, or lie on disk."""

    def __len__(self) -> int: ...
    def take(self, rows: Indices) -> Half:
        """The vectors in `rows`, as (rows, dim)."""
        ...


class Held:
    """Vectors in memory."""

    def __init__(self, vectors: Half) -> None:
        self._vectors = vectors

    def __len__(self) -> int:
        return len(self._vectors)

    def take(self, rows: Indices) -> Half:
        """The vectors in `rows`, as (rows, dim)."""
        return self._vectors[rows]


def equal_vectors(vectors: Vectors) -> Indices:
    """For each vector the first that is equal to it, bit for bit; -1 where it has no direction (NaN, zeros).

    >>> equal_vectors(Held(np.float16([[1, 0], [0, 1], [1, 0], [0, 0]]))).tolist()
    [0, 1, 0, -1]
    """
    n = len(vectors)
    digest, known = np.zeros(n, np.uint64), np.zeros(n, np.bool_)
    for rows in blocks_of(np.arange(n)):
        values = vectors.take(rows)
        digest[rows] = _digests(values)
        known[rows] = np.isfinite(values).all(axis=1) & values.any(axis=1)
    order = np.argsort(digest, kind="stable")
    first = np.ones(n, np.bool_)
    first[1:] = np.diff(digest[order]) != 0
    node = np.empty(n, np.int64)
    node[order] = order[np.flatnonzero(first)[np.cumsum(first) - 1]] if n else order
    again = np.flatnonzero(node != np.arange(n))
    for rows in blocks_of(again):
        same = (vectors.take(rows).view(np.uint16) == vectors.take(node[rows]).view(np.uint16)).all(axis=1)
        node[rows[~same]] = rows[~same]
    node[~known] = -1
    return node


def exact_cosines(vectors: Half, others: Half) -> Single:
    """The cosine of each with its neighbour, worked out in double precision."""
    one, other = vectors.astype(np.float64), others.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", other, other))
    return (np.einsum("ij,ij->i", one, other) / lengths).astype(np.float32)


def unit(vectors: Half) -> Single:
    """The vectors in single precision, of length 1."""
    single = vectors.astype(np.float32)
    single /= np.sqrt(np.einsum("ij,ij->i", single, single))[:, None]
    return single


def _digests(vectors: Half) -> npt.NDArray[np.uint64]:
    """A number for each vector that equal ones share and others hardly do."""
    words = np.ascontiguousarray(vectors).view(np.uint16).astype(np.uint64)
    odd = np.random.default_rng(1).integers(0, 2**63, words.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    total: Any = words @ odd  # wraps around
    return total


def blocks_of(rows: Indices, size: int = BLOCK) -> Iterator[Indices]:
    """`rows`, so many at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
