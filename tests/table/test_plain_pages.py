"""Numbers copied from Parquet pages, against pyarrow's own reading of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.table.plain_pages import plain_numbers

KINDS = {np.float16: pa.float16(), np.float32: pa.float32(), np.int64: pa.int64()}


@given(
    st.sampled_from(list(KINDS)),
    st.integers(0, 300),
    st.integers(1, 24),
    st.integers(1, 200),
    st.sampled_from([64, 1000, 2**20]),
    st.booleans(),
)
def test_whole_pages_are_what_pyarrow_reads(tmp_path_factory, dtype, rows, dim, group, page, checked):
    path = tmp_path_factory.mktemp("pages") / "t.parquet"
    numbers = np.arange(rows * dim).astype(dtype)
    leaf = pa.field("element", KINDS[dtype], nullable=False)
    column = pa.FixedSizeListArray.from_arrays(pa.array(numbers), type=pa.list_(leaf, dim))
    table = pa.table({"first": pa.array(range(rows), pa.int8() if rows < 100 else pa.int16()), "numbers": column})
    pq.write_table(
        table,
        path,
        compression={"first": "zstd", "numbers.list.element": "none"},
        use_dictionary=["first"],
        write_statistics=["first"],
        row_group_size=group,
        data_page_size=page,
        write_page_checksum=checked,
    )
    found = plain_numbers(path, pq.read_metadata(path), 1, dtype)
    assert found is not None
    assert found.tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("nulls", "settings"),
    [
        ([3], {"compression": "none", "use_dictionary": False}),
        ([], {"compression": "zstd", "use_dictionary": False}),
        ([], {"compression": "none", "use_dictionary": True}),
        ([], {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"}),
        (
            [],
            {
                "compression": "none",
                "use_dictionary": False,
                "column_encoding": {"numbers.list.element": "DELTA_BINARY_PACKED"},
            },
        ),
    ],
)
def test_a_column_that_lies_otherwise_is_left_to_pyarrow(tmp_path, nulls, settings):
    rows = [None if row in nulls else [row, row + 1] for row in range(50)]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"numbers": pa.array(rows, pa.list_(pa.int64(), 2))}), path, **settings)
    assert plain_numbers(path, pq.read_metadata(path), 0, np.int64) is None
