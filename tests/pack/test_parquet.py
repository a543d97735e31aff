"""Parquet shards, read back with `datasets` and with pyarrow."""

import hashlib
import io
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pack.making import image, pair
from sluice.pack.base import Contents, PackText
from sluice.pack.formats import packer
from sluice.pack.parquet import ParquetPacker, shard_schema
from sluice.pack.writing import write_shard
from sluice.table.schema import MANIFEST

NAME = "parquet/train/shard-000000.parquet"
COLUMNS = {"sharpness": pa.float32(), "phash": pa.uint64(), "language": pa.string(), "alpha": pa.bool_()}


def write(folder, samples, read, contents=None, **options):
    path = folder / NAME
    contents = contents or Contents(columns=COLUMNS)
    return path, write_shard(ParquetPacker(contents, **options), path, NAME, samples, read)


def loaded(path, folder, **options):
    return datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(folder / "cache"), **options
    )


def original(sample, place=0):
    return Path(sample.images[place].ref.uri).read_bytes()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_shard_reads_back_with_datasets(tmp_path, read, streaming):
    samples = [pair(tmp_path, seed, extension=["jpg", "png", "webp"][seed % 3]) for seed in range(7)]
    path, receipt = write(tmp_path, samples, read)
    back = loaded(path, tmp_path, streaming=streaming)
    assert isinstance(back.features["image"], datasets.Image)
    raw = back.cast_column("image", datasets.Image(decode=False))
    for row, bare, sample in zip(back, raw, samples, strict=True):
        assert bare["image"]["bytes"] == original(sample)
        with Image.open(io.BytesIO(original(sample))) as expected:
            assert np.array_equal(np.asarray(row["image"]), np.asarray(expected))
        assert (row["id"], row["caption"]) == (sample.id, sample.captions[0].text)
        assert (row["captions"], row["languages"]) == ([t.text for t in sample.captions], ["en", None])
        assert {name: row[name] for name in COLUMNS} == dict(sample.columns)
        assert (row["spdx"], row["author"], row["source_url"]) == ("CC-BY-4.0", "Zoë", None)
        assert (row["sha256"], row["width"], row["height"]) == (
            sample.images[0].sha256,
            sample.images[0].width,
            24,
        )
    assert receipt.failures == () and receipt.rows.num_rows == 7


def test_every_column_has_the_feature_that_datasets_would_give_it(tmp_path):
    contents = Contents(images=3, turns=True, weights=True, columns={**COLUMNS, "bits": pa.float64(), "n": pa.int8()})
    schema = shard_schema(contents)
    features = datasets.Features.from_arrow_schema(schema)
    assert features["images"] == datasets.List(datasets.Image())
    bare = datasets.Features.from_arrow_schema(schema.remove_metadata())
    assert {k: v for k, v in features.items() if k != "images"} == {k: v for k, v in bare.items() if k != "images"}


def test_several_images_and_turns_read_back_with_datasets(tmp_path, read):
    texts = (PackText(2, "question", "what?"), PackText(3, "answer", "a bus", weight=0.5), PackText(4, "answer", "bus"))
    two = pair(tmp_path, 1, texts=texts, images=(image(tmp_path, 1), image(tmp_path, 2, 1, "png")))
    contents = Contents(images=2, turns=True, weights=True)
    path, receipt = write(tmp_path, [two, pair(tmp_path, 3), pair(tmp_path, 4, images=())], read, contents)
    raw = loaded(path, tmp_path)
    assert raw[0]["images"][1].size == (26, 24)
    raw = raw.cast_column("images", datasets.List(datasets.Image(decode=False)))
    assert [entry["bytes"] for entry in raw[0]["images"]] == [original(two), original(two, 1)]
    assert raw[0]["conversations"] == [{"from": text.role, "value": text.text} for text in texts]
    assert raw[0]["conversation_weights"] == [None, 0.5, None]
    assert raw[0]["caption"] is None and raw[0]["captions"] == []
    assert [len(row["sha256"]) for row in raw] == [2, 1, 0]
    assert receipt.rows["size"].to_pylist()[0] == len(original(two)) + len(original(two, 1))


