"""What a manifest lists, read a quarter of a million rows at a time: the rows of 10^8 samples are never held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.arrays import codes, filled
from sluice.table.footer import one_value, parts

Numbers = npt.NDArray[np.int64]

NAMES: Final = ("format", "split", "shard")  # columns that a manifest is opened with as dictionaries
_PIECE: Final = 262_144  # rows: what of them is at hand stays in a processor's cache


class Run(NamedTuple):
    """Rows of one shard, one after another."""

    format: str
    split: str
    shard: str
    first: int
    rows: int


def shard_runs(manifest: pq.ParquetFile) -> list[Run]:
    """All shards, in their order."""
    everywhere = {name: one_value(parts(manifest.metadata, name)) for name in NAMES[:-1]}
    varying = [name for name in NAMES if everywhere.get(name) is None]
    runs: list[Run] = []
    for first, piece in _pieces(manifest, varying):
        columns = [piece.column(name).unify_dictionaries() for name in varying]
        numbered = [codes(column) for column in columns]
        names: list[list[str]] = [column.chunk(0).dictionary.to_pylist() for column in columns]
        changes = np.logical_or.reduce([one[1:] != one[:-1] for one in numbered])
        starts = [0, *(np.flatnonzero(changes) + 1).tolist()]
        for start, stop in zip(starts, [*starts[1:], piece.num_rows], strict=True):
            here = {name: known[one[start]] for name, one, known in zip(varying, numbered, names, strict=True)}
            format, split, shard = (here.get(name) or everywhere[name] for name in NAMES)
            if runs and runs[-1][:3] == (format, split, shard):  # a shard that goes on in this piece
                runs[-1] = runs[-1]._replace(rows=runs[-1].rows + stop - start)
            else:
                runs.append(Run(format, split, shard, first + start, stop - start))
    return runs


def summed(manifest: pq.ParquetFile, column: str, first: Numbers, rows: Numbers) -> Numbers:
    """The sum of a column over each of some stretches of rows, none as 1; the stretches are in order."""
    every = one_value(parts(manifest.metadata, column))
    if every is not None:
        return rows * int(every)
    sums = np.zeros(len(first), np.int64)
    for start, piece in _pieces(manifest, (column,)):
        values = piece.column(column)
        known = filled(values, 1)
        ends = np.concatenate([[0], np.cumsum(known, dtype=np.int64)])
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
