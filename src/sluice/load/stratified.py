"""Batches that hold their share of every source, as nearly as whole samples allow.

The share is one of samples, for that is what the weights of a mixture count. In the order of `evenly`, sample j of the
n of a source is due at (j + 1/2) / n (Webster's method, as in `mixture`), so any stretch of m samples holds m times the
source's share to within 1 + share x (sources - 2): to within one sample where two sources are mixed. Batches are such
stretches, whatever they are cut by.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Places: TypeAlias = npt.NDArray[np.int64]
Numbers: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = list[list[int]]  # sequences, each the places of its samples

_TRIES: Final = 8  # at a few sequences more, when as many as there were do not suffice for batches that are alike


def evenly(sources: Numbers, groups: Numbers | None = None) -> Places:
    """The places in an order of which any stretch holds its share; each source keeps its own order.

    Within each of `groups`, which lie one after another, where they are given.

    >>> evenly(np.array([0, 0, 0, 0, 1, 1])).tolist()
    [0, 4, 1, 2, 5, 3]
    """
    runs = np.zeros(len(sources), np.int64)
    if groups is not None and len(groups):
        runs[1:] = np.cumsum(np.diff(groups) != 0)
    _, kinds, counts = np.unique(np.stack([runs, sources]), axis=1, return_inverse=True, return_counts=True)
    kinds = kinds.reshape(-1)
    together = np.argsort(kinds, kind="stable")
    ranks = np.empty(len(sources), np.int64)
    ranks[together] = np.arange(len(sources)) - (np.cumsum(counts) - counts)[kinds[together]]
    return np.lexsort((sources, (ranks + 0.5) / counts[kinds], runs))


def packed_evenly(lengths: Numbers, sources: Numbers, budget: int, most: int) -> list[list[Places]]:
    """Batches of at most `most` sequences of at most `budget` tokens, which every sample must fit in.

    The sources take turns as in `evenly`. Each sample goes where it fits tightest; where the next of its source fits
    nowhere any more, the longest of that source that still does comes instead. The batches have about as many
    sequences each.

    >>> batches = packed_evenly(np.array([5, 7, 3, 2]), np.array([0, 1, 0, 1]), budget=10, most=2)
    >>> [[sequence.tolist() for sequence in batch] for batch in batches]
    [[[0, 3], [1, 2]]]
    """
    if not len(lengths):
        return []
    batches = _packed(lengths, sources, budget, [most])
    count, total = len(batches), sum(map(len, batches))
    # As few batches, but alike: else the last of every window would be a step on a few sequences.
    for more in (0, *(2**power for power in range(_TRIES))):
        if total + more >= count * most:
            break
        edges = [(total + more) * at // count for at in range(count + 1)]
        alike = _packed(lengths, sources, budget, [end - start for start, end in pairwise(edges)])
        if len(alike) <= count:
            batches = alike
            break
    return [[np.sort(np.array(sequence, np.int64)) for sequence in batch] for batch in batches]


def _packed(lengths: Numbers, sources: Numbers, budget: int, sizes: list[int]) -> list[Rows]:
    """Batches one after another, of at most so many sequences each; the last size counts for all that follow."""
    turns = sources[evenly(sources)].tolist()
    waiting = {source: _Waiting(lengths, np.flatnonzero(sources == source)) for source in set(turns)}
    batches: list[Rows] = [[]]
    rooms = _Rooms(budget, sizes[0])
    for source in turns:
        found = waiting[source].take(rooms.largest)
        if found is None:
            batches.append([])
            rooms = _Rooms(budget, sizes[min(len(batches), len(sizes)) - 1])
            found = waiting[source].take(rooms.largest)
        if found is None:
            raise ValueError(f"a sample of more than {budget} tokens fits in no sequence")
        length, place = found
        sequence = rooms.fill(length)
        batch = batches[-1]
        if sequence == len(batch):
            batch.append([])
        batch[sequence].append(place)
    return batches


class _Waiting:
    """The samples of a source that are in no batch yet."""

    def __init__(self, lengths: Numbers, places: Places) -> None:
        # In the order of the window; a plain dict would look for its first through all that was taken from it.
        self._lengths = OrderedDict(zip(places.tolist(), lengths[places].tolist(), strict=True))
        self._sorted = sorted((length, place) for place, length in self._lengths.items())

    def take(self, room: int) -> tuple[int, int] | None:
        """Length and place of the next one, or of the longest that fits in `room`; None where none does."""
        place = next(iter(self._lengths))
        if self._lengths[place] <= room:
            at = bisect_left(self._sorted, (self._lengths[place], place))
        else:
            at = bisect_right(self._sorted, room, key=lambda one: one[0]) - 1
            if at < 0:
                return None
        length, place = self._sorted.pop(at)
        del self._lengths[place]
        return length, place


class _Rooms:
    """What is left in the sequences of a batch."""

    def __init__(self, budget: int, most: int) -> None:
        self._budget, self._unopened = budget, most
        self._left: list[tuple[int, int]] = []  # room and sequence, ascending

    @property
    def largest(self) -> int:
        """The longest sample that fits."""
        return self._budget if self._unopened else self._left[-1][0]

    def fill(self, length: int) -> int:
        """The sequence that a sample of `length` goes to: where it fits tightest, a new one where it must."""
        at = bisect_left(self._left, (length, -1))
        if at < len(self._left):
            room, sequence = self._left.pop(at)
        else:
            room, sequence = self._budget, len(self._left)
            self._unopened -= 1
        insort(self._left, (room - length, sequence))
        return sequence
