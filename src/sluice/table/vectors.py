"""Tables of vectors: float16 lists of one length beside their keys, a unit each.

Plain Parquet; but vectors do not compress, and a dictionary or statistics of their numbers would only take time.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.arrays import valid
from sluice.table.commit import commit
from sluice.table.read import read_table

VECTOR: Final = "vector"
_ROW_GROUP: Final = 16_384
_BLOCK: Final = 256  # rows of vectors as float32: they stay in a core's cache


def vector_type(dim: int) -> pa.DataType:
    """The type of a column of vectors of `dim` numbers."""
    return pa.list_(pa.float16(), dim)


def write_vectors(path: Path, table: pa.Table) -> None:
    """Commit a table whose column `vector` holds vectors; equal tables give equal bytes."""
    table = table.cast(_stored(table.schema))
    plain = [name for name in table.column_names if name != VECTOR]
    settings: dict[str, Any] = {
        "compression": {**dict.fromkeys(plain, "zstd"), f"{VECTOR}.list.element": "none"},
        "use_dictionary": plain,
        "write_statistics": plain,
    }
    with (
        commit(path) as partial,
        pq.ParquetWriter(partial, table.schema, version="2.6", write_page_index=False, **settings) as writer,
    ):
        writer.write_table(table, row_group_size=_ROW_GROUP)


def _stored(schema: pa.Schema) -> pa.Schema:
    """The schema with numbers that cannot be null in vectors that can: they are read in two thirds of the time."""
    number = pa.field("element", pa.float16(), nullable=False)
    vector = pa.field(VECTOR, pa.list_(number, schema.field(VECTOR).type.list_size))
    return schema.set(schema.get_field_index(VECTOR), vector)


def matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float16]:
    """A column of vectors as (rows, dim), NaN throughout where there is none.

    >>> matrix(pa.chunked_array([pa.array([[1.0, 2.0], None], vector_type(2))])).tolist()
    [[1.0, 2.0], [nan, nan]]
    """
    dim = column.type.list_size
    out = np.empty((len(column), dim), np.float16)
    end = 0
    for chunk in column.chunks:
        start, end = end, end + len(chunk)
        values = chunk.values.slice(chunk.offset * dim, len(chunk) * dim)
        out[start:end] = np.frombuffer(values.buffers()[1], np.float16, len(values) + values.offset)[
            values.offset :
        ].reshape(-1, dim)
    if column.null_count:
        out[~valid(column)] = np.nan
    return out


def read_vectors(path: Path) -> tuple[pa.Table, npt.NDArray[np.float16]]:
    """The keys of a table of vectors, and the vectors as (rows, dim)."""
    table = read_table(path, threads=False)
    return table.drop_columns([VECTOR]), matrix(table.column(VECTOR))


def cosines(vectors: npt.NDArray[np.floating[Any]], others: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """The cosine of each row with its neighbour, both of length 1.

    >>> cosines(np.float16([[1, 0], [0, 1]]), np.float16([[0.5, 0], [0, -1]])).tolist()
    [0.5, -1.0]
    """
    result = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        some = slice(start, start + _BLOCK)
        np.einsum("ij,ij->i", _single(vectors[some]), _single(others[some]), out=result[some])
    return result


def _single(vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """In single precision; to look a float16 up takes half the time that NumPy takes to convert it."""
    if vectors.dtype != np.float16:
        return vectors.astype(np.float32)
    return _every_half().take(vectors.view(np.uint16), mode="clip")  # else each place is checked first


@cache
def _every_half() -> npt.NDArray[np.float32]:
    return np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
