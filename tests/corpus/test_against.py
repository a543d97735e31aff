"""Reference sets as files of hashes: read whichever way they are spelled, refused when they are something else."""

from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sluice.corpus.against import load_hashes
from sluice.errors import SourceError
from sluice.measures.image_hash import phash

HASHES = [0, 2**64 - 1, 0x8F00_0000_0000_0001, 0x1234_5678_9012_3456]
HEXADECIMAL = [f"{value:016x}" for value in HASHES]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(HASHES, pa.uint64()),
        pa.array(np.array(HASHES, np.uint64).view(np.int64)),
        pa.array(HEXADECIMAL),
        pa.array([f"0x{text.upper()}" for text in HEXADECIMAL], pa.large_string()),
        pa.array([str(value) for value in HASHES]),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_hashes_are_read_however_they_are_written(values: pa.Array, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"reference.{ending}"
    table = pa.table({"file": ["a", "b", "c", "d"], "phash": values})
    if ending == "parquet":
        pq.write_table(table, path)
    else:
        comma = "," if ending == "csv" else "\t"
        lines = [comma.join([row["file"], str(row["phash"])]) for row in table.to_pylist()]
        path.write_text("\n".join([f"file{comma}phash", *lines]) + "\n")
    hashes, keys = load_hashes(path)
    assert hashes.tolist() == HASHES
    assert hashes.dtype == np.uint64
    assert keys == ["a", "b", "c", "d"]


def test_hexadecimal_hashes_of_decimal_digits_alone_stay_hexadecimal(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text("hash\n0000000000000010\n1234567890123456\n")
    assert load_hashes(path)[0].tolist() == [0x10, 0x1234_5678_9012_3456]


def test_what_imagehash_prints_is_the_hash_we_measure(tmp_path: Path) -> None:
    blotches = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(blotches).resize((256, 256), Image.Resampling.BICUBIC))
    path = tmp_path / "reference.csv"
    path.write_text(f"name,phash\nramp,{imagehash.phash(Image.fromarray(pixels))}\n")
    hashes, _ = load_hashes(path)
    assert np.bitwise_count(hashes ^ phash([pixels])).max() <= 2


def test_rows_without_a_hash_are_passed_over_and_nameless_ones_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "reference.parquet"
    pq.write_table(pa.table({"hash": pa.array([None, 5, 7], pa.uint64()), "id": ["a", None, "c"]}), path)
    hashes, keys = load_hashes(path, "dhash")
    assert hashes.tolist() == [5, 7]
    assert keys == ["row 1", "c"]


def test_an_empty_set_is_a_set(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv"
    path.write_text("phash\n")
    assert [len(part) for part in load_hashes(path)] == [0, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "dhash\n00000000000000ff\n", "expected a column `phash` or `hash`, found dhash"),
        ("a.csv", "phash\nff\n", "found 'ff'"),
        ("a.csv", "phash\n00000000000000ff\n12\nno\n", "found '00000000000000ff'"),
        ("a.csv", f"phash\n{2**64}\n", f"found '{2**64}'"),
        ("a.csv", "", "as CSV"),
        ("a.parquet", "phash\n", "as PARQUET"),
        ("a.json", "[]", "expected hashes as .csv, .tsv, .parquet or .arrow"),
    ],
)
def test_what_is_no_set_of_hashes_is_refused_by_name(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=message) as raised:
        load_hashes(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"phash": [0.5]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="found double"):
        load_hashes(tmp_path / "a.parquet")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.parquet: cannot be read"):
        load_hashes(tmp_path / "absent.parquet")
