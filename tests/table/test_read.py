"""Reading a table unit by unit, against filtering the whole of it."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from sluice.table.read import UnitReader


@given(st.lists(st.integers(0, 9), max_size=40).map(sorted), st.integers(1, 8), st.lists(st.integers(-1, 10)))
def test_a_unit_read_alone_is_the_whole_table_filtered(tmp_path_factory, units, group, asked):
    path = tmp_path_factory.mktemp("read") / "table.parquet"
    nested = pa.array([[unit] * (place % 3) for place, unit in enumerate(units)], pa.list_(pa.int16()))
    table = pa.table({"lists": nested, "unit": pa.array(units, pa.int32()), "n": pa.array(range(len(units)))})
    pq.write_table(table, path, row_group_size=group)
    with UnitReader(path, ["n", "lists"]) as reader:
        for unit in asked:
            assert reader.read(unit).equals(table.filter(pc.equal(table["unit"], unit)).select(["n", "lists"]))


def test_a_table_without_statistics_is_read_as_well(tmp_path):
    table = pa.table({"unit": pa.array([0, 0, 1, 1, 2], pa.int32()), "n": range(5)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2, write_statistics=False)
    with UnitReader(tmp_path / "t.parquet", ["n"]) as reader:
        assert [reader.read(unit)["n"].to_pylist() for unit in (0, 1, 2, 3)] == [[0, 1], [2, 3], [4], []]


def test_a_row_group_is_decoded_once_for_the_units_that_follow_one_another(tmp_path, monkeypatch):
    table = pa.table({"unit": pa.array([0, 0, 1, 2, 2, 3], pa.int32()), "n": range(6)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=3)
    decoded = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, group, **k: decoded.append(group) or read(self, group, **k)
    )
    with UnitReader(tmp_path / "t.parquet", ["n"]) as reader:
        for unit in range(4):
            reader.read(unit)
    assert decoded == [0, 1]
