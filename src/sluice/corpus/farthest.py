"""Farthest-first choice (k-center, greedy): always the row least like any chosen so far.

Likeness to what is chosen only grows. So what a row was found to have is a bound for good, and a row is looked at
again only when its bound is among the lowest: most rows are soon like something chosen, and are then left alone.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.corpus.kmeans import BLOCK, Stored

Indices = npt.NDArray[np.int64]
Bounds = npt.NDArray[np.float32]
_Limit: TypeAlias = tuple[np.float32, int]  # bound and row of the first that is not among those looked at

_LEAST: Final = 1_024  # rows brought up to date at once, and most that may be picked among
_ENOUGH: Final = 16  # picks that are worth the look at all bounds


def farthest_first(vectors: Stored, size: int, least: int = _LEAST) -> Indices:
    """`size` rows, the first row first, then always the one least like any chosen so far; ties go to the earlier row.

    The choice is the exact greedy one, to the rounding of float32.

    >>> farthest_first(np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float16), 3).tolist()
    [0, 3, 2]
    """
    size = min(size, len(vectors))
    if not size:
        return np.zeros(0, np.int64)
    choice = _Choice(vectors, least)
    some = len(vectors)  # the first look is at all rows
    while len(choice.chosen) < size:
        picked = choice.pick(some, size)
        if some == len(vectors):
            some = least
        elif picked < _ENOUGH:
            some = min(some * 2, len(vectors) - 1)
        elif picked > 4 * _ENOUGH:
            some = max(some // 2, least)
    return np.asarray(choice.chosen, np.int64)


class _Choice:
    """What is chosen, and of each row: the most that it is known to be like any of the first `met` that were chosen."""

    def __init__(self, vectors: Stored, least: int) -> None:
        self.chosen = [0]
        self._vectors = vectors
        self._least = least
        self._bound = np.full(len(vectors), -np.inf, np.float32)
        self._met = np.zeros(len(vectors), np.int32)

    def pick(self, some: int, size: int) -> int:
        """Bring the `some` rows of the lowest bounds up to date and pick those that are below all other bounds."""
        among, limit = _lowest(self._bound, np.arange(len(self._bound)), some)
        self._meet(among)
        self._bound[self.chosen] = np.inf
        among = among[_below(self._bound[among], among, limit)]
        if len(among) > self._least:
            among, limit = _lowest(self._bound[among], among, self._least)
        before = len(self.chosen)
        held = self._vectors[among].astype(np.float32)
        now = self._bound[among]
        while len(among) and len(self.chosen) < size:
            best = int(np.argmin(now))
            if now[best] == np.inf or not _below(now[best : best + 1], among[best : best + 1], limit)[0]:
                break
            self.chosen.append(int(among[best]))
            np.maximum(now, held @ held[best], out=now)
            now[best] = np.inf
        self._bound[among] = now
        self._met[among] = len(self.chosen)
        return len(self.chosen) - before

    def _meet(self, rows: Indices) -> None:
        """Compare `rows` with what was chosen since they were looked at."""
        rows = rows[np.argsort(self._met[rows], kind="stable")]
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            values = self._vectors[some].astype(np.float32)
            for first in range(int(self._met[some[0]]), len(self.chosen), _LEAST):
                centres = self._vectors[self.chosen[first : first + _LEAST]].astype(np.float32)
                self._bound[some] = np.maximum(self._bound[some], (values @ centres.T).max(axis=1))
        self._met[rows] = len(self.chosen)


def _lowest(bound: Bounds, rows: Indices, some: int) -> tuple[Indices, _Limit]:
    """The `some` of the ascending `rows` whose bounds are lowest, earlier rows first, and the next of them."""
    if some >= len(rows):
        return rows, (np.float32(np.inf), len(rows))
    value = np.partition(bound, some)[some]
    below, equal = np.flatnonzero(bound < value), np.flatnonzero(bound == value)
    room = some - len(below)
    return rows[np.sort(np.concatenate([below, equal[:room]]))], (value, int(rows[equal[room]]))


def _below(bound: Bounds, rows: Indices, limit: _Limit) -> npt.NDArray[np.bool_]:
    """Which of `rows` come before `limit`."""
    value, row = limit
    return (bound < value) | ((bound == value) & (rows < row))
