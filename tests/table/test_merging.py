"""Ascending tables become one, whatever their number and however they reach over each other; little of each is held."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.table.merging import merged

ROWS = pa.schema([("text", pa.string()), ("row", pa.int64())])


def write(folder: Path, numbers: list[list[int]]) -> list[Path]:
    paths = []
    for place, some in enumerate(numbers):
        table = pa.table([[f"{place} {number}" for number in some], some], schema=ROWS)
        paths.append(folder / f"store-{place:05d}.parquet")
        pq.write_table(table, paths[-1], row_group_size=3)
    return paths


@settings(max_examples=50)
@given(st.lists(st.sets(st.integers(0, 60), max_size=12), max_size=12), st.integers(2, 4), st.integers(1, 5))
def test_all_rows_come_in_order(numbers, at_once, batch):
    with TemporaryDirectory() as name:
        paths = write(Path(name), [sorted(some) for some in numbers])
        pieces = list(merged(paths, "row", Path(name), at_once=at_once, batch=batch))
        found = [(row["row"], row["text"]) for piece in pieces for row in piece.to_pylist()]
        assert [number for number, _ in found] == sorted(number for some in numbers for number in some)
        assert {text for _, text in found} == {f"{place} {n}" for place, some in enumerate(numbers) for n in some}
        assert sorted(Path(name).iterdir()) == sorted(paths), "what was merged on the way is gone"


def test_what_is_held_does_not_grow_with_the_tables(tmp_path):
    """A window's disorder, as fetching leaves it: a piece is a batch or two, and few files are open at a time."""
    order = np.argsort(np.arange(20_000) + np.random.default_rng(1).integers(0, 500, 20_000))
    paths = write(tmp_path, [sorted(order[start : start + 1_000].tolist()) for start in range(0, 20_000, 1_000)])
    before = pa.total_allocated_bytes()
    most = 0
    for piece in merged(paths, "row", tmp_path, batch=100):
        most = max(most, pa.total_allocated_bytes() - before)
        assert piece.num_rows <= 400
    whole = sum(pq.read_table(path).nbytes for path in paths)
    assert most < whole / 4


def test_tables_that_all_reach_over_the_same_are_merged_in_rounds(tmp_path):
    paths = write(tmp_path, [list(range(place, 4_000, 40)) for place in range(40)])
    found = pa.concat_tables(merged(paths, "row", tmp_path, at_once=3))
    assert found.column("row").to_pylist() == list(range(4_000))
    assert sorted(tmp_path.iterdir()) == paths


def test_empty_tables_and_none_at_all_merge_to_nothing(tmp_path):
    assert list(merged([], "row", tmp_path)) == []
    assert list(merged(write(tmp_path, [[], []]), "row", tmp_path)) == []
