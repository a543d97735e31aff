"""Which sample goes into which shard: pure, in order, decided before a byte is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import RecipeError
from sluice.pack.base import SHARD_NAMES
from sluice.table.arrays import places_of

Splits: TypeAlias = pa.Array | pa.ChunkedArray | npt.NDArray[np.str_] | Sequence[str]


@dataclass(frozen=True)
class Shard:
    """One shard to write: the rows of the plan's input that go into it, in order."""

    split: str
    index: int  # from 0 in its split
    rows: npt.NDArray[np.signedinteger[Any]]

    def path(self, format: str) -> str:
        """Its path below `04_final/`, as the manifest names it; names sort as numbers do.

        >>> Shard("train", 7, np.arange(2)).path("webdataset")
        'webdataset/train/shard-000007.tar'
        """
        return f"{format}/{self.split}/{SHARD_NAMES[format].format(self.index)}"


def cut_shards(
    sizes: npt.NDArray[np.integer[Any]],
    splits: Splits,
    max_bytes: int,
    max_samples: int,
) -> list[Shard]:
    """Cut samples of `sizes` bytes into shards, split by split (sorted by name), each split in the order given.

    A shard is full when the next sample would take it past `max_bytes` or `max_samples`; a sample larger than
    `max_bytes` has a shard to itself.

    >>> shards = cut_shards(np.array([5, 5, 5, 5]), ["train", "train", "val", "train"], 10, 100)
    >>> [(shard.split, shard.index, shard.rows.tolist()) for shard in shards]
    [('train', 0, [0, 1]), ('train', 1, [3]), ('val', 0, [2])]
    """
    if max_bytes < 1 or max_samples < 1:
        raise RecipeError("pack: shard_bytes and shard_samples must be at least 1")
    codes, names = _encode(splits)
    if len(codes) != len(sizes):
        raise ValueError(f"{len(sizes)} sizes, {len(codes)} splits")
    shards: list[Shard] = []
    for code in sorted(range(len(names)), key=names.__getitem__):
        rows = places_of(codes == code)
        cuts = _cuts(np.asarray(sizes, np.int64)[rows], max_bytes, max_samples)
        shards += [Shard(names[code], index, rows[start:end]) for index, (start, end) in enumerate(pairwise(cuts))]
    return shards


def _encode(splits: Splits) -> tuple[npt.NDArray[np.int32], list[str]]:
    array: pa.Array | pa.ChunkedArray = (
        splits if isinstance(splits, pa.Array | pa.ChunkedArray) else pa.array(splits, pa.string())
    )
    encoded = array.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    if encoded.null_count:
        raise ValueError("a sample to pack has no split")
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _cuts(sizes: npt.NDArray[np.int64], max_bytes: int, max_samples: int) -> list[int]:
    """Where each shard starts, and the end: one search a shard, not one step a sample."""
    ends = np.cumsum(sizes)
    cuts = [0]
    while cuts[-1] < len(sizes):
        start = cuts[-1]
        before = int(ends[start - 1]) if start else 0
        fit = int(np.searchsorted(ends, before + max_bytes, side="right"))
        cuts.append(min(max(fit, start + 1), start + max_samples, len(sizes)))
    return cuts