def test_a_pack_of_single_images_refuses_a_sample_of_two(tmp_path, read):
    sample = pair(tmp_path, 1, images=(image(tmp_path, 1), image(tmp_path, 2, 1)))
    with pytest.raises(ValueError, match="has 2 images"):
        write(tmp_path, [sample], read)


def test_a_sample_without_an_image_has_a_null_image(tmp_path, read):
    path, _ = write(tmp_path, [pair(tmp_path, 1, images=())], read)
    assert loaded(path, tmp_path)[0]["image"] is None


def test_row_groups_are_cut_by_bytes_and_images_are_stored_as_they_are(tmp_path, read):
    samples = [pair(tmp_path, seed, extension="png") for seed in range(10)]
    path, _ = write(tmp_path, samples, read, row_group_bytes=4000)
    meta = pq.read_metadata(path)
    assert meta.num_row_groups > 2
    for group in range(meta.num_row_groups):
        columns = [meta.row_group(group).column(place) for place in range(meta.num_columns)]
        for column in columns:
            if column.path_in_schema == "image.bytes":
                assert column.compression == "UNCOMPRESSED" and column.statistics is None
                assert column.total_uncompressed_size <= 4000 + 200
            else:
                assert column.compression == "ZSTD"


def test_the_manifest_names_the_row(tmp_path, read):
    samples = [pair(tmp_path, seed) for seed in range(3)]
    Path(samples[1].images[0].ref.uri).unlink()
    path, receipt = write(tmp_path, samples, read)
    assert receipt.rows.schema == MANIFEST
    assert receipt.rows["offset"].to_pylist() == receipt.rows["index"].to_pylist() == [0, 1]
    assert receipt.rows["image_offset"].null_count == 2
    assert pq.read_table(path, columns=["id"])["id"].to_pylist() == receipt.rows["id"].to_pylist()
    assert [failure[:2] for failure in receipt.failures] == [(samples[1].id, "io")]
    assert receipt.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert receipt.bytes == path.stat().st_size


def test_the_same_samples_give_the_same_bytes(tmp_path, read):
    samples = [pair(tmp_path, seed) for seed in range(5)]
    first = write(tmp_path / "a", samples, read)[0].read_bytes()
    assert write(tmp_path / "b", samples, read)[0].read_bytes() == first


def test_a_shard_without_samples_has_the_schema_of_the_others(tmp_path, read):
    path, receipt = write(tmp_path, [], read)
    other, _ = write(tmp_path / "other", [pair(tmp_path, 1)], read)
    assert receipt.rows.num_rows == 0
    assert pq.read_schema(path).equals(pq.read_schema(other), check_metadata=True)


def test_a_carried_column_never_takes_the_place_of_one_of_ours(tmp_path, read):
    columns = {"width": 1, "caption": "no", "sharpness": 2.0}
    contents = Contents(columns={"width": pa.int64(), "caption": pa.string(), "sharpness": pa.float32()})
    path, _ = write(tmp_path, [pair(tmp_path, 1, columns=columns)], read, contents)
    row = pq.read_table(path).to_pylist()[0]
    assert (row["width"], row["caption"], row["sharpness"]) == (25, "a red büs №1", 2.0)


def test_a_text_that_is_no_unicode_fails_its_sample(tmp_path, read):
    _, receipt = write(tmp_path, [pair(tmp_path, 1, captions=["\udce9t\udce9"]), pair(tmp_path, 2)], read)
    assert [failure[1] for failure in receipt.failures] == ["decode"] and receipt.rows.num_rows == 1


def test_the_packer_is_found_by_its_format():
    assert packer("parquet").format == "parquet"
