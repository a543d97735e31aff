"""The columns that rules read, of a table or a Parquet file: streamed to a query, or written out as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.errors import RunError
from sluice.table.compute import pc

Rows: TypeAlias = pa.Table | str | Path  # a table, or a Parquet file that holds it

MAX_TEXT: Final = 200  # characters of a text that a reason quotes
_BATCH: Final = 131_072  # rows streamed at a time


def schema_of(rows: Rows, names: Sequence[str]) -> tuple[pa.Schema, list[str]]:
    """The columns `names` of `rows`, and the names of all that it has; RunError where one is missing."""
    is_file = isinstance(rows, str | Path)
    schema = _open(rows).schema_arrow if is_file else rows.schema
    _check_has(schema, names, str(rows) if is_file else "the table")
    return pa.schema([schema.field(name) for name in names]), schema.names


def stream(rows: Rows, names: Sequence[str]) -> pa.RecordBatchReader:
    """The columns `names` of `rows`, batch by batch in order, NaN as NULL; nothing else is read."""
    if not isinstance(rows, str | Path):
        _check_has(rows.schema, names, "the table")
        reader = rows.select(list(names)).to_reader(_BATCH)
        return pa.RecordBatchReader.from_batches(reader.schema, map(_without_nan, reader))
    file = _open(rows)
    _check_has(file.schema_arrow, names, str(rows))
    schema = pa.schema([file.schema_arrow.field(name) for name in names])
    batches = (batch.select(list(names)) for batch in file.iter_batches(_BATCH, columns=list(names)))
    return pa.RecordBatchReader.from_batches(schema, map(_without_nan, batches))


def take(rows: Rows, names: Sequence[str], indices: npt.NDArray[np.int64]) -> pa.Table:
    """The columns `names` of the rows at `indices`, in that order; of a file, only the row groups that hold them."""
    if not isinstance(rows, str | Path):
        _check_has(rows.schema, names, "the table")
        return rows.select(list(names)).take(pa.array(indices))
    file = _open(rows)
    _check_has(file.schema_arrow, names, str(rows))
    order = np.argsort(indices, kind="stable")
    taken = pa.concat_tables(_taken(file, names, indices[order]))
    return taken.take(pa.array(np.argsort(order, kind="stable")))


def as_json(rows: pa.Table, names: Sequence[str]) -> list[str]:
    """Each row as a JSON object of its columns `names`, in that order."""
    if not names:
        return ["{}"] * rows.num_rows
    members = [
        pc.binary_join_element_wise(json.dumps(name, ensure_ascii=False), _json(rows.column(name)), ": ")
        for name in names
    ]
    inside = pc.binary_join_element_wise(*members, ", ")
    objects: list[str] = pc.binary_join_element_wise("{", inside, "}", "").to_pylist()
    return objects


def _open(path: str | Path) -> Any:  # pq.ParquetFile, which ships no types
    import pyarrow.parquet as pq  # not pyarrow.dataset: that alone takes longer to import than a query runs

    try:
        return pq.ParquetFile(path, pre_buffer=True)
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path} cannot be read as a Parquet file: {error}") from error


def _taken(file: Any, names: Sequence[str], indices: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
    """The rows at `indices` (ascending), row group by row group; first an empty table, for the schema."""
    yield pa.schema([file.schema_arrow.field(name) for name in names]).empty_table()
    start = 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        first, last = np.searchsorted(indices, (start, end))
        if last > first:
            whole = file.read_row_group(group, columns=list(names)).select(list(names))
            yield whole.take(pa.array(indices[first:last] - start))
        start = end


def _check_has(schema: pa.Schema, names: Sequence[str], where: str) -> None:
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise RunError(f"{where} has no column {missing[0]!r}, which a rule reads: measure again")


def _without_nan(batch: pa.RecordBatch) -> pa.RecordBatch:
    """NaN says "could not be measured" as NULL does, but SQL would take it for the largest number."""
    for place, column in enumerate(batch.columns):
        if (
            pa.types.is_floating(column.type)
            and np.isnan(column.to_numpy(zero_copy_only=False)).sum() > column.null_count
        ):
            cleaned = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
            batch = batch.set_column(place, batch.schema.field(place), cleaned)
    return batch


def _json(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value as JSON text; Arrow writes a real number with the fewest digits that name it (12.1)."""
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        written = pc.replace_substring_regex(pc.cast(column, pa.string()), "^-?inf$", '"\\0"')
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        written = pc.cast(column, pa.string())
    else:
        written = _one_by_one(column)
    return pc.coalesce(written, "null")


def _one_by_one(column: pa.ChunkedArray) -> pa.ChunkedArray:
    values = [None if value is None else _json_value(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.string())])


def _json_value(value: object) -> str:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        value = value[:MAX_TEXT] + "..."
    return json.dumps(value, ensure_ascii=False, default=str)
