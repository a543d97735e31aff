"""What holds in every format: the same samples, the same bytes, proven by `verify`, and gone after a takedown."""

import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pack.packing import COLUMNS, digest, finish, pack, problems, samples
from sluice.pack.base import FORMATS, SHARD_NAMES, Contents
from sluice.pack.formats import packer
from sluice.pack.manifest import read_checksums, read_manifest, write_checksums
from sluice.pack.reading import read_packed
from sluice.pack.takedown import rewrite_shard_without
from sluice.pack.writing import Target, write_shards
from sluice.table.refs import RefReader


@pytest.fixture(scope="module", params=[False, True], ids=["pairs", "several"])
def packed(request, tmp_path_factory):
    """A pack in all formats, of pairs alone or with a conversation of two images and a sample of none. Read only."""
    final = tmp_path_factory.mktemp("packed")
    made = samples(final, request.param)
    with RefReader(max_bytes=2**27) as reader:
        receipts = pack(final, made, reader.read, formats=sorted(FORMATS))
    return final, made, receipts


def test_verify_finds_nothing_and_every_format_has_the_same_samples_in_the_same_order(packed):
    final, made, _ = packed
    assert problems(final) == set()
    rows = read_manifest(final)
    for format in FORMATS:
        for split in ("train", "val"):
            mask = [
                f == format and s == split
                for f, s in zip(rows["format"].to_pylist(), rows["split"].to_pylist(), strict=True)
            ]
            assert rows.filter(mask)["id"].to_pylist() == [sample.id for sample in made if sample.split == split]


def test_every_sample_reads_back_from_every_format_bit_for_bit(packed):
    final, made, _ = packed
    wanted = {sample.id: sample for sample in made}
    back = list(read_packed(final, read_manifest(final).to_pylist()))
    assert len(back) == len(made) * len(FORMATS)
    for found in back:
        sample = wanted[found.id]
        assert found.problem is None
        assert found.images == tuple((i.extension, Path(i.ref.uri).read_bytes()) for i in sample.images)
        assert found.captions == tuple(text.text for text in sample.captions)
        assert found.turns == tuple((text.role, text.text) for text in sample.turns)


def test_the_first_image_lies_where_the_manifest_says(packed):
    final, made, _ = packed
    wanted = {sample.id: sample for sample in made}
    rows = [row for row in read_manifest(final).to_pylist() if row["image_offset"] is not None]
    assert {row["format"] for row in rows} == {"webdataset", "energon", "tfrecord", "mds", "litdata"}
    for row in rows:
        with (final / row["shard"]).open("rb") as file:
            file.seek(row["image_offset"])
            assert file.read(row["image_size"]) == Path(wanted[row["id"]].images[0].ref.uri).read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_a_pack_without_samples_is_one_that_never_had_them(tmp_path, read, format):
    made = samples(tmp_path)
    receipts = pack(tmp_path, made, read, formats=[format])
    gone = {made[0].id, made[5].id}
    for name, receipt in receipts.items():
        receipts[name] = rewrite_shard_without(tmp_path / name, format, receipt.rows, gone)
    finish(tmp_path, receipts)
    assert problems(tmp_path) == set()
    fresh = tmp_path / "fresh"
    cut = {name: receipt.rows["id"].to_pylist() for name, receipt in receipts.items()}
    contents = Contents(columns=COLUMNS)
    for name, ids in cut.items():
        left = [sample for sample in made if sample.id in ids]
        (again,) = write_shards([Target(packer(format, contents), fresh / name, name)], left, read)
        assert receipts[name].rows == again.rows
        if format not in ("parquet", "obelics", "arrow"):  # their groups of rows stay cut as they were
            assert receipts[name].sha256 == again.sha256
    held = b"".join(path.read_bytes() for path in sorted((tmp_path / format).rglob("*")) if path.is_file())
    assert made[1].id.encode() in held and not any(id.encode() in held for id in gone)


def test_one_pass_reads_each_image_once_and_writes_what_passes_apart_write(tmp_path, read):
    made = samples(tmp_path)
    asked = []

    def counted(ref):
        asked.append(ref.uri)
        return read(ref)

    names = [f"{format}/{name.format(0)}" for format, name in SHARD_NAMES.items()]
    targets = [Target(packer(name.partition("/")[0]), tmp_path / "one" / name, name) for name in names]
    together = write_shards(targets, made, counted)
    assert sorted(asked) == sorted(image.ref.uri for sample in made for image in sample.images)
    for target, receipt in zip(targets, together, strict=True):
        (apart,) = write_shards([replace(target, path=tmp_path / "apart" / target.name)], made, read)
        assert (apart.sha256, apart.rows) == (receipt.sha256, receipt.rows)


