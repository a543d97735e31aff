"""The manifest and the checksums."""

import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.packing import pack, samples
from sluice.errors import RunError
from sluice.pack import manifest
from sluice.pack.base import ShardReceipt
from sluice.table import commit
from sluice.table.schema import MANIFEST


def receipt(start, count):
    rows = pa.table({"id": [f"{n:032x}" for n in range(start, start + count)]})
    columns = [rows["id"] if field.name == "id" else pa.nulls(count, field.type) for field in MANIFEST]
    return ShardReceipt(pa.Table.from_arrays(columns, schema=MANIFEST), (), 0, "")


def test_the_checksums_are_those_that_sha256sum_checks(tmp_path, read):
    pack(tmp_path, samples(tmp_path), read)
    command = ["sha256sum", "-c", "--strict", manifest.CHECKSUMS_FILE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == len(manifest.read_checksums(tmp_path)) == 9


def test_the_manifest_holds_the_rows_of_the_receipts_in_order(tmp_path, read):
    receipts = pack(tmp_path, samples(tmp_path), read)
    assert manifest.read_manifest(tmp_path) == pa.concat_tables(receipt.rows for receipt in receipts.values())
    rows = manifest.read_manifest(tmp_path)
    assert rows == rows.sort_by([("format", "ascending"), ("split", "ascending"), ("shard", "ascending")])


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 9), max_size=30))
def test_the_bytes_depend_on_the_rows_and_not_on_how_shards_cut_them(tmp_path_factory, cuts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commit, "ROW_GROUP", 7)
        folder = tmp_path_factory.mktemp("manifest")
        starts = [sum(cuts[:place]) for place in range(len(cuts))]
        shards = [receipt(start, count).rows for start, count in zip(starts, cuts, strict=True)]
        assert manifest.write_manifest(folder, shards) == sum(cuts)
        cut = (folder / manifest.MANIFEST_FILE).read_bytes()
        manifest.write_manifest(folder, [receipt(0, sum(cuts)).rows])
        assert (folder / manifest.MANIFEST_FILE).read_bytes() == cut
    assert pq.read_table(folder / manifest.MANIFEST_FILE)["id"].to_pylist() == [f"{n:032x}" for n in range(sum(cuts))]


def test_what_is_no_pack_is_said(tmp_path):
    with pytest.raises(RunError, match="not finished or damaged"):
        manifest.read_manifest(tmp_path)
    with pytest.raises(RunError, match="not finished or damaged"):
        manifest.read_checksums(tmp_path)
    (tmp_path / manifest.CHECKSUMS_FILE).write_text("nonsense\n")
    with pytest.raises(RunError, match="SHA256SUMS:1: not a line"):
        manifest.read_checksums(tmp_path)
