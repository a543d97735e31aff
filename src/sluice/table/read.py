"""Reading a run's tables. Not through `pyarrow.dataset`: its import alone takes longer than most questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.compute import pc
from sluice.table.footer import spans

_FEW: Final = 4_096  # rows held at a time where few are wanted


def read_table(
    path: Path, columns: Sequence[str] | None = None, *, threads: bool = True, encoded: Sequence[str] = ()
) -> pa.Table:
    """The table `path`, or those of its `columns`, in the order asked; text columns in `encoded` as dictionaries."""
    with pq.ParquetFile(path, pre_buffer=True, read_dictionary=list(encoded)) as file:
        table: pa.Table = file.read(columns=None if columns is None else list(columns), use_threads=threads)
    return table if columns is None else table.select(list(columns))


def values_at(path: Path, column: str, rows: Sequence[int]) -> list[Any]:
    """The values of `column` in a few `rows` of `path`, in the order asked; row groups without one are not read."""
    found: dict[int, Any] = {}
    with pq.ParquetFile(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            wanted = sorted({row for row in rows if start <= row < end})
            if wanted:
                found |= zip(wanted, _in_group(file, group, column, [row - start for row in wanted]), strict=True)
            start = end
    return [found[row] for row in rows]


def _in_group(file: pq.ParquetFile, group: int, column: str, rows: list[int]) -> Iterator[Any]:
    """The values in `rows` (ascending, counted from the start of the row group), read as far as the last of them."""
    start, left = 0, rows[::-1]
    for batch in file.iter_batches(_FEW, row_groups=[group], columns=[column], use_threads=False):
        while left and left[-1] < start + len(batch):
            yield batch.column(0)[left.pop() - start].as_py()
        if not left:
            return
        start += len(batch)


def read_where(path: Path, column: str, value: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of `path` in which `column` is `value`; of row groups without one that column alone is read, or none."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        wanted = list(schema.names if columns is None else columns)
        found = [schema.empty_table().select(wanted)]
        for group, span in enumerate(spans(file.metadata, column)):
            if span is None or span[0] <= value <= span[1]:
                sought = file.read_row_group(group, columns=[column], use_threads=False).column(0)
                here = pc.equal(sought, value)
                if pc.any(here).as_py():
                    table = file.read_row_group(group, columns=wanted, use_threads=False)
                    found.append(table.filter(here).select(wanted))
    return pa.concat_tables(found)


def read_in_unit(path: Path, unit: int, column: str, value: Any) -> pa.Table:
    """The same where it is known in which unit, of a table sorted by its column `unit`: a row group or two are read."""
    with UnitReader(path, pq.read_schema(path).names) as reader:
        table = reader.read(unit)
    return table.filter(pc.equal(table.column(column), value))


class UnitReader:
    """Reads `columns` of a table sorted by its column `unit`, one unit after the other.

    Units that ascend are read in one pass, some rows at a time, and what lies before the unit at hand is let go of: a
    row group holds many units, and a shard asks for those of two. A context manager.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._file = pq.ParquetFile(path)
        self._empty = self._file.schema_arrow.empty_table().select(self._columns)
        self._spans = spans(self._file.metadata, "unit")
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, unit: int) -> pa.Table:
        """The rows of `unit`; none where it has none."""
        if unit < self._unit:
            self._begin()
        self._unit = unit
        self._held = [batch for batch in self._held if _last_unit(batch) >= unit]
        while not (self._held and _last_unit(self._held[-1]) > unit):
            batch = self._next()
            if batch is None:
                break
            if _last_unit(batch) >= unit:
                self._held.append(batch)
        return pa.concat_tables([self._empty, *(_of_unit(batch, self._columns, unit) for batch in self._held)])

    def _begin(self) -> None:
        """Stand before the first row group."""
        self._unit, self._group = 0, 0
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._held: list[pa.RecordBatch] = []

    def _next(self) -> pa.RecordBatch | None:
        """Rows that follow, if they can be of the unit at hand; row groups that hold none of it are passed over."""
        while True:
            for batch in self._batches:
                if len(batch):
                    return batch
            if self._group == len(self._spans):
                return None
            span = self._spans[self._group]
            if span is not None and span[0] > self._unit:
                return None
            if span is None or self._unit <= span[1]:
                self._batches = self._batches_of(self._group)
            self._group += 1

    def _batches_of(self, group: int) -> Iterator[pa.RecordBatch]:
        columns = list({*self._columns, "unit"})
        return self._file.iter_batches(_FEW, row_groups=[group], columns=columns, use_threads=False)


def _last_unit(batch: pa.RecordBatch) -> int:
    return batch.column("unit")[-1].as_py()


def _of_unit(batch: pa.RecordBatch, columns: Sequence[str], unit: int) -> pa.Table:
    start, end = np.searchsorted(batch.column("unit").to_numpy(), [unit, unit + 1])
    return pa.Table.from_batches([batch.slice(start, end - start)]).select(list(columns))
