"""Retrieval: does the right caption stand among the first few for an image, and the right image for a caption?

The pools are all images and all distinct texts of a sample. Equal texts are one text, right for each image it stands
on; of several captions of an image any is right. A wrong one that ties with the right one stands before it: an
encoder that says the same of everything finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.intervals import wilson

Indices = npt.NDArray[np.int64]
Related = tuple[Indices, Indices]
Flags = npt.NDArray[np.bool_]
Vectors = npt.NDArray[np.floating[Any]]

FEWEST: Final = 50  # queries: a slice with fewer is reported and fails nothing
_BLOCK: Final = 4_000_000  # cosines held at a time
_EXAMPLES: Final = 5


@dataclass(frozen=True)
class Slice:
    """The queries of one kind."""

    direction: str  # image_to_text | text_to_image
    by: str  # all | language | source | size
    value: str
    hits: int
    queries: int
    pool: int  # candidates each query chose from
    interval: tuple[float, float]  # of the share, Wilson, 95%
    judged: bool  # whether there are enough queries to fail
    missed: tuple[str, ...]  # ids of a few samples that were not found

    @property
    def share(self) -> float:
        """The share of queries whose right partner stood among the first."""
        return self.hits / max(1, self.queries)


def ranks(
    queries: Vectors, pool: Vectors, right: Related, neutral: Related | None = None, block: int = _BLOCK
) -> npt.NDArray[np.int64]:
    """The place of the best right candidate of each query, from 1; each query has one. Memory is bounded by `block`.

    `right`: a query and a candidate that belong together, in pairs; those in `neutral` are not looked at.

    >>> eye = np.eye(3)
    >>> ranks(eye, eye, (np.arange(3), np.array([0, 1, 1]))).tolist()
    [1, 1, 3]
    """
    wanted = _by_query(right)
    unseen = _by_query(neutral) if neutral is not None else None
    columns = np.ascontiguousarray(pool.astype(np.float32).T)
    result = np.zeros(len(queries), np.int64)
    step = max(1, block // max(1, len(pool)))
    for start in range(0, len(queries), step):
        scores = queries[start : start + step].astype(np.float32) @ columns
        rows, places = _between(wanted, start, start + len(scores))
        best = np.full(len(scores), -np.inf, np.float32)
        np.maximum.at(best, rows, scores[rows, places])
        if unseen is not None:
            scores[_between(unseen, start, start + len(scores))] = -np.inf
        scores[rows, places] = -np.inf
        result[start : start + len(scores)] = 1 + np.count_nonzero(scores >= best[:, None], axis=1)
    return result


def _by_query(related: Related) -> Related:
    order = np.argsort(related[0], kind="stable")
    return related[0][order], related[1][order]


def _between(related: Related, start: int, end: int) -> Related:
    """The pairs of the queries from `start` to `end`, these counted from `start`."""
    low, high = np.searchsorted(related[0], [start, end])
    return related[0][low:high] - start, related[1][low:high]


def slices(direction: str, by: str, values: Sequence[str], found: Flags, pool: int, ids: Sequence[str]) -> list[Slice]:
    """The queries counted by what `values` says of each."""
    told = np.array(values, dtype=object)
    return [
        _slice(direction, by, value, np.flatnonzero(told == value), found, pool, ids) for value in sorted(set(values))
    ]


def _slice(
    direction: str, by: str, value: str, rows: npt.NDArray[np.intp], found: Flags, pool: int, ids: Sequence[str]
) -> Slice:
    hits = int(np.count_nonzero(found[rows]))
    missed = tuple(ids[int(row)] for row in rows[~found[rows]][:_EXAMPLES])
    return Slice(direction, by, value, hits, len(rows), pool, wilson(hits, len(rows)), len(rows) >= FEWEST, missed)
