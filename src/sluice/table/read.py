"""Reading a run's tables. Not through `pyarrow.dataset`: its import alone takes longer than most questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.compute import pc

_FEW: Final = 8_192  # rows held at a time where few are wanted


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
        place = schema.names.index(column)
        found = [schema.empty_table().select(wanted)]
        for group in range(file.num_row_groups):
            statistics = _statistics(file.metadata.row_group(group), column, place)
            if statistics is None or statistics.min <= value <= statistics.max:
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

    A row group holds many units: it is decoded when the first of them is asked for and kept until one comes that it
    does not hold. A context manager.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._file = pq.ParquetFile(path)
        schema = self._file.schema_arrow
        self._empty = schema.empty_table().select(self._columns)
        metadata, place = self._file.metadata, schema.names.index("unit")
        found = (_statistics(metadata.row_group(group), "unit", place) for group in range(metadata.num_row_groups))
        self._spans = [(known.min, known.max) if known else None for known in found]
        self._held: dict[int, pa.Table] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, unit: int) -> pa.Table:
        """The rows of `unit`; none where it has none."""
        groups = [group for group, span in enumerate(self._spans) if span is None or span[0] <= unit <= span[1]]
        self._held = {group: self._held.get(group) or self._group(group) for group in groups}
        return pa.concat_tables([self._empty, *(_of_unit(table, self._columns, unit) for table in self._held.values())])

    def _group(self, group: int) -> pa.Table:
        return self._file.read_row_group(group, columns=list({*self._columns, "unit"}), use_threads=False)


def _of_unit(table: pa.Table, columns: Sequence[str], unit: int) -> pa.Table:
    start, end = np.searchsorted(table.column("unit").to_numpy(), [unit, unit + 1])
    return table.slice(start, end - start).select(list(columns))


def _statistics(group: Any, column: str, place: int) -> Any:
    """Least and greatest of a column in a row group; None where they are not known."""
    for chunk in range(place, group.num_columns):  # nested columns before it take several places
        if group.column(chunk).path_in_schema == column:
            statistics = group.column(chunk).statistics
            return statistics if statistics is not None and statistics.has_min_max else None
    return None
