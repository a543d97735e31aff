"""Verifying finds whatever is wrong with a pack, and says where."""

import io
import tarfile
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pack.packing import digest, finish, pack, problems, samples
from sluice.errors import RunError
from sluice.pack.checks import check_shard
from sluice.pack.formats import packer
from sluice.pack.manifest import MANIFEST_FILE, read_checksums, read_manifest, write_checksums
from sluice.pack.verify import check_pack, shard_checks, verify
from sluice.pack.writing import write_shard
from sluice.table.commit import write_table
from sluice.table.refs import RefReader

TAR = "webdataset/train/shard-000000.tar"
PARQUET = "parquet/train/shard-000000.parquet"


def resum(final, name):
    """The shard's checksum written anew, so that only what the checksum cannot see is left to find."""
    write_checksums(final, {**read_checksums(final), name: digest(final / name)})


def retar(final, change):
    with tarfile.open(final / TAR) as archive:
        members = [(info.name, archive.extractfile(info).read()) for info in archive]
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (final / TAR).write_bytes(sink.getvalue())
    resum(final, TAR)


@pytest.mark.parametrize("several", [False, True])
def test_a_pack_as_written_has_no_problem(tmp_path, read, several):
    pack(tmp_path, samples(tmp_path, several), read)
    seen = []
    report = verify(tmp_path, lambda done, total: seen.append((done, total)))
    assert report.whole and report.problems == ()
    assert (report.shards, report.samples) == (8, 24)
    assert report.bytes == sum((tmp_path / name).stat().st_size for name in read_checksums(tmp_path) if "/" in name)
    assert seen == [(done, 8) for done in range(1, 9)]


def test_the_sizes_of_all_images_are_in_the_manifest_and_an_older_one_without_them_is_fine(tmp_path, read):
    made = samples(tmp_path, several=True)
    pack(tmp_path, made, read, formats=("mds", "parquet", "webdataset"))
    known = {sample.id: [{"width": one.width, "height": one.height} for one in sample.images] for sample in made}
    assert {len(sizes) for sizes in known.values()} == {0, 1, 2}
    table = read_manifest(tmp_path)
    assert len(table) == 36 and all(row["image_sizes"] == known[row["id"]] for row in table.to_pylist())

    def verified(changed):
        pq.write_table(changed, tmp_path / MANIFEST_FILE)
        resum(tmp_path, MANIFEST_FILE)
        return problems(tmp_path)

    assert verified(table.drop_columns(["image_sizes"])) == set()
    wrong = pa.array([[{"width": 1, "height": 1}]] * len(table), table.schema.field("image_sizes").type)
    place = table.schema.get_field_index("image_sizes")
    found = verified(table.set_column(place, table.schema.field(place), wrong))
    assert len(found) == 24 and all("image_sizes is" in str(one) for one in found), (
        found
    )  # a table's are not held against it


