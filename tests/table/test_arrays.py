"""Columns as NumPy arrays and as their footers tell them, against Arrow's own reading of the same."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.table.arrays import numbers, real_numbers, three_valued, valid
from sluice.table.footer import counts_up, one_value, parts
from sluice.table.read import values_at

TYPES = {
    pa.int8(): st.integers(-128, 127),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.bool_(): st.booleans(),
}


@st.composite
def columns(draw, nulls=True, types=tuple(TYPES)):
    """A column in pieces, some of them slices of longer ones."""
    kind = draw(st.sampled_from(types))
    values = st.one_of(TYPES[kind], st.none()) if nulls else TYPES[kind]
    pieces = []
    for piece in draw(st.lists(st.lists(values, max_size=20), max_size=4)):
        before = draw(st.lists(values, max_size=11))
        pieces.append(pa.array([*before, *piece], kind).slice(len(before)))
    return pa.chunked_array(pieces, kind)


@given(columns(nulls=False))
def test_numbers_are_what_arrow_says_they_are(column):
    found = numbers(column)
    assert found.tolist() == column.to_pylist()
    assert found.dtype == column.type.to_pandas_dtype()


@given(columns())
def test_valid_rows_are_those_that_are_not_null(column):
    assert valid(column).tolist() == [value is not None for value in column.to_pylist()]


@given(columns(types=(pa.bool_(),)))
def test_booleans_have_three_values(column):
    assert three_valued(column).tolist() == [-1 if value is None else int(value) for value in column.to_pylist()]


@given(columns(types=(pa.int8(), pa.int32(), pa.uint64(), pa.float32())))
def test_real_numbers_are_nan_where_they_are_null(column):
    for ours, theirs in zip(real_numbers(column).tolist(), column.to_pylist(), strict=True):
        assert math.isnan(ours) if theirs is None else ours == float(theirs)


def test_nulls_are_no_numbers():
    with pytest.raises(ValueError, match="1 nulls"):
        numbers(pa.chunked_array([[1, None]]))


def test_nothing_is_valid_in_a_column_of_nothing():
    assert valid(pa.chunked_array([pa.nulls(3)])).tolist() == [False] * 3


@pytest.mark.parametrize("rows", [[3, 999, 4, 3, 0], [], [500]], ids=str)
def test_a_few_values_are_those_of_the_whole_column(tmp_path: Path, rows):
    table = pa.table({"other": np.arange(1000), "id": [f"{number:032x}" for number in range(1000)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=130)
    assert values_at(tmp_path / "t.parquet", "id", rows) == [f"{row:032x}" for row in rows]


@pytest.mark.parametrize(
    ("values", "same", "counts"),
    [
        ([0, 1, 2, 3, 4], None, True),
        ([0, 0, 1, 2, 3], None, False),
        ([0, 1, 1, 2, 3], None, False),
        ([0, 1, 2, 2, 2], None, False),
        ([1, 2, 3, 4, 5], None, False),
        ([7, 7, 7, 7, 7], 7, False),
        ([7, 7, None, 7, 7], None, False),
        ([True, True, True, True, True], True, None),
        ([True, True, True, True, False], None, None),
        ([], None, True),
        ([0], 0, True),
    ],
    ids=str,
)
def test_a_footer_tells_a_column_only_where_it_is_sure(tmp_path: Path, values, same, counts):
    for statistics in (True, False):
        table = pa.table({"list": pa.array([[1, 2]] * len(values), pa.list_(pa.int8())), "x": values})
        pq.write_table(table, tmp_path / "t.parquet", row_group_size=2, write_statistics=statistics)
        with pq.ParquetFile(tmp_path / "t.parquet") as file:
            column = parts(file.metadata, "x")
        assert one_value(column) == (same if statistics else None)
        if counts is not None:
            assert counts_up(column) == (counts and (statistics or not values))
