"""A manifest read in pieces says what it says as a whole."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from sluice.load import scan


@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    piece=st.integers(1, 40),
    group=st.integers(1, 20),
    seed=st.integers(0, 99),
    formats=st.sampled_from((("webdataset",), ("webdataset", "parquet", "webdataset"))),
    splits=st.sampled_from((("train",), ("train", "val"))),
)
def test_shards_and_sums_do_not_depend_on_the_pieces(
    counts: list[int], piece: int, group: int, seed: int, formats: tuple[str, ...], splits: tuple[str, ...]
) -> None:
    names = [(formats[at % len(formats)], splits[at % len(splits)], f"{at}") for at in range(len(counts))]
    columns = [np.repeat([name[at] for name in names], counts) for at in range(3)]
    repeats = np.random.default_rng(seed).integers(seed % 4, 4, sum(counts))  # 3 everywhere for some seeds
    table = pa.table([*map(pa.array, columns), pa.array(repeats)], [*scan.NAMES, "repeats"])
    before, scan._PIECE = scan._PIECE, piece  # type: ignore[misc]
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "manifest.parquet"
            pq.write_table(table, path, row_group_size=group)
            with pq.ParquetFile(path, read_dictionary=list(scan.NAMES)) as manifest:
                runs = scan.shard_runs(manifest)
                ends = np.cumsum(counts, dtype=np.int64)
                rows = np.array(counts[::2], np.int64)
                first = ends[::2] - rows
                sums = scan.summed(manifest, "repeats", first, rows)
    finally:
        scan._PIECE = before  # type: ignore[misc]
    assert [run[:3] for run in runs] == names
    assert [run.rows for run in runs] == counts and [run.first for run in runs] == (ends - counts).tolist()
    assert sums.tolist() == [int(repeats[one : one + count].sum()) for one, count in zip(first, rows, strict=True)]
