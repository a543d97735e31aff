"""Reading a table unit by unit, against filtering the whole of it."""

import weakref

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.table import read
from sluice.table.read import UnitReader


@given(
    st.lists(st.integers(0, 9), max_size=40).map(sorted),
    st.integers(1, 8),
    st.integers(1, 5),
    st.lists(st.integers(-1, 10)),
)
def test_a_unit_read_alone_is_the_whole_table_filtered(tmp_path_factory, units, group, few, asked):
    path = tmp_path_factory.mktemp("read") / "table.parquet"
    nested = pa.array([[unit] * (place % 3) for place, unit in enumerate(units)], pa.list_(pa.int16()))
    table = pa.table({"lists": nested, "unit": pa.array(units, pa.int32()), "n": pa.array(range(len(units)))})
    pq.write_table(table, path, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch, UnitReader(path, ["n", "lists"]) as reader:
        patch.setattr(read, "_FEW", few)
        for unit in asked:
            assert reader.read(unit).equals(table.filter(pc.equal(table["unit"], unit)).select(["n", "lists"]))


def test_a_table_without_statistics_is_read_as_well(tmp_path):
    table = pa.table({"unit": pa.array([0, 0, 1, 1, 2], pa.int32()), "n": range(5)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2, write_statistics=False)
    with UnitReader(tmp_path / "t.parquet", ["n"]) as reader:
        assert [reader.read(unit)["n"].to_pylist() for unit in (0, 1, 2, 3)] == [[0, 1], [2, 3], [4], []]


def test_units_that_follow_one_another_are_read_in_one_pass_that_holds_few_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "_FEW", 2)
    units = [unit for unit in range(20) for _ in range(3)]
    pq.write_table(pa.table({"unit": pa.array(units, pa.int32()), "n": range(60)}), tmp_path / "t.parquet", 30)
    begun, held = [], []
    batches = pq.ParquetFile.iter_batches

    def counted(self, *arguments, **named):
        begun.extend(named["row_groups"])
        for batch in batches(self, *arguments, **named):
            held.append(weakref.ref(batch))
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    with UnitReader(tmp_path / "t.parquet", ["n"]) as reader:
        for unit in [*range(13), 18]:
            assert reader.read(unit)["n"].to_pylist() == list(range(3 * unit, 3 * unit + 3))
            assert sum(one() is not None for one in held) <= 3
    assert begun == [0, 1]
