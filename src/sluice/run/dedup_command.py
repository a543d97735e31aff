"""`dedup`: new hashes against a stored index and each other; daily additions join no old hash again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sluice.corpus.against import load_hashes
from sluice.corpus.blocks import Hashes
from sluice.corpus.hamming import collapse
from sluice.corpus.hash_index import HashIndex, Nearest, add_to_index, nearest, open_index
from sluice.corpus.native_join import Progress
from sluice.errors import SourceError
from sluice.table.commit import write_table
from sluice.table.compute import pc
from sluice.wording import counted


@dataclass(frozen=True)
class Deduplicated:
    """What `dedup` found."""

    hashes: int
    near_index: int
    near_earlier: int
    new: int
    index: int

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return dict(vars(self))

    def __str__(self) -> str:
        return (
            f"{counted(self.hashes, 'hash', 'hashes')}: {self.near_index:,} near one of the index, "
            f"{self.near_earlier:,} near an earlier one of their own, {self.new:,} near neither\n"
            f"index: {counted(self.index, 'distinct hash', 'distinct hashes')}"
        )


def deduplicate(
    new: Path,
    against: Path,
    *,
    distance: int = 8,
    column: str = "phash",
    add: bool = False,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Deduplicated:
    """Hold the hashes in the table `new` against the index `against` and each other; `add` them to it at the end.

    `out`, a Parquet file, gets a row for each of them, in their order; rows that repeat key and hash count once.
    """
    if not new.is_file():
        raise SourceError(f"{new}: there is no such file of hashes")
    index = open_index(against) if against.is_file() else None
    if index is None and not add:
        raise SourceError(f"{against}: no index of hashes is there; --add makes one")
    if out is not None and out.suffix != ".parquet":
        raise SourceError(f"{out}: what is found is written as .parquet")
    hashes, keys = _once(*load_hashes(new, column, bits=None))
    bits = 64 * (1 if hashes.ndim == 1 else hashes.shape[1])
    if index is not None and (index.bits != bits or index.column != column):
        raise SourceError(f"{new} has {column} of {bits} bits, the index {against} {index.column} of {index.bits}")
    found = nearest(index, hashes, distance, progress=progress)
    if out is not None:
        write_table(out, _table(found, keys, index))
    if add:
        index = add_to_index(against, hashes, keys, column)
    in_index = int((found.indexed >= 0).sum())
    return Deduplicated(
        len(hashes),
        in_index,
        int(((found.indexed < 0) & (found.earlier >= 0)).sum()),
        int((~found.known).sum()),
        0 if index is None else len(index),
    )


def _once(hashes: Hashes, keys: list[str]) -> tuple[Hashes, list[str]]:
    """Without the rows that repeat key and hash of an earlier one: a run's rows.parquet has a row for each text."""
    named = pa.array(keys, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    _, first = np.unique(named * len(hashes) + collapse(hashes)[1], return_index=True)
    first.sort()
    return hashes[first], [keys[place] for place in first.tolist()]


def _table(found: Nearest, keys: list[str], index: HashIndex | None) -> pa.Table:
    """key; near, where (`index`, `earlier`, null) and distance of the nearest; of equals the index's."""
    named = pa.array(keys, pa.string())
    indexed, earlier = found.indexed >= 0, found.earlier >= 0
    by_index = indexed & ~(earlier & (found.earlier_bits < found.indexed_bits))
    by_earlier = earlier & ~by_index
    names = index.keys if index is not None else pa.chunked_array([pa.array([], pa.string())])
    near_index = names.take(_places(found.indexed, by_index)).combine_chunks()
    near: Any = pc.if_else(pa.array(by_index), near_index, named.take(_places(found.earlier, by_earlier)))
    where = np.where(by_index, "index", "earlier")
    distance = np.where(by_index, found.indexed_bits, found.earlier_bits).astype(np.uint8)
    unmatched = ~(by_index | by_earlier)
    return pa.table(
        {
            "key": named,
            "near": near,
            "where": pa.array(where, pa.string(), mask=unmatched),
            "distance": pa.array(distance, pa.uint8(), mask=unmatched),
        }
    )


def _places(places: Any, valid: Any) -> pa.Array:
    return pa.array(places, pa.int64(), mask=~valid)
