"""All pairs of vectors with at least a cosine: partitions by k-means, compared within, and across where need be.

A vector belongs to the partition of its nearest centre. Two with the cosine t are at most r = sqrt(2 - 2t) apart. If
they lie on either side of the plane between two centres, one of them is within r / 2 of it: so each vector is compared
as a *guest* in every partition whose plane it is that near to, and no pair is missed (`probes=None`). Fewer guests
(`probes`) are faster and miss some. At a high cosine r is small and so are the guests: that is what makes it pay.

Products are made in single precision by BLAS, a tile at a time; whatever comes near the threshold is worked out again
in double precision, where products of float16 are exact, so what counts as a pair does not depend on the machine.

Where many vectors are nearly one (blank images, one logo), their pairs would be as many as the square of them: such a
crowd is told by its hub alone, see `crowds_of`. Still nothing is missed, and nothing told that is not so.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from sluice.corpus.alike import MAX_PAIRS, Alike, alike, joined
from sluice.corpus.crowds import Crowds, crowds_of
from sluice.corpus.hamming import Indices
from sluice.corpus.kmeans import Single, kmeans
from sluice.corpus.unit_vectors import BLOCK, Half, Vectors, blocks_of, exact_cosines, unit
from sluice.errors import RecipeError

_WHOLE: Final = 8_192  # vectors: up to it all are compared with all
_MOST_CENTRES: Final = 4_096
_TRAINED_ON: Final = 64  # vectors a centre
_TILE: Final = 1_024  # rows of one block against all of another
_SLACK: Final = 2e-5  # what single precision may err by, and more


def partitions_for(n: int) -> int:
    """How many partitions `n` vectors are cut into: assigning and comparing then take about the same time."""
    return 1 if n <= _WHOLE else min(_MOST_CENTRES, round(n**0.5))


def similar_pairs(
    vectors: Vectors, rows: Indices, cosine: float, partitions: int | None = None, probes: int | None = None
) -> Alike:
    """All pairs of the vectors in `rows` (distinct, each with a direction) whose cosine is at least `cosine`.

    `probes`: partitions in which a vector may be a guest; None: as many as it takes to miss no pair.

    >>> from sluice.corpus.unit_vectors import Held
    >>> found = similar_pairs(Held(np.float16([[1, 0], [0, 1], [0.8, 0.6]])), np.arange(3), 0.7)
    >>> found.a.tolist(), found.b.tolist(), found.similarity.round(2).tolist()
    ([0], [2], [0.800000011920929])
    """
    centres = _centres(vectors, rows, partitions or partitions_for(len(rows)))
    home, guests = _assigned(vectors, rows, centres, cosine, probes)
    by_home = np.argsort(home, kind="stable")
    edges = np.searchsorted(home[by_home], np.arange(len(centres) + 1))
    guest_row, guest_of = guests
    guest_edges = np.searchsorted(guest_of, np.arange(len(centres) + 1))
    found = _Found(cosine, crowds_of(vectors, rows, cosine))
    for centre in range(len(centres)):
        own = rows[by_home[edges[centre] : edges[centre + 1]]]
        visitors = rows[guest_row[guest_edges[centre] : guest_edges[centre + 1]]]
        _join(vectors, own, visitors, found)
    return found.pairs()


def _centres(vectors: Vectors, rows: Indices, k: int) -> Single:
    """Centres of length 1, learnt on a part of the rows; all rows have one where one is enough."""
    if k <= 1 or len(rows) <= k:
        return np.zeros((1, 1), np.float32)
    some = np.random.default_rng(0).permutation(len(rows))[: k * _TRAINED_ON]
    sample = unit(vectors.take(rows[np.sort(some)]))
    return kmeans(sample[np.argsort(np.argsort(some, kind="stable"), kind="stable")], k)


def _assigned(
    vectors: Vectors, rows: Indices, centres: Single, cosine: float, probes: int | None
) -> tuple[Indices, tuple[Indices, Indices]]:
    """The centre of each row; and the guests, as places in `rows` and centres, sorted by centre."""
    home = np.zeros(len(rows), np.int64)
    if len(centres) == 1:
        return home, (np.zeros(0, np.int64), np.zeros(0, np.int64))
    apart = np.sqrt(np.maximum(0, 2 - 2 * (centres @ centres.T)))
    reach = np.float32(np.sqrt(max(0.0, 2 - 2 * cosine)) / 2 + 1e-3)
    guest, of = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for place in blocks_of(np.arange(len(rows)), max(256, BLOCK * 1_024 // max(1_024, len(centres)))):
        likeness = unit(vectors.take(rows[place])) @ centres.T
        nearest = np.argmax(likeness, axis=1)
        home[place] = nearest
        # Not past the plane to the home centre by more than `reach`; of equal centres the plane is anywhere.
        lacking = likeness[np.arange(len(place)), nearest][:, None] - likeness
        near = lacking <= reach * apart[nearest] + np.float32(2e-4)  # what single precision may take from `apart`
        near[np.arange(len(place)), nearest] = False
        if probes is not None:
            near &= lacking <= _nth_least(np.where(near, lacking, np.inf), probes)[:, None]
        row, centre = np.nonzero(near)
        guest.append(place[row])
        of.append(centre)
    row, centre = np.concatenate(guest), np.concatenate(of)
    order = np.lexsort((row, centre))
    return home, (row[order], centre[order])


def _nth_least(values: Single, n: int) -> Single:
    if n <= 0:
        return np.full(len(values), -1, np.float32)
    if n >= values.shape[1]:
        return np.full(len(values), np.inf, np.float32)
    return np.partition(values, n - 1, axis=1)[:, n - 1]


def _join(vectors: Vectors, own: Indices, visitors: Indices, found: _Found) -> None:
    """Compare the rows of a partition with each other and with its guests; two blocks are held at a time."""
    for start in range(0, len(own), BLOCK):
        mine = own[start : start + BLOCK]
        half = vectors.take(mine)
        single = unit(half)
        for others, first in ((own[start:], start), (visitors, None)):
            for begin in range(0, len(others), BLOCK):
                theirs = others[begin : begin + BLOCK]
                same = first is not None and begin == 0
                other_half = half if same else vectors.take(theirs)
                other_unit = single if same else unit(other_half)
                for top in range(0, len(mine), _TILE):
                    row, column = np.nonzero(single[top : top + _TILE] @ other_unit.T >= found.least)
                    row += top
                    if same:
                        row, column = row[row < column], column[row < column]
                    row, column = found.apart(mine, row, theirs, column)
                    found.add(mine, half, row, theirs, other_half, column)


class _Found:
    """Pairs as they are found, those that are near enough by exact products alone."""

    def __init__(self, cosine: float, crowds: Crowds) -> None:
        self.least = np.float32(cosine - _SLACK)
        self._cosine = np.float32(cosine)
        self._crowds = crowds
        self._parts: list[tuple[Indices, Indices, Single]] = []
        self._count = 0

    def apart(self, mine: Indices, row: Indices, theirs: Indices, column: Indices) -> tuple[Indices, Indices]:
        """Those of the pairs that are not in one crowd."""
        if not self._crowds.hub.size:
            return row, column
        one, other = self._crowds.group[mine[row]], self._crowds.group[theirs[column]]
        keep = (one != other) | (one < 0)
        return row[keep], column[keep]

    def add(self, mine: Indices, half: Half, row: Indices, theirs: Indices, others: Half, column: Indices) -> None:
        for some in (slice(start, start + BLOCK) for start in range(0, len(row), BLOCK)):
            cosine = exact_cosines(half[row[some]], others[column[some]])
            near = cosine >= self._cosine
            self._parts.append((mine[row[some]][near], theirs[column[some]][near], cosine[near]))
            self._count += int(np.count_nonzero(near))
        if self._count > MAX_PAIRS:
            raise RecipeError(
                f"more than {MAX_PAIRS:,} pairs of samples have a cosine of at least {self._cosine:g}: raise "
                "`quality.duplicates.cosine`, or reject blank and uniform images by a rule first"
            )

    def pairs(self) -> Alike:
        a, b, cosine = joined(self._parts)
        self._parts.clear()
        crowds = self._crowds
        crowd = np.repeat([False, True], [a.size, crowds.hub.size])
        return alike(
            np.concatenate([a, crowds.hub]),
            np.concatenate([b, crowds.member]),
            np.concatenate([cosine, crowds.cosine]),
            crowd,
        )
