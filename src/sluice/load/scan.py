"""What a manifest lists, read a million rows at a time: the rows of 10^8 samples are never held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.compute import pc

Numbers = npt.NDArray[np.int64]

NAMES: Final = ("format", "split", "shard")  # columns that a manifest is opened with as dictionaries
_PIECE: Final = 1_000_000  # rows


class Run(NamedTuple):
    """Rows of one shard, one after another."""

    format: str
    split: str
    shard: str
    first: int
    rows: int


def shard_runs(manifest: pq.ParquetFile) -> list[Run]:
    """All shards, in their order."""
    runs: list[Run] = []
    for first, piece in _pieces(manifest, NAMES):
        columns = [_codes(piece.column(name)) for name in NAMES]
        changes = np.any([np.diff(codes) != 0 for codes, _ in columns], axis=0)
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], piece.num_rows], strict=True):
            format, split, shard = (names[codes[start]] for codes, names in columns)
            if runs and runs[-1][:3] == (format, split, shard):  # a shard that goes on in this piece
                runs[-1] = runs[-1]._replace(rows=runs[-1].rows + stop - start)
            else:
                runs.append(Run(format, split, shard, first + start, stop - start))
    return runs


def summed(manifest: pq.ParquetFile, column: str, first: Numbers, rows: Numbers) -> Numbers:
    """The sum of a column over each of some stretches of rows, none as 1; the stretches are in order."""
    sums = np.zeros(len(first), np.int64)
    for start, piece in _pieces(manifest, (column,)):
        ends = np.concatenate([[0], np.cumsum(pc.fill_null(piece.column(column), 1).to_numpy(), dtype=np.int64)])
        low = int(np.searchsorted(first + rows, start, side="right"))
        high = int(np.searchsorted(first, start + piece.num_rows))
        begin = np.clip(first[low:high] - start, 0, piece.num_rows)
        end = np.clip(first[low:high] + rows[low:high] - start, 0, piece.num_rows)
        sums[low:high] += ends[end] - ends[begin]
    return sums


def _pieces(manifest: pq.ParquetFile, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of some columns, and the number of the first."""
    first, groups = 0, manifest.num_row_groups
    step = max(1, _PIECE * groups // max(1, manifest.metadata.num_rows))
    for at in range(0, groups, step):
        piece = manifest.read_row_groups(range(at, min(groups, at + step)), columns=list(columns))
        if piece.num_rows:
            yield first, piece
        first += piece.num_rows


def _codes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], list[str]]:
    values: pa.DictionaryArray = column.unify_dictionaries().combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0)
    return values.indices.to_numpy(), values.dictionary.to_pylist()