@pytest.mark.parametrize("format", FORMATS)
def test_any_changed_byte_of_an_image_is_named_though_the_checksum_is_written_anew(tmp_path, read, format):
    made = samples(tmp_path)
    pack(tmp_path, made, read, formats=[format])
    data = Path(made[1].images[0].ref.uri).read_bytes()
    for path in sorted((tmp_path / format / "train").rglob("*")):
        held = path.read_bytes() if path.is_file() else b""
        if (place := held.find(data)) >= 0:
            path.write_bytes(held[: place + 9] + bytes([held[place + 9] ^ 1]) + held[place + 10 :])
            name = path.relative_to(tmp_path).as_posix()
            write_checksums(tmp_path, {**read_checksums(tmp_path), name: digest(path)})
    found = {(id, what) for _, id, what in problems(tmp_path)}
    assert any(id == made[1].id or "CRC" in what for id, what in found), found


def test_the_index_of_energon_is_the_same_bytes_again_and_is_held_against_the_shards(tmp_path, read):
    made = samples(tmp_path, several=True)
    path = "energon/.nv-meta/index.sqlite"
    for place in ("one", "two"):
        pack(tmp_path / place, made, read, formats=("energon", "webdataset"))
    assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert not list(tmp_path.rglob("*.partial"))
    with closing(sqlite3.connect(tmp_path / "one" / path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = database.execute("SELECT sample_key, byte_offset, byte_size FROM samples ORDER BY rowid").fetchall()
        parts = database.execute("SELECT part_name FROM sample_parts JOIN samples USING (tar_file_id, sample_index)")
        assert {name for (name,) in parts} == {"jpg", "0.jpg", "1.png", "txt", "json"}
    manifest = [row for row in read_manifest(tmp_path / "one").to_pylist() if row["format"] == "energon"]
    assert rows == [(row["id"], row["offset"], row["size"]) for row in manifest]
    final = tmp_path / "two"

    def changed(statement):
        with closing(sqlite3.connect(final / path)) as database:
            database.execute(statement)
            database.commit()
        write_checksums(final, {**read_checksums(final), path: digest(final / path)})
        return problems(final)

    assert changed("VACUUM") == set()  # as another build of SQLite may lay it out
    for statement in (
        "UPDATE samples SET byte_offset = byte_offset + 512 WHERE rowid = 3",
        "DELETE FROM sample_parts WHERE rowid = (SELECT max(rowid) FROM sample_parts)",
        "DROP INDEX idx_sample_parts_seq",
    ):
        kept = (final / path).read_bytes()
        assert any("it is not what the energon shards make it" in str(one) for one in changed(statement)), statement
        (final / path).write_bytes(kept)
    (final / path).write_bytes(b"no database")
    assert any("it is not what the energon shards make it" in str(one) for one in changed_bytes(final, path))


def changed_bytes(final, path):
    write_checksums(final, {**read_checksums(final), path: digest(final / path)})
    return problems(final)


@pytest.mark.parametrize("name", ["mds/train/index.json", "litdata/val/index.json", "energon/.nv-meta/.info.json"])
def test_an_index_that_is_not_that_of_its_shards_is_named(tmp_path, read, name):
    pack(tmp_path, samples(tmp_path), read, formats=[name.partition("/")[0]])
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text.replace("shard-000000", "shard-000001").replace("chunk-000000", "chunk-000009"))
    write_checksums(tmp_path, {**read_checksums(tmp_path), name: digest(tmp_path / name)})
    assert [(shard, "shards make it" in what) for shard, _, what in problems(tmp_path)] == [(name, True)]
    (tmp_path / name).unlink()
    assert (name, None, "the file is missing") in problems(tmp_path)


@pytest.mark.parametrize("format", ["llava", "coco"])
def test_a_missing_image_file_and_a_strange_one_are_named(tmp_path, read, format):
    made = samples(tmp_path)
    pack(tmp_path, made, read, formats=[format])
    folder = tmp_path / format / "train" / "shard-000000"
    (folder / f"{made[1].id}.jpg").unlink()
    (folder / "strange.jpg").write_bytes(b"")
    found = problems(tmp_path)
    assert any(id == made[1].id and "cannot be read" in what for _, id, what in found)
    assert (f"{format}/train/shard-000000/strange.jpg", None, "SHA256SUMS does not name it") in found


def test_sha256sum_would_check_every_file(packed):
    final, _, _ = packed
    sums = read_checksums(final)
    files = {path.relative_to(final).as_posix() for f in FORMATS for path in (final / f).rglob("*") if path.is_file()}
    assert files == {name for name in sums if "/" in name}
    for name in files:
        assert hashlib.sha256((final / name).read_bytes()).hexdigest() == sums[name]


def test_a_format_of_documents_that_replaces_another_leaves_no_old_image(tmp_path, read):
    made = samples(tmp_path)
    name = "llava/train/shard-000000.jsonl"
    for some in (made[:2], made[2:4]):
        write_shards([Target(packer("llava"), tmp_path / name, name)], some, read)
    names = {path.name for path in (tmp_path / "llava/train/shard-000000").iterdir()}
    assert names == {f"{sample.id}.jpg" for sample in made[2:4]}
    assert [json.loads(line)["id"] for line in (tmp_path / name).open()] == [sample.id for sample in made[2:4]]
