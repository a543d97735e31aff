"""Taking samples out of packed shards."""

import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pack.packing import finish, pack, samples
from sluice.errors import RecipeError, RunError
from sluice.pack.takedown import rewrite_shard_without
from sluice.pack.verify import verify


def rewrite(final, receipts, ids):
    """All shards without `ids`, as the conductor does it."""
    for name in receipts:
        format = name.partition("/")[0]
        receipts[name] = rewrite_shard_without(final / name, format, receipts[name].rows, ids)
    finish(final, receipts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(gone=st.sets(st.integers(0, 11)), several=st.booleans())
def test_a_pack_without_samples_is_a_pack_that_never_had_them(tmp_path_factory, read, gone, several):
    final, fresh = tmp_path_factory.mktemp("pack"), tmp_path_factory.mktemp("fresh")
    made = samples(final, several)
    receipts = pack(final, made, read, max_samples=100)
    rewrite(final, receipts, {made[place].id for place in gone})
    assert verify(final).problems == ()
    left = [sample for place, sample in enumerate(made) if place not in gone]
    if not left or (several and gone & {1}):
        return  # the schema of what is left would be another: that of the pack stays
    again = pack(fresh, left, read, max_samples=100)
    for name, receipt in again.items():
        assert receipts[name].rows == receipt.rows
        assert (receipts[name].sha256, receipts[name].bytes) == (receipt.sha256, receipt.bytes)
        if name.endswith(".parquet"):
            assert pq.read_table(final / name).equals(pq.read_table(fresh / name), check_metadata=True)


def test_doing_it_again_changes_nothing(tmp_path, read):
    made = samples(tmp_path)
    receipts = pack(tmp_path, made, read)
    gone = {made[0].id, made[5].id}
    rewrite(tmp_path, receipts, gone)
    before = {name: (tmp_path / name).read_bytes() for name in receipts}
    rewrite(tmp_path, receipts, gone)
    assert {name: (tmp_path / name).read_bytes() for name in receipts} == before


def test_a_shard_that_loses_all_stays_readable(tmp_path, read):
    made = samples(tmp_path)
    receipts = pack(tmp_path, made, read)
    name = "webdataset/train/shard-000000.tar"
    gone = set(receipts[name].rows["id"].to_pylist())
    rewrite(tmp_path, receipts, gone)
    with tarfile.open(tmp_path / name) as archive:
        assert archive.getnames() == []
    urls = [str(tmp_path / each) for each in receipts if each.startswith("webdataset/train/")]
    back = [entry["__key__"] for entry in webdataset.WebDataset(urls, shardshuffle=False)]
    assert back == [sample.id for sample in made if sample.split == "train" and sample.id not in gone]
    assert verify(tmp_path).whole


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_a_shard_that_is_not_the_manifests_is_left_alone(tmp_path, read, format):
    receipts = pack(tmp_path, samples(tmp_path), read)
    [name, other] = [each for each in receipts if each.startswith(f"{format}/train")][:2]
    rows = receipts[name].rows
    offsets = pa.array([offset + 512 for offset in rows["offset"].to_pylist()])
    shifted = rows.set_column(rows.schema.get_field_index("offset"), "offset", offsets)
    before = (tmp_path / name).read_bytes()
    for wrong in [receipts[other].rows, shifted if format == "webdataset" else rows.slice(1)]:
        with pytest.raises(RunError, match="sluice verify"):
            rewrite_shard_without(tmp_path / name, format, wrong, set())
    assert (tmp_path / name).read_bytes() == before
    (tmp_path / name).write_bytes(before[: len(before) // 3])
    with pytest.raises(RunError, match="sluice verify"):
        rewrite_shard_without(tmp_path / name, format, rows, set())
    assert (tmp_path / name).read_bytes() == before[: len(before) // 3]
    assert [path.name for path in (tmp_path / format).rglob("*.partial")] == []


def test_an_unknown_format_is_refused(tmp_path, read):
    with pytest.raises(RecipeError, match="unknown pack format"):
        rewrite_shard_without(tmp_path, "zip", None, set())
