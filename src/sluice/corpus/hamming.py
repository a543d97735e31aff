"""All pairs of 64-bit hashes within a Hamming distance: exact, sub-quadratic, in bounded memory, in plain NumPy.

`pairs_within` is a block-combination join (see `blocks`): for each combination of blocks the hashes are sorted so that
those which agree on it stand side by side, and each is compared with the ones after it in its run.

Time is combinations * n log n for the sorting plus the candidates; 10^6 evenly spread hashes at distance 8 are 165
combinations and 4.6 * 10^8 candidates instead of 5 * 10^11. Memory is 24 bytes a hash, a few MB of buffers whatever the
data (a run of equal keys is walked, never expanded), and 17 bytes a pair found, three times that while they are put
in order; `MAX_PAIRS` bounds those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.blocks import CHUNK, Arrangement, Hashes, plan
from sluice.errors import RecipeError

Indices = npt.NDArray[np.int64]
Distances = npt.NDArray[np.uint8]

MAX_DISTANCE: Final = 12  # bits; at 12 of 64 unrelated images begin to match by chance
MAX_PAIRS: Final = 200_000_000
BRUTE_FORCE: Final = 3_000  # hashes: below it comparing all is faster than sorting
_LONG_RUN: Final = 128  # a run still alive at this shift is compared in tiles
_TILE: Final = (32, 4_096)


@dataclass(frozen=True)
class Pairs:
    """Unordered pairs of positions `a < b`, sorted by (a, b), and their `distance` in bits."""

    a: Indices
    b: Indices
    distance: Distances

    def __len__(self) -> int:
        return self.a.size


def collapse(hashes: Hashes) -> tuple[Hashes, Indices]:
    """The distinct hashes, ascending, and for each hash its place among them.

    >>> collapse(np.array([7, 3, 7], np.uint64))
    (array([3, 7], dtype=uint64), array([1, 0, 1]))
    """
    unique, inverse = np.unique(hashes, return_inverse=True)
    return unique, inverse.astype(np.int64, copy=False)


def pairs_within(hashes: Hashes, k: int) -> Pairs:
    """All pairs of the distinct `hashes` that differ in at most `k` bits (0 to 12): none missed, none twice.

    >>> pairs_within(np.array([0b1111, 0b0000, 0b0011], np.uint64), 2)
    Pairs(a=array([0, 1]), b=array([2, 2]), distance=array([2, 2], dtype=uint8))
    """
    _check_distance(k)
    hashes = np.ascontiguousarray(hashes, np.uint64)
    position = np.argsort(hashes)
    ascending = hashes[position]
    if np.any(ascending[1:] == ascending[:-1]):
        raise ValueError("pairs_within needs distinct hashes: collapse() them first")
    found = _Found(position, ascending)
    if hashes.size <= BRUTE_FORCE:
        for a, b in _tiles(ascending, (0, hashes.size), hashes.size, 0, k):
            found.add(ascending[a], ascending[b])
    else:
        _join(ascending.copy(), k, found)
    return found.pairs()


def matches_against(hashes: Hashes, reference: Hashes, k: int) -> tuple[Indices, Indices, Distances]:
    """The hashes within `k` bits of a reference hash: their indices, the nearest reference's (first of equals), bits.

    >>> matches_against(np.array([0, 0b111], np.uint64), np.array([0b1, 0b1111], np.uint64), 1)
    (array([0, 1]), array([0, 1]), array([1, 1], dtype=uint8))
    """
    _check_distance(k)
    distance = np.full(hashes.size, 255, np.uint8)
    nearest = np.zeros(hashes.size, np.int64)
    for start in range(0, hashes.size, CHUNK):
        chunk = hashes[start : start + CHUNK]
        best, where = distance[start : start + CHUNK], nearest[start : start + CHUNK]
        for index, one in enumerate(reference):
            bits = np.bitwise_count(chunk ^ one)
            closer = bits < best
            best[closer] = bits[closer]
            where[closer] = index
    matched = np.flatnonzero(distance <= k)
    return matched, nearest[matched], distance[matched]


class _Found:
    """Pairs as they are found, as hash values; `pairs` gives them as positions, in order."""

    def __init__(self, position: Indices, ascending: Hashes) -> None:
        self._position, self._ascending = position, ascending
        self._parts: list[tuple[Indices, Indices, Distances]] = []
        self._count = 0

    def add(self, one: Hashes, other: Hashes) -> None:
        if not one.size:
            return
        self._count += one.size
        if self._count > MAX_PAIRS:
            raise RecipeError(
                f"more than {MAX_PAIRS:,} pairs of images are near-duplicates: lower `near.distance`, or reject "
                "blank and uniform images by a rule first"
            )
        first = self._position[np.searchsorted(self._ascending, one)]
        second = self._position[np.searchsorted(self._ascending, other)]
        self._parts.append((np.minimum(first, second), np.maximum(first, second), np.bitwise_count(one ^ other)))

    def pairs(self) -> Pairs:
        if not self._parts:
            return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8))
        a, b, distance = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        self._parts.clear()
        order = np.lexsort((b, a))
        return Pairs(a[order], b[order], distance[order])


def _join(hashes: Hashes, k: int, found: _Found) -> None:
    """Find every pair within `k` of `hashes`, which are rearranged on the way."""
    chosen = plan(hashes.size, k)
    arranged = Arrangement(hashes, chosen.widths)
    for combination in chosen.combinations():
        arranged.bring_to_top(combination)
        hashes.sort()
        # A pair that agrees on more than m blocks comes up in several combinations: it is reported in the first
        # alone, the one of its m lowest blocks. So any other block below the highest of this one must differ.
        lower = [arranged.mask(block) for block in range(combination[-1]) if block not in combination]
        for a, b in _candidates(hashes, arranged.key_mask(chosen.agree), k):
            one, other = hashes[a], hashes[b]
            differing = one ^ other
            new = np.ones(one.size, np.bool_)
            for mask in lower:
                new &= (differing & mask) != 0
            found.add(arranged.restored(one[new]), arranged.restored(other[new]))


def _candidates(ordered: Hashes, key: np.uint64, k: int) -> Iterator[tuple[Indices, Indices]]:
    """Positions of all pairs within `k` in `ordered` that agree on the `key` bits, a bounded number at a time."""
    for start in range(0, ordered.size - 1, CHUNK):
        place = np.arange(start, min(start + CHUNK, ordered.size - 1))
        value = ordered[start : start + place.size]
        shift = 1
        while place.size:
            differing = value ^ ordered[place + shift]
            alive = (differing & key) == 0  # sorted: once two are of different runs, those further off are too
            place, value, differing = place[alive], value[alive], differing[alive]
            near = place[np.bitwise_count(differing) <= k]
            if near.size:
                yield near, near + shift
            shift += 1
            if shift > _LONG_RUN:
                yield from _rest_of_runs(ordered, place, shift, key, k)
                break
            if place.size and place[-1] + shift >= ordered.size:
                place, value = place[:-1], value[:-1]


def _rest_of_runs(
    ordered: Hashes, place: Indices, shift: int, key: np.uint64, k: int
) -> Iterator[tuple[Indices, Indices]]:
    """The pairs at `shift` or further apart in the runs that `place` stands in."""
    if not place.size:
        return
    breaks = np.flatnonzero(np.diff(place) != 1) + 1  # a run's last places have died: runs are never adjacent
    firsts, lasts = place[np.r_[0, breaks]], place[np.r_[breaks - 1, place.size - 1]]
    ends = np.searchsorted(ordered, ordered[firsts] | ~key, side="right")
    for first, last, end in zip(firsts.tolist(), lasts.tolist(), ends.tolist(), strict=True):
        yield from _tiles(ordered, (first, last + 1), end, shift - 1, k)


def _tiles(ordered: Hashes, rows: tuple[int, int], end: int, gap: int, k: int) -> Iterator[tuple[Indices, Indices]]:
    """All pairs within `k` more than `gap` places apart, the first one in `rows`, the other before `end`."""
    height, width = _TILE
    for top in range(rows[0], rows[1], height):
        bottom = min(top + height, rows[1])
        for left in range(top + gap + 1, end, width):
            bits = np.bitwise_count(ordered[top:bottom, None] ^ ordered[None, left : min(left + width, end)])
            row, column = np.nonzero(bits <= k)
            a, b = row + top, column + left
            apart = b - a > gap
            yield a[apart], b[apart]


def _check_distance(k: int) -> None:
    if not 0 <= k <= MAX_DISTANCE:
        raise RecipeError(f"a Hamming distance of {k}: it must lie between 0 and {MAX_DISTANCE} bits of 64")
