"""Columns of lists against lists of Python's own."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sluice.table.lists import first_of_each, flat, gathered

LISTS = st.lists(st.lists(st.integers(0, 300), max_size=5), max_size=12)


@given(LISTS, st.integers(0, 12))
def test_a_column_of_lists_taken_apart_and_put_together_is_itself(lists, cut):
    column = pa.chunked_array([lists[:cut], lists[cut:]], pa.list_(pa.int16()))
    owner, values = flat(column)
    assert gathered(owner, values, len(lists)).to_pylist() == lists


@given(LISTS)
def test_of_equal_values_of_a_row_the_first_stands(lists):
    owner = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    value = np.array([value for one in lists for value in one], np.int64)
    first = first_of_each(owner, value)
    left = gathered(owner[first], pa.array(value[first]), len(lists)).to_pylist()
    assert left == [list(dict.fromkeys(one)) for one in lists]
