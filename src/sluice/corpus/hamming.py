"""All pairs of hashes within a Hamming distance: exact, sub-quadratic, in bounded memory.

Hashes have 64 bits (perceptual hashes) or a multiple of it up to 1,024 (PDQ, signs of embeddings: rows of words).
`pairs_within` runs a native kernel (`native_join`), or NumPy where there is none (`sorted_join`, `wide_join`): both
find every pair there is, by the pigeonhole argument in `blocks`, and both give the same arrays.

10^6 evenly spread hashes of 64 bits at distance 8 take half a second of one core and 80 MB for the whole process.
Memory is 16 bytes a hash and 8 more for each thread (`memory` bounds that: what is beyond goes to a file and is read
in bands), and 25 bytes a pair found; `MAX_PAIRS` bounds those.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.corpus import native_join
from sluice.corpus.blocks import Hashes
from sluice.corpus.native_join import Progress
from sluice.corpus.sorted_join import looked_up, sorted_join
from sluice.corpus.tree_plan import tree_plan
from sluice.corpus.wide_join import wide_join
from sluice.errors import RecipeError
from sluice.native import kernels
from sluice.table.cores import available_cores

Indices = npt.NDArray[np.int64]
Distances = npt.NDArray[np.uint8]

MAX_DISTANCE: Final = 12  # bits of 64; at 12 unrelated images begin to match by chance
MAX_PAIRS: Final = 200_000_000
MEMORY: Final = 4 << 30  # bytes
_MOST_WORDS: Final = 16
_FEW: Final = 20_000  # hashes: fewer are not worth a second thread
_SLICE: Final = 1 << 20  # hashes
_NO_MATCH: Final = np.uint64(2**64 - 1)
_TOP: Final = np.uint64(56)
_HALF: Final = np.uint64(32)
_SAMPLE: Final = 2_048  # hashes


@dataclass(frozen=True)
class Pairs:
    """Unordered pairs of positions `a < b`, sorted by (a, b), and their `distance` in bits."""

    a: Indices
    b: Indices
    distance: Distances

    def __len__(self) -> int:
        return self.a.size


def distinct(hashes: Hashes) -> Hashes:
    """The distinct hashes, ascending.

    >>> distinct(np.array([7, 3, 7], np.uint64))
    array([3, 7], dtype=uint64)
    """
    if hashes.ndim > 1:
        return collapse(hashes)[0]
    ascending = np.sort(hashes)  # several times as fast as np.unique
    return ascending[_first_of_equals(ascending)]


def collapse(hashes: Hashes) -> tuple[Hashes, Indices]:
    """The distinct hashes, ascending, and for each hash its place among them.

    >>> collapse(np.array([7, 3, 7], np.uint64))
    (array([3, 7], dtype=uint64), array([1, 0, 1]))
    """
    order = np.argsort(hashes) if hashes.ndim == 1 else np.lexsort(hashes.T[::-1])
    ascending = hashes[order]
    first = _first_of_equals(ascending)
    inverse = np.empty(len(hashes), np.int64)
    inverse[order] = np.cumsum(first) - 1
    return ascending[first], inverse


def pairs_within(
    hashes: Hashes,
    k: int,
    *,
    threads: int | None = None,
    memory: int = MEMORY,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Pairs:
    """All pairs of the distinct `hashes` that differ in at most `k` bits (of 64: 0 to 12): none missed, none twice.

    `hashes` is an array of 64-bit integers, or has a row of them for each hash. `threads` is by default the cores there
    are. Where the copies of the hashes would take more than `memory` bytes, they go to a file in `folder` (by default
    the system's for temporary files) and are read band by band. `progress` is told the share of the work that is done.

    >>> pairs_within(np.array([0b1111, 0b0000, 0b0011], np.uint64), 2)
    Pairs(a=array([0, 1]), b=array([2, 2]), distance=array([2, 2], dtype=uint8))
    """
    rows = _rows(hashes)
    check_distance(k, rows.shape[1] * 64)
    found = _Found(rows)
    if kernels() is None and hashes.ndim == 1:
        places = _Places(hashes)
        sorted_join(hashes, k, lambda one, other: found.add(places(one), places(other)))
    elif kernels() is None:
        _check_distinct(hashes)
        wide_join(rows, None, k, lambda one, other, _: found.add(one, other))
    elif len(rows) > 1:
        _native_pairs(hashes, rows, k, found, threads or available_cores(), memory, folder, progress)
    return found.pairs()


def _native_pairs(
    hashes: Hashes,
    rows: Hashes,
    k: int,
    found: _Found,
    threads: int,
    memory: int,
    folder: Path | None,
    progress: Progress | None,
) -> None:
    # Without a name behind each hash a third of the time is saved, but each pair's places must be looked up.
    places = _Places(hashes) if hashes.ndim == 1 and not _crowded(hashes, k) else None
    if places is None:
        _check_distinct(hashes if hashes.ndim > 1 else np.sort(hashes))
    chosen = tree_plan(rows, k, wide=native_join.has_wide())
    order = chosen.order()
    back = np.argsort(order).astype(np.uint32)

    def take(one: Hashes, other: Hashes, _: npt.NDArray[np.uint16]) -> None:
        if places is None:
            found.add(one, other)
        else:
            found.add(*(places(native_join.spread(side[:, None], back)[:, 0]) for side in (one, other)))

    size = 8 * len(rows) * (rows.shape[1] + (places is None))
    with _copy(rows, size, memory // 2, folder, named=places is None) as out:
        native_join.spread(rows, order, out, named=places is None)
        workers = threads if len(rows) > _FEW else 1
        bands = -(-size * min(workers, len(chosen.starts)) // max(1, memory // 2))
        native_join.join(out, None, chosen, k, take, threads=workers, bands=bands, progress=progress)


def _crowded(hashes: Hashes, k: int) -> bool:
    """Whether a sample lets expect more pairs than hashes."""
    sample = hashes[:: max(1, hashes.size // _SAMPLE)][:_SAMPLE]
    near = sum(int((np.bitwise_count(sample[row + 1 :] ^ one) <= k).sum()) for row, one in enumerate(sample))
    return near * (hashes.size / sample.size) ** 2 > hashes.size


def matches_against(
    hashes: Hashes, reference: Hashes, k: int, *, threads: int | None = None, progress: Progress | None = None
) -> tuple[Indices, Indices, Distances]:
    """The hashes within `k` bits of a reference hash: their indices, the nearest reference's (first of equals), bits.

    Equal hashes are welcome on both sides.

    >>> matches_against(np.array([0, 0b111], np.uint64), np.array([0b1, 0b1111], np.uint64), 1)
    (array([0, 1]), array([0, 1]), array([1, 1], dtype=uint8))
    """
    rows, others = _rows(hashes), _rows(reference)
    if rows.shape[1] != others.shape[1]:
        raise ValueError(f"hashes of {rows.shape[1] * 64} bits against a reference of {others.shape[1] * 64}")
    check_distance(k, rows.shape[1] * 64)
    if kernels() is None and hashes.ndim == 1:
        nearest = looked_up(hashes, reference, k)
    else:
        unique, inverse = collapse(hashes)
        known, place = collapse(reference)
        first = np.full(len(known), len(reference), np.int64)
        np.minimum.at(first, place, np.arange(len(reference)))
        nearest = _nearest(_rows(unique), _rows(known), first, k, threads, progress)[inverse]
    distance = (nearest >> _TOP).astype(np.uint8)
    index = np.flatnonzero(distance <= k)
    return index, (nearest[index] & ~(np.uint64(0xFF) << _TOP)).astype(np.int64), distance[index]


def _nearest(
    hashes: Hashes, reference: Hashes, names: Indices, k: int, threads: int | None, progress: Progress | None
) -> Hashes:
    """For each hash the nearest one's bits in the top byte and its name below; all ones where none is within `k`."""
    nearest = np.full(len(hashes), _NO_MATCH, np.uint64)

    def take(one: npt.NDArray[np.integer], other: npt.NDArray[np.integer], distance: npt.NDArray[np.uint16]) -> None:
        found = (distance.astype(np.uint64) << _TOP) | names[other].astype(np.uint64)
        np.minimum.at(nearest, one, found)

    if len(hashes) and len(reference):
        across(hashes, reference, k, take, threads=threads, progress=progress)
    return nearest


def across(
    hashes: Hashes,
    reference: Hashes,
    k: int,
    take: native_join.Take,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Give `take` batch by batch the places and bits of all pairs within `k` of one of `hashes` and of `reference`.

    Both hold rows of words; their pairs among themselves are not looked for.
    """
    if kernels() is None:
        wide_join(hashes, reference, k, lambda one, other, bits: take(one.view(np.uint64), other.view(np.uint64), bits))
        return
    chosen = tree_plan(hashes, k, reference, wide=native_join.has_wide())
    order = chosen.order()
    sides = [native_join.spread(side, order, named=True) for side in (hashes, reference)]
    workers = (threads or available_cores()) if len(hashes) + len(reference) > _FEW else 1
    native_join.join(sides[0], sides[1], chosen, k, take, threads=workers, progress=progress)


class _Places:
    """The positions of distinct 64-bit hashes by their value."""

    def __init__(self, hashes: Hashes) -> None:
        self._position: Indices | None = None
        self._ascending = hashes
        for start in range(0, hashes.size, _SLICE):
            part = hashes[start : start + _SLICE + 1]
            if np.any(part[1:] <= part[:-1]):
                self._position = np.argsort(hashes)
                self._ascending = hashes[self._position]
                _check_distinct(self._ascending)
                break

    def __call__(self, values: Hashes) -> Indices:
        place = np.searchsorted(self._ascending, values)
        return place if self._position is None else self._position[place]


class _Found:
    """Pairs as they are found, eight bytes each; `pairs` gives them in order."""

    def __init__(self, rows: Hashes) -> None:
        if len(rows) >> 32:
            raise RecipeError(f"{len(rows):,} hashes: more than 4,294,967,295 cannot be joined")
        self._rows = rows
        self._parts: list[npt.NDArray[np.uint64]] = []
        self._count = 0

    def add(self, one: npt.NDArray[np.integer], other: npt.NDArray[np.integer]) -> None:
        self._count += one.size
        if self._count > MAX_PAIRS:
            raise RecipeError(
                f"more than {MAX_PAIRS:,} pairs of images are near-duplicates: lower `near.distance`, or reject "
                "blank and uniform images by a rule first"
            )
        lesser, greater = np.minimum(one, other), np.maximum(one, other)
        self._parts.append((lesser.astype(np.uint64) << _HALF) | greater.astype(np.uint64))

    def pairs(self) -> Pairs:
        keys = np.concatenate([np.empty(0, np.uint64), *self._parts])
        self._parts.clear()
        keys.sort()
        a, b = (keys >> _HALF).view(np.int64), (keys & np.uint64(0xFFFF_FFFF)).view(np.int64)
        distance = np.empty(keys.size, np.uint8)
        for start in range(0, keys.size, _SLICE):
            part = slice(start, start + _SLICE)
            distance[part] = np.bitwise_count(self._rows[a[part]] ^ self._rows[b[part]]).sum(axis=1)
        return Pairs(a, b, distance)


@contextmanager
def _copy(rows: Hashes, size: int, memory: int, folder: Path | None, named: bool) -> Generator[Hashes]:
    """Room for a copy of `rows`: in memory, or in a file without a name where it is more than `memory` bytes."""
    shape = (len(rows), rows.shape[1] + named)
    if size <= memory:
        yield np.empty(shape, np.uint64)
        return
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size)
        yield np.memmap(file, np.uint64, "r+", shape=shape)


def _rows(hashes: Hashes) -> Hashes:
    rows = hashes[:, None] if hashes.ndim == 1 else hashes
    if rows.dtype != np.uint64 or rows.ndim != 2 or not 1 <= rows.shape[1] <= _MOST_WORDS:
        raise ValueError(f"expected 64-bit integers, or rows of 1 to {_MOST_WORDS}; found {hashes.dtype}{hashes.shape}")
    return np.ascontiguousarray(rows)


def _check_distinct(hashes: Hashes) -> None:
    """`hashes` of one word must ascend already."""
    ascending = hashes if hashes.ndim == 1 else hashes[np.lexsort(hashes.T)]
    if not _first_of_equals(ascending).all():
        raise ValueError("pairs_within needs distinct hashes: collapse() them first")


def _first_of_equals(ascending: Hashes) -> npt.NDArray[np.bool_]:
    first = np.ones(len(ascending), np.bool_)
    unlike = ascending[1:] != ascending[:-1]
    first[1:] = unlike if unlike.ndim == 1 else unlike.any(axis=1)
    return first


def check_distance(k: int, bits: int = 64) -> None:
    """Refuse a distance that is out of range for hashes of so many `bits`."""
    most = MAX_DISTANCE * bits // 64
    if not 0 <= k <= most:
        raise RecipeError(f"a Hamming distance of {k}: it must lie between 0 and {most} bits of {bits}")
