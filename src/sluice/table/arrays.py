"""Arrow columns as NumPy arrays. Not by their `to_numpy`: where there is a pandas it imports that first, at length."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_WIDTHS: Final[dict[pa.DataType, Any]] = {
    pa.int8(): np.int8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.uint8(): np.uint8,
    pa.uint16(): np.uint16,
    pa.uint32(): np.uint32,
    pa.uint64(): np.uint64,
    pa.float16(): np.float16,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """The numbers or booleans of a column without nulls; a view of it where it is in one piece and no booleans.

    >>> numbers(pa.chunked_array([[1, 2], [3]])).tolist()
    [1, 2, 3]
    """
    if column.null_count:
        raise ValueError(f"{column.null_count:,} nulls: what stands in their place is no number")
    pieces = [_values(chunk) for chunk in column.chunks]
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate([np.zeros(0, np.bool_ if column.type == pa.bool_() else _WIDTHS[column.type]), *pieces])


def filled(column: pa.ChunkedArray, absent: int) -> npt.NDArray[Any]:
    """The numbers of a column, `absent` where it is null. Not by `pyarrow.compute`, whose import takes 30 ms.

    >>> filled(pa.chunked_array([[1, None], [3]]), -1).tolist()
    [1, -1, 3]
    """
    if not column.null_count:
        return numbers(column)
    known = [_values(chunk) for chunk in column.chunks]
    return np.where(valid(column), np.concatenate(known), np.array(absent, known[0].dtype))


def places_of(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.signedinteger[Any]]:
    """Where a mask is true, in four bytes each as long as they suffice.

    >>> places_of(np.array([True, False, True]))
    array([0, 2], dtype=int32)
    """
    return np.flatnonzero(mask).astype(np.int32 if len(mask) < 2**31 else np.int64)


def narrow(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
    """Counts in four bytes each where these suffice for all of them.

    >>> narrow(np.array([7, 2**31])).dtype, narrow(np.array([7, 2**32])).dtype
    (dtype('uint32'), dtype('int64'))
    """
    return counts.astype(np.uint32) if counts.max(initial=0) < 2**32 else counts


def distinct_numbers(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Numbers, each once, ascending. Not by `np.unique`: it is slower, and imports `numpy.ma` first.

    >>> distinct_numbers([3, 1, 3]).tolist()
    [1, 3]
    """
    ascending = np.sort(np.asarray(values).ravel())
    first = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return ascending[first]


def span(ascending: npt.NDArray[Any], first: int, count: int) -> slice[int, int]:
    """Where those of some ascending numbers stand that are one of `count` from `first` on.

    >>> span(np.array([2, 5, 6, 9]), 5, 4)
    slice(1, 3, None)
    """
    return slice(*np.searchsorted(ascending, [first, first + count]).tolist())


def codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A number for each value of a column of dictionaries, equal for equal values, counted from 0; -1 where it is null.

    >>> codes(pa.chunked_array([["b", "a"], ["b", None]]).dictionary_encode()).tolist()
    [0, 1, 0, -1]
    """
    result = np.empty(len(column), np.int64)
    end = 0
    for chunk in column.unify_dictionaries().chunks:
        assert isinstance(chunk, pa.DictionaryArray)
        start, end = end, end + len(chunk)
        result[start:end] = _values(chunk.indices)
    if column.null_count:
        result[~valid(column)] = -1
    return result


def valid(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which rows of a column are not null.

    >>> valid(pa.chunked_array([["a", None], ["b"]])).tolist()
    [True, False, True]
    """
    result = np.ones(len(column), np.bool_)
    end = 0
    for chunk in column.chunks:
        start, end = end, end + len(chunk)
        if chunk.null_count:
            known = chunk.buffers()[0]
            result[start:end] = False if known is None else _bits(known, chunk)  # of the type null: there is no bitmap
    return result


def real_numbers(column: pa.ChunkedArray) -> npt.NDArray[np.floating[Any]]:
    """A column of numbers as real ones, NaN where it is null; whole numbers in 64 bits.

    >>> real_numbers(pa.chunked_array([[1, None]])).tolist()
    [1.0, nan]
    """
    kind = _WIDTHS[column.type]
    result = np.empty(len(column), kind if np.issubdtype(kind, np.floating) else np.float64)
    end = 0
    for chunk in column.chunks:
        start, end = end, end + len(chunk)
        result[start:end] = _values(chunk)
    if column.null_count:
        result[~valid(column)] = np.nan
    return result


def three_valued(column: pa.ChunkedArray) -> npt.NDArray[np.int8]:
    """Booleans as numbers: 1 true, 0 false, -1 null.

    >>> three_valued(pa.chunked_array([[True, False, None]])).tolist()
    [1, 0, -1]
    """
    result = np.empty(len(column), np.int8)
    end = 0
    for chunk in column.chunks:
        start, end = end, end + len(chunk)
        result[start:end] = _values(chunk)
    if column.null_count:
        result[~valid(column)] = -1
    return result


def _values(chunk: pa.Array) -> npt.NDArray[Any]:
    """The values; where they are null, anything."""
    buffer = chunk.buffers()[1]
    if not len(chunk):
        return np.zeros(0, np.bool_ if chunk.type == pa.bool_() else _WIDTHS[chunk.type])
    if chunk.type == pa.bool_():
        return _bits(buffer, chunk)
    return np.frombuffer(buffer, _WIDTHS[chunk.type], chunk.offset + len(chunk))[chunk.offset :]


def _bits(buffer: Any, chunk: pa.Array) -> npt.NDArray[np.bool_]:
    """One of the bitmaps of `chunk`."""
    end = chunk.offset + len(chunk)
    return np.unpackbits(np.frombuffer(buffer, np.uint8), count=end, bitorder="little")[chunk.offset :].view(np.bool_)
