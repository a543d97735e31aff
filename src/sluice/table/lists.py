"""Columns of lists, made of flat arrays and taken apart into them: no list of Python's own for each row."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sluice.table.arrays import numbers

Indices: TypeAlias = npt.NDArray[np.int64]


def gathered(owner: Indices, values: pa.Array, rows: int) -> pa.ListArray:
    """By row, the list of its `values`; `owner` is the row of each, ascending.

    >>> gathered(np.array([0, 0, 2]), pa.array(["a", "b", "c"]), 3).to_pylist()
    [['a', 'b'], [], ['c']]
    """
    offsets = np.searchsorted(owner, np.arange(rows + 1)) if len(owner) else np.zeros(rows + 1)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)


def flat(column: pa.ChunkedArray) -> tuple[Indices, pa.Array]:
    """The values of a column of lists one after the other, and the row of each.

    >>> owner, values = flat(pa.chunked_array([[["a", "b"]], [[], ["c"]]]))
    >>> owner.tolist(), values.to_pylist()
    ([0, 0, 2], ['a', 'b', 'c'])
    """
    whole = column.combine_chunks()
    return numbers(pa.chunked_array([whole.value_parent_indices()])).astype(np.int64), whole.flatten()


def first_of_each(owner: Indices, value: Indices) -> Indices:
    """The places of the pairs (owner, value) that stand for the first time, ascending; values are not negative.

    >>> first_of_each(np.array([0, 0, 0, 1]), np.array([7, 5, 7, 7])).tolist()
    [0, 1, 3]
    """
    keys = owner * (int(value.max(initial=0)) + 1) + value
    return np.sort(np.unique(keys, return_index=True)[1])