def test_the_parts_checked_apart_find_what_the_whole_finds(tmp_path, read):
    pack(tmp_path, samples(tmp_path), read)
    (tmp_path / TAR).write_bytes(b"")
    apart = check_pack(tmp_path) + [problem for check in shard_checks(tmp_path) for problem in check_shard(check)]
    assert tuple(apart) == verify(tmp_path).problems != ()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pack, and the checks of one shard of each format; the tests that use it put the bytes back."""
    final = tmp_path_factory.mktemp("whole")
    with RefReader(max_bytes=2**27) as reader:
        pack(final, samples(final), reader.read)
    return {check.shard: check for check in shard_checks(final)}


@contextmanager
def spoilt(check, change):
    path = check.folder / check.shard
    data = path.read_bytes()
    try:
        path.write_bytes(change(data))
        yield path
    finally:
        path.write_bytes(data)


@given(name=st.sampled_from([TAR, PARQUET]), place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_flipped_byte_is_found(whole, name, place, flip):
    def change(data):
        at = int(place * len(data))
        return data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]

    with spoilt(whole[name], change):
        problem = check_shard(whole[name])[0]
    assert (problem.shard, problem.id, problem.what) == (name, None, "its SHA-256 is not the one written down")


@given(name=st.sampled_from([TAR, PARQUET]), place=st.floats(0, 1, exclude_max=True))
def test_any_cut_is_found_even_with_its_checksum_written_anew(whole, name, place):
    def change(data):
        end = len(data) if name == PARQUET else len(data.rstrip(b"\0")) + 512
        return data[: int(place * (end - 1))]

    with spoilt(whole[name], change) as path:
        assert check_shard(replace(whole[name], sha256=digest(path)))


def test_a_changed_image_is_named_even_with_its_checksum_written_anew(tmp_path, read):
    receipts = pack(tmp_path, samples(tmp_path), read)
    row = receipts[TAR].rows.to_pylist()[1]
    data = bytearray((tmp_path / TAR).read_bytes())
    data[row["image_offset"] + row["image_size"] // 2] ^= 1
    (tmp_path / TAR).write_bytes(bytes(data))
    resum(tmp_path, TAR)
    found = problems(tmp_path)
    assert {(shard, id) for shard, id, _ in found} == {(TAR, row["id"])}
    assert any("sha256 is" in what for _, _, what in found)
    assert any("not those its .json names" in what for _, _, what in found)


def test_a_changed_second_image_is_named(tmp_path, read):
    made = samples(tmp_path, several=True)
    pack(tmp_path, made, read)
    table = pq.read_table(tmp_path / PARQUET)
    rows = table.to_pylist()
    rows[1]["images"][1]["bytes"] += b"!"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / PARQUET)
    retar(tmp_path, lambda members: [(n, d + b"!" if n.endswith(".1.png") else d) for n, d in members])
    resum(tmp_path, PARQUET)
    found = problems(tmp_path)
    assert (PARQUET, made[1].id, "its images are not those its sha256 column names") in found
    assert (TAR, made[1].id, "its images are not those its .json names") in found


def test_a_member_that_is_not_named_or_missing_or_twice_is_found(tmp_path, read):
    made = samples(tmp_path)
    pack(tmp_path, made, read)
    lost, twice = made[1].id, made[4].id

    def change(members):
        kept = [(name, data) for name, data in members if not name.startswith(lost)]
        again = [(name, data) for name, data in members if name.startswith(twice)]
        return [*kept, ("f" * 32 + ".jpg", b"strange"), *again]

    retar(tmp_path, change)
    found = problems(tmp_path)
    assert (TAR, lost, "is in the manifest but not in the shard") in found
    assert (TAR, "f" * 32, "is in the shard but not in the manifest") in found
    assert (TAR, twice, "is in the shard twice") in found


def test_members_of_a_sample_that_disagree_are_found(tmp_path, read):
    made = samples(tmp_path)
    pack(tmp_path, made, read)
    one, two, three = made[0].id, made[1].id, made[2].id

    def change(members):
        texts = dict(members)
        other = {f"{one}.txt": b"another", f"{two}.json": texts[f"{one}.json"], f"{three}.json": b"[1"}
        return [(name, other.get(name, data)) for name, data in members] + []

    retar(tmp_path, change)
    found = problems(tmp_path)
    assert (TAR, one, "its .txt is not its best caption") in found
    assert (TAR, two, f"its .json is of sample {one}") in found
    assert any(id == three and "missing or damaged" in what for _, id, what in found)


def test_a_second_txt_of_a_sample_is_found(tmp_path, read):
    made = samples(tmp_path)
    pack(tmp_path, made, read)
    retar(tmp_path, lambda members: [entry for n, d in members for entry in [(n, d)] * (1 + n.endswith("txt"))])
    assert (TAR, made[0].id, f"member {made[0].id}.txt is there twice") in problems(tmp_path)


def test_missing_and_strange_files_are_found(tmp_path, read):
    pack(tmp_path, samples(tmp_path), read)
    (tmp_path / TAR).unlink()
    (tmp_path / "parquet/train/shard-000009.parquet").write_bytes(b"")
    (tmp_path / PARQUET).rename(tmp_path / "aside")
    (tmp_path / PARQUET).mkdir()
    found = problems(tmp_path)
    assert (TAR, None, "the file is missing") in found
    assert ("parquet/train/shard-000009.parquet", None, "SHA256SUMS does not name it") in found
    assert any(shard == PARQUET and "cannot be read" in what for shard, _, what in found)


def test_a_changed_manifest_is_found(tmp_path, read):
    pack(tmp_path, samples(tmp_path), read)
    table = read_manifest(tmp_path)
    write_table(tmp_path / MANIFEST_FILE, table.take([1, 0, *range(2, table.num_rows - 1)]))
    found = problems(tmp_path)
    told = {what.partition(":")[0] for shard, _, what in found if shard == MANIFEST_FILE}
    assert told == {
        "its SHA-256 is not the one written down, or it is missing",
        "is missing from a format",
        "is out of order in the manifest",
    }


def test_an_id_twice_and_formats_in_another_order_are_found(tmp_path, read):
    made = samples(tmp_path)
    receipts = pack(tmp_path, made, read)
    name = "webdataset/val/shard-000000.tar"
    val = [sample for sample in made if sample.split == "val"]
    receipts[name] = write_shard(packer("webdataset"), tmp_path / name, name, val[::-1], read)
    finish(tmp_path, receipts)
    found = problems(tmp_path)
    assert {what.partition(":")[0] for _, _, what in found} == {"is not at the same place in every format"}
    again = [*val, made[0]]
    receipts[name] = write_shard(packer("webdataset"), tmp_path / name, name, again, read)
    finish(tmp_path, receipts)
    found = problems(tmp_path)
    assert any(id == made[0].id and what.startswith("is packed twice in a format") for _, id, what in found)
    assert all(id == made[0].id for _, id, _ in found)


def test_a_cluster_cut_by_a_split_is_found(tmp_path, read):
    made = [replace(sample, cluster="same") for sample in samples(tmp_path)]
    pack(tmp_path, made, read)
    [(shard, _, what)] = problems(tmp_path)
    assert (shard, what) == (
        MANIFEST_FILE,
        "has its cluster in more than one split: cluster same is in train, val",
    )


def test_parquet_rows_that_disagree_are_found(tmp_path, read):
    made = samples(tmp_path)
    pack(tmp_path, made, read)
    table = pq.read_table(tmp_path / PARQUET)
    rows = table.to_pylist()
    rows[0]["caption"], rows[1]["sha256"], rows[2]["image"] = "another", "0" * 64, None
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / PARQUET)
    resum(tmp_path, PARQUET)
    found = problems(tmp_path)
    assert {id for _, id, _ in found} == {sample.id for sample in made[:3]}
    pq.write_table(table.drop_columns(["captions"]), tmp_path / PARQUET)
    resum(tmp_path, PARQUET)
    assert (PARQUET, None, "column captions is missing") in problems(tmp_path)


def test_an_empty_shard_is_checked_by_its_checksum(tmp_path, read):
    receipts = pack(tmp_path, samples(tmp_path), read)
    name = "webdataset/train/shard-000003.tar"
    receipts[name] = write_shard(packer("webdataset"), tmp_path / name, name, [], read)
    finish(tmp_path, receipts)
    report = verify(tmp_path)
    assert report.whole and report.shards == 9


def test_a_shard_without_a_checksum_is_a_problem(tmp_path, read):
    pack(tmp_path, samples(tmp_path), read)
    sums = read_checksums(tmp_path)
    del sums[TAR]
    write_checksums(tmp_path, sums)
    assert problems(tmp_path) == {(TAR, None, "SHA256SUMS does not name it")}


def test_many_problems_of_a_kind_are_counted(tmp_path, read, monkeypatch):
    monkeypatch.setattr("sluice.pack.verify.MANY", 5)
    pack(tmp_path, samples(tmp_path), read)
    table = read_manifest(tmp_path)
    write_table(tmp_path / MANIFEST_FILE, table.filter(table["format"].to_numpy() == "parquet"))
    found = [what for _, id, what in problems(tmp_path) if what.endswith("missing from a format")]
    assert found == ["7 more: is missing from a format"]


def test_without_a_manifest_there_is_nothing_to_check_against(tmp_path, read):
    pack(tmp_path, samples(tmp_path), read)
    (tmp_path / MANIFEST_FILE).write_bytes(b"PAR1 no")
    with pytest.raises(RunError, match="is no manifest"):
        verify(tmp_path)
    with pytest.raises(RunError, match="is no manifest"):
        list(shard_checks(tmp_path))
