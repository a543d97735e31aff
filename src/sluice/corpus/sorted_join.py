"""The join of 64-bit hashes in plain NumPy: where there are no native kernels, and as what they are held against.

A block-combination join (see `blocks`): for each combination of blocks the hashes are sorted so that those which agree
on it stand side by side, and each is compared with the ones after it in its run. 10^6 evenly spread hashes at distance
8 are 165 combinations and 4.6 * 10^8 candidates instead of 5 * 10^11 (9 seconds of one core, 102 MB for the whole
process). Its buffers take 10 MB whatever the data: a run of equal keys is walked, never expanded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus.blocks import Arrangement, Hashes, Plan, plan

Indices = npt.NDArray[np.int64]
Take = Callable[[Hashes, Hashes], None]

BRUTE_FORCE: Final = 3_000  # hashes: below it comparing all is faster than sorting
_CHUNK: Final = 65_536  # hashes: two buffers of it, 9 bytes a hash
_BATCH: Final = 1 << 18  # pairs
_LONG_RUN: Final = 128  # a run still alive at this shift is compared in tiles
_SPARSE: Final = 16  # when less than one in so many of a chunk is alive, they are picked out
_TILE: Final = (32, 4_096)
_NO_MATCH: Final = np.uint64(2**64 - 1)


def sorted_join(hashes: Hashes, k: int, take: Take) -> None:
    """Give `take` all pairs within `k` bits of distinct `hashes`, as hashes and their distances, in batches."""
    chosen = plan(hashes, k) if hashes.size > BRUTE_FORCE else None
    if chosen is None:
        for a, b in _tiles(hashes, (0, hashes.size), hashes.size, 0, k):
            take(hashes[a], hashes[b])
        return
    _join(chosen.spread(hashes), chosen, k, take)


def looked_up(hashes: Hashes, reference: Hashes, k: int) -> Hashes:
    """For each hash the nearest of `reference`: bits in the top byte, its place below; more than `k` where none is.

    For each combination of blocks every hash is looked up among the sorted reference: 10^6 hashes against 5,000 take
    0.6 s at 4 bits and 7 s at 8.
    """
    nearest = np.full(hashes.size, _NO_MATCH, np.uint64)  # the least is nearest
    if hashes.size and reference.size:
        chosen = plan(hashes, k, reference)
        for combination in chosen.combinations():
            runs = _Runs(reference, chosen.key(combination))
            for start in range(0, hashes.size, _CHUNK):
                runs.look_up(hashes[start : start + _CHUNK], nearest[start : start + _CHUNK])
    return nearest


def _join(hashes: Hashes, chosen: Plan, k: int, take: Take) -> None:
    """Find every pair within `k` of `hashes`, spread by the plan `chosen`; they are rearranged on the way."""
    arranged = Arrangement(hashes, chosen.widths)
    for combination in chosen.combinations():
        arranged.bring_to_top(combination)
        hashes.sort()
        # A pair that agrees on more than m blocks comes up in several combinations: it is reported in the first
        # alone, the one of its m lowest blocks. So any other block below the highest of this one must differ.
        lower = [arranged.mask(block) for block in range(combination[-1]) if block not in combination]
        for a, b in _gathered(_candidates(hashes, arranged.key_mask(chosen.agree), k)):
            one, other = hashes[a], hashes[b]
            differing = one ^ other
            new = np.ones(one.size, np.bool_)
            for mask in lower:
                new &= (differing & mask) != 0
            if new.any():
                take(*(chosen.gathered(arranged.restored(side[new])) for side in (one, other)))


def _gathered(batches: Iterator[tuple[Indices, Indices]]) -> Iterator[tuple[Indices, Indices]]:
    """The same pairs in few large batches: what is done to a batch costs more than what is done to a pair."""
    held: list[tuple[Indices, Indices]] = []
    count = 0
    for a, b in batches:
        held.append((a, b))
        count += a.size
        if count > _BATCH:
            yield np.concatenate([a for a, _ in held]), np.concatenate([b for _, b in held])
            held, count = [], 0
    if held:
        yield np.concatenate([a for a, _ in held]), np.concatenate([b for _, b in held])


def _candidates(ordered: Hashes, key: np.uint64, k: int) -> Iterator[tuple[Indices, Indices]]:
    """Positions of all pairs within `k` in `ordered` that agree on the `key` bits, a bounded number at a time.

    Each hash is compared with the one `shift` places on, for shift = 1, 2, ... until no run is that long: all of a
    chunk side by side while many are alive (no index is needed then), the few of longer runs picked out afterwards.
    """
    differing, bits = np.empty(_CHUNK, np.uint64), np.empty(_CHUNK, np.uint8)
    for start in range(0, ordered.size - 1, _CHUNK):
        alive = np.arange(min(_CHUNK, ordered.size - 1 - start))
        shift = 0
        while shift < min(_LONG_RUN, ordered.size - 1 - start) and alive.size * _SPARSE > _CHUNK:
            shift += 1
            size = min(_CHUNK, ordered.size - shift - start)
            one, other = ordered[start : start + size], ordered[start + shift : start + shift + size]
            unlike = np.bitwise_xor(one, other, out=differing[:size])
            near = np.flatnonzero(np.bitwise_count(unlike, out=bits[:size]) <= k)
            near = near[(unlike[near] & key) == 0] + start
            if near.size:
                yield near, near + shift
            if shift % 4 == 0:
                alive = np.flatnonzero((unlike & key) == 0)
        yield from _sparse(ordered, alive + start, shift, key, k)


def _sparse(ordered: Hashes, place: Indices, shift: int, key: np.uint64, k: int) -> Iterator[tuple[Indices, Indices]]:
    """The pairs more than `shift` apart whose first is one of `place`."""
    while place.size and shift < _LONG_RUN:
        shift += 1
        place = place[: np.searchsorted(place, ordered.size - shift)]
        unlike = ordered[place] ^ ordered[place + shift]
        alive = np.flatnonzero((unlike & key) == 0)  # sorted: where two differ here, those further off do too
        place = place[alive]
        near = place[np.bitwise_count(unlike[alive]) <= k]
        if near.size:
            yield near, near + shift
    if place.size:
        yield from _rest_of_runs(ordered, place, shift, key, k)


def _rest_of_runs(
    ordered: Hashes, place: Indices, shift: int, key: np.uint64, k: int
) -> Iterator[tuple[Indices, Indices]]:
    """The pairs more than `shift` apart in the runs that the first ones, `place`, stand in."""
    breaks = np.flatnonzero(np.diff(place) != 1) + 1  # a run's last places have died: runs are never adjacent
    firsts, lasts = place[np.r_[0, breaks]], place[np.r_[breaks - 1, place.size - 1]]
    ends = np.searchsorted(ordered, ordered[firsts] | ~key, side="right")
    for first, last, end in zip(firsts.tolist(), lasts.tolist(), ends.tolist(), strict=True):
        yield from _tiles(ordered, (first, last + 1), end, shift, k)


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


class _Runs:
    """A reference sorted by some of its bits, the `key`: hashes that agree on them are runs."""

    def __init__(self, reference: Hashes, key: np.uint64) -> None:
        self._key = key
        self._index = np.argsort(reference & key, kind="stable")
        self._hashes = reference[self._index]
        self._keys, starts = np.unique(self._hashes & key, return_index=True)
        self._edges = np.append(starts, reference.size)

    def look_up(self, hashes: Hashes, nearest: Hashes) -> None:
        """Improve `nearest` by the reference hashes that agree with each of `hashes` on the key."""
        sought = hashes & self._key
        run = np.minimum(np.searchsorted(self._keys, sought), self._keys.size - 1)
        row = np.flatnonzero(self._keys[run] == sought)
        place, end = self._edges[run[row]], self._edges[run[row] + 1]
        while row.size:
            bits = np.bitwise_count(hashes[row] ^ self._hashes[place]).astype(np.uint64)
            nearest[row] = np.minimum(nearest[row], (bits << np.uint64(56)) | self._index[place].astype(np.uint64))
            place += 1
            more = place < end
            row, place, end = row[more], place[more], end[more]
