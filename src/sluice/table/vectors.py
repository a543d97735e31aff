"""Tables of vectors: float16 lists of one length beside their keys, a unit each.

Plain Parquet; but vectors do not compress, and a dictionary or statistics of their numbers would only take time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.table.arrays import valid
from sluice.table.commit import commit
from sluice.table.plain_pages import plain_numbers

VECTOR: Final = "vector"
_ROW_GROUP: Final = 16_384
_BLOCK: Final = 256  # rows of vectors as float32: they stay in a core's cache
_LEAF: Final = f"{VECTOR}.list.element"


def vector_type(dim: int) -> pa.DataType:
    """The type of a column of vectors of `dim` numbers."""
    return pa.list_(pa.float16(), dim)


def write_vectors(path: Path, table: pa.Table) -> None:
    """Commit a table whose column `vector` holds vectors; equal tables give equal bytes."""
    table = table.cast(_stored(table.schema))
    plain = [name for name in table.column_names if name != VECTOR]
    settings: dict[str, Any] = {
        "compression": {**dict.fromkeys(plain, "zstd"), _LEAF: "none"},
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
    """A column of vectors as (rows, dim), NaN throughout where there is none; where none lacks, maybe a view of it.

    >>> matrix(pa.chunked_array([pa.array([[1.0, 2.0], None], vector_type(2))])).tolist()
    [[1.0, 2.0], [nan, nan]]
    """
    dim = column.type.list_size
    if column.num_chunks == 1 and not column.null_count:
        return _rows_of(column.chunk(0), dim)
    out = np.empty((len(column), dim), np.float16)
    end = 0
    for chunk in column.chunks:
        start, end = end, end + len(chunk)
        out[start:end] = _rows_of(chunk, dim)
    if column.null_count:
        out[~valid(column)] = np.nan
    return out


def _rows_of(chunk: pa.Array, dim: int) -> npt.NDArray[np.float16]:
    """A view of the numbers of a chunk as (rows, dim)."""
    values = chunk.values.slice(chunk.offset * dim, len(chunk) * dim)
    end = values.offset + len(values)
    return np.frombuffer(values.buffers()[1], np.float16, end)[values.offset :].reshape(-1, dim)


def read_vectors(path: Path) -> tuple[pa.Table, npt.NDArray[np.float16]]:
    """The keys of a table of vectors, and the vectors as (rows, dim)."""
    with pq.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        keys: pa.Table = file.read([name for name in schema.names if name != VECTOR], use_threads=False)
        leaves = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        numbers = plain_numbers(path, metadata, leaves.index(_LEAF), np.float16) if _LEAF in leaves else None
        if numbers is None:
            return keys, matrix(file.read([VECTOR], use_threads=False).column(VECTOR))
    return keys, numbers.reshape(-1, schema.field(VECTOR).type.list_size)


def cosines(
    vectors: npt.NDArray[np.floating[Any]],
    others: npt.NDArray[np.floating[Any]],
    rows: npt.NDArray[np.int64] | None = None,
    other_rows: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float32]:
    """The cosine of each row with its neighbour, all of length 1; of those in `rows` and `other_rows` where given.

    Rows are taken out a few at a time, so that a choice of many is never copied.

    >>> cosines(np.float16([[1, 0], [0, 1]]), np.float16([[0.5, 0], [0, -1]])).tolist()
    [0.5, -1.0]
    >>> cosines(np.float16([[1, 0], [0, 1]]), np.float16([[1, 0]]), np.array([1, 0]), np.array([0, 0])).tolist()
    [0.0, 1.0]
    """
    result = np.empty(len(vectors if rows is None else rows), np.float32)
    for start in range(0, len(result), _BLOCK):
        some = slice(start, start + _BLOCK)
        one = vectors[some if rows is None else rows[some]]
        other = others[some if other_rows is None else other_rows[some]]
        np.einsum("ij,ij->i", _single(one), _single(other), out=result[some])
    return result


def _single(vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """In single precision: the bits moved to their place, a fifth of the time that NumPy takes to convert them."""
    if vectors.dtype != np.float16:
        return vectors.astype(np.float32)
    bits = np.ascontiguousarray(vectors).view(np.int16)
    if ((bits & _EXPONENT) == _EXPONENT).any():  # infinite or no number
        return vectors.astype(np.float32)
    wide = bits.astype(np.int32)  # the sign goes to where it belongs
    wide <<= 13
    wide &= _SIGN_AND_NUMBER
    single = wide.view(np.float32)
    single *= _REBASED
    return single


_EXPONENT: Final = np.int16(0x7C00)
_SIGN_AND_NUMBER: Final = np.int32(0x0FFFE000 - 2**31)
_REBASED: Final = np.float32(2.0**112)  # an exponent counts from 15 in one, from 127 in the other
