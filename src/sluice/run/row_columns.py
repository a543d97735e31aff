"""The columns that rules read, of a table or a Parquet file: streamed to a query, or written out as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa

from sluice.errors import RunError

Rows: TypeAlias = pa.Table | str | Path  # a table, or a Parquet file that holds it
Scalar: TypeAlias = bool | int | float | str | date | datetime | list[object] | None

MAX_TEXT: Final = 200  # characters of a text that a reason quotes
_BATCH: Final = 131_072  # rows streamed at a time


def stream(rows: Rows, names: Sequence[str]) -> pa.RecordBatchReader:
    """The columns `names` of `rows`, batch by batch in order; nothing else is read."""
    if not isinstance(rows, str | Path):
        _check_has(rows.schema, names, "the table")
        return rows.select(list(names)).to_reader(_BATCH)
    import pyarrow.dataset as ds

    try:
        dataset = ds.dataset(str(rows), format="parquet")
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{rows} cannot be read as a Parquet file: {error}") from error
    _check_has(dataset.schema, names, str(rows))
    # A little reading ahead hides the disk; more would only hold memory.
    return dataset.scanner(list(names), batch_size=_BATCH, batch_readahead=2, fragment_readahead=1).to_reader()


def take(rows: Rows, names: Sequence[str], indices: pa.Array) -> pa.Table:
    """The columns `names` of the rows at `indices`."""
    if not isinstance(rows, str | Path):
        return rows.select(list(names)).take(indices)
    import pyarrow.dataset as ds

    return ds.dataset(str(rows), format="parquet").scanner(list(names)).take(indices)


def as_json(rows: pa.Table, names: Sequence[str]) -> list[str]:
    """Each row as a JSON object of its columns `names`, in that order."""
    keys = [json.dumps(name, ensure_ascii=False) for name in names]
    values = [[_json(value) for value in _values(rows.column(name))] for name in names]
    return [
        "{" + ", ".join(f"{k}: {v}" for k, v in zip(keys, row, strict=True)) + "}" for row in zip(*values, strict=True)
    ]


def _check_has(schema: pa.Schema, names: Sequence[str], where: str) -> None:
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise RunError(f"{where} has no column {missing[0]!r}, which a rule reads: measure again")


def _values(column: pa.ChunkedArray) -> list[Scalar]:
    values: list[Scalar] = column.to_pylist()
    if pa.types.is_float32(column.type):
        # The shortest digits that name the 32-bit number: 12.1, not 12.100000381469727.
        return [float(str(np.float32(value))) if isinstance(value, float) else value for value in values]
    return values


def _json(value: Scalar) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "null" if math.isnan(value) else f'"{value}"'
    if isinstance(value, str) and len(value) > MAX_TEXT:
        value = value[:MAX_TEXT] + "..."
    return json.dumps(value, ensure_ascii=False, default=str)
