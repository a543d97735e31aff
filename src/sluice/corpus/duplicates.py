"""The duplicates of a corpus: near-duplicate images, equal bytes, repeated captions.

What is near to what is *measured* once, over every sample that has a hash (`near_index`), whatever the rules. Which
of them are removed is *decided* from it, for any set of survivors, as often as thresholds change (`near_clusters`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.corpus.clusters import components, stars
from sluice.corpus.hamming import Distances, Hashes, Indices, Pairs, collapse, distinct, pairs_within
from sluice.corpus.native_join import Progress
from sluice.errors import RunError
from sluice.table.arrays import codes, numbers
from sluice.table.commit import write_table
from sluice.table.read import read_table

Mask: TypeAlias = npt.NDArray[np.bool_]
Cluster = Literal["star", "components"]

_SCHEMA = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("distance", pa.uint8())])
_DISTANCE_KEY = b"sluice.distance"
_HASHES_KEY = b"sluice.hashes"


@dataclass(frozen=True)
class NearIndex:
    """The pairs of distinct hashes within `k` bits: positions in `unique`, which ascends.

    An index that was loaded holds in `unique` the hashes that have a neighbour, and no others.
    """

    unique: Hashes
    pairs: Pairs
    k: int

    def within(self, k: int) -> NearIndex:
        """The same measurement at a smaller distance: nothing is compared again."""
        if k > self.k:
            raise ValueError(f"an index at distance {self.k} does not know the pairs at {k}")
        near = self.pairs.distance <= k
        return NearIndex(self.unique, _chosen(self.pairs, near), k)


def near_index(hashes: Hashes, k: int, *, folder: Path | None = None, progress: Progress | None = None) -> NearIndex:
    """Measure which of `hashes` lie within `k` bits of each other; `folder` and `progress` as in `pairs_within`.

    >>> near_index(np.array([7, 7, 3, 0xFF00], np.uint64), 4).pairs
    Pairs(a=array([0]), b=array([1]), distance=array([1], dtype=uint8))
    """
    unique = distinct(hashes)
    return NearIndex(unique, pairs_within(unique, k, folder=folder, progress=progress), k)


def save_near_index(index: NearIndex, path: Path, hashes: str = "") -> None:
    """Commit `index` as Parquet: a row a pair, its two hashes and their distance in bits.

    `hashes` names what was compared, so that `measured_near_index` can tell.
    """
    columns = [index.unique[index.pairs.a], index.unique[index.pairs.b], index.pairs.distance]
    schema = _SCHEMA.with_metadata({_DISTANCE_KEY: str(index.k).encode(), _HASHES_KEY: hashes.encode()})
    write_table(path, pa.table([pa.array(column) for column in columns], schema=schema))


def load_near_index(path: Path) -> NearIndex:
    """The index saved at `path`."""
    table = read_table(path)
    metadata = table.schema.metadata or {}
    if not table.schema.equals(_SCHEMA) or _DISTANCE_KEY not in metadata:
        raise RunError(f"{path} is no index of near pairs: delete it and run again to have it measured anew")
    a, b = (numbers(table.column(name)) for name in ("a", "b"))
    unique, place = collapse(np.concatenate([a, b]))
    pairs = Pairs(place[: a.size], place[a.size :], numbers(table.column("distance")))
    return NearIndex(unique, pairs, int(metadata[_DISTANCE_KEY]))


def measured_near_index(path: Path, hashes: str, k: int) -> NearIndex | None:
    """The pairs of `hashes` within `k` bits, if `path` holds those or more: pairs at 8 bits hold those at 4."""
    if not path.is_file():
        return None
    metadata = pq.read_schema(path).metadata or {}
    if metadata.get(_HASHES_KEY) != hashes.encode() or int(metadata.get(_DISTANCE_KEY, -1)) < k:
        return None
    return load_near_index(path).within(k)


def near_clusters(
    index: NearIndex, hashes: Hashes, valid: Mask, rank: Indices, cluster: Cluster = "star"
) -> tuple[Indices, Distances]:
    """For each row the row kept in its stead (itself where it is kept) and how many bits they are apart.

    The rows are the survivors of the rules; `valid` says which have a hash, `rank` which is kept (all different, lower
    is better). The outcome is the same as measuring the survivors alone: rows that did not survive bridge nothing.

    >>> index = near_index(np.array([0, 1, 3], np.uint64), 1)
    >>> near_clusters(index, np.array([3, 0], np.uint64), np.array([True, True]), np.array([0, 1]))
    (array([0, 1]), array([0, 0], dtype=uint8))
    """
    keeper, distance = np.arange(hashes.size), np.zeros(hashes.size, np.uint8)
    rows = np.flatnonzero(valid)
    if not rows.size:
        return keeper, distance
    present, node = collapse(hashes[rows])
    best = _best_row(node, present.size, rank[rows])  # equal hashes share all neighbours: their best row speaks for all
    pairs = among(index, present)
    priority = rank[rows][best]
    if cluster == "star":
        kept, _ = stars(priority, pairs, present.size)
    else:
        label = components(pairs, present.size)
        kept = _best_row(label, present.size, priority)[label]
    keeper[rows] = rows[best[kept[node]]]
    distance[rows] = np.bitwise_count(present[node] ^ present[kept[node]])
    return keeper, distance


def among(index: NearIndex, present: Hashes) -> Pairs:
    """The pairs of `index` whose hashes are both in `present` (distinct, ascending), as positions in it."""
    place = np.searchsorted(present, index.unique)
    inside = place < present.size
    here = np.zeros(place.size, np.bool_)
    here[inside] = present[place[inside]] == index.unique[inside]
    pairs = _chosen(index.pairs, here[index.pairs.a] & here[index.pairs.b])
    return Pairs(place[pairs.a], place[pairs.b], pairs.distance)


def same_bytes(sha256: pa.Array | pa.ChunkedArray, valid: Mask, rank: Indices) -> Indices:
    """For each row the best-ranked valid row of the same bytes: itself where there is no better one.

    >>> same_bytes(pa.array(["aa", "bb", "aa", None]), np.ones(4, bool), np.array([1, 2, 0, 3])).tolist()
    [2, 1, 2, 3]
    """
    codes = text_codes(sha256)
    keeper = np.arange(codes.size)
    rows = np.flatnonzero(valid & (codes >= 0))
    keeper[rows] = rows[_best_row(codes[rows], int(codes.max(initial=-1)) + 1, rank[rows])[codes[rows]]]
    return keeper


def repeated_captions(text_hash: pa.Array | pa.ChunkedArray, sample: Indices) -> tuple[Indices, Mask]:
    """For each text, on how many samples it stands, and whether it repeats an earlier one of its own sample.

    A null hash stands on none and repeats nothing.

    >>> images, repeat = repeated_captions(pa.array(["x", "x", "y", "x"]), np.array([0, 0, 0, 1]))
    >>> images.tolist(), repeat.tolist()
    ([2, 2, 1, 2], [False, True, False, False])
    """
    codes = text_codes(text_hash)
    rows = np.flatnonzero(codes >= 0)
    images, repeat = np.zeros(codes.size, np.int64), np.zeros(codes.size, np.bool_)
    repeat[rows] = _repeats(codes[rows], sample[rows])
    images[rows] = np.bincount(codes[rows[~repeat[rows]]], minlength=1)[codes[rows]]
    return images, repeat


def text_codes(values: pa.Array | pa.ChunkedArray) -> Indices:
    """A number for each value, equal for equal values, counted from 0; -1 for null."""
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    return codes(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())


def _repeats(codes: Indices, sample: Indices) -> Mask:
    """Which (code, sample) came up before."""
    order = np.lexsort((sample, codes))  # stable: the earliest of equals stays first
    again = (np.diff(codes[order]) == 0) & (np.diff(sample[order]) == 0)
    mask = np.zeros(codes.size, np.bool_)
    mask[order[1:]] = again
    return mask


def _best_row(group: Indices, groups: int, rank: Indices) -> Indices:
    """For each group the row of lowest rank."""
    descending = np.argsort(rank)[::-1]
    best = np.zeros(groups, np.int64)
    best[group[descending]] = descending  # the last assignment stays: the lowest rank
    return best


def _chosen(pairs: Pairs, which: Mask) -> Pairs:
    return Pairs(pairs.a[which], pairs.b[which], pairs.distance[which])
