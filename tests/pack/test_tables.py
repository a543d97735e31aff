"""Arrow and interleaved Parquet, read back with `datasets` and with pyarrow."""

import io
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pack.making import image, pair
from pack.packing import COLUMNS
from sluice.pack.arrow import ArrowPacker
from sluice.pack.base import Contents, PackText
from sluice.pack.formats import packer
from sluice.pack.writing import write_shard

ARROW = "arrow/train/shard-000000.arrow"
OBELICS = "obelics/train/shard-000000.parquet"


def original(sample, place=0):
    return Path(sample.images[place].ref.uri).read_bytes()


def loaded(kind, path, folder, **options):
    return datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(folder / "c"), **options)


def test_an_arrow_shard_reads_back_with_datasets(tmp_path, read):
    made = [pair(tmp_path, seed, extension=["jpg", "png"][seed % 2]) for seed in range(5)]
    write_shard(packer("arrow", Contents(columns=COLUMNS)), tmp_path / ARROW, ARROW, made, read)
    for streaming in (False, True):
        back = loaded("arrow", tmp_path / ARROW, tmp_path, streaming=streaming)
        assert isinstance(back.features["image"], datasets.Image)
        raw = back.cast_column("image", datasets.Image(decode=False))
        for row, bare, sample in zip(back, raw, made, strict=True):
            assert (row["id"], row["caption"]) == (sample.id, sample.captions[0].text)
            assert bare["image"]["bytes"] == original(sample)
            with Image.open(io.BytesIO(original(sample))) as expected:
                assert np.array_equal(np.asarray(row["image"]), np.asarray(expected))


def test_an_arrow_shard_is_the_table_of_the_parquet_shard_and_its_images_are_read_where_they_lie(tmp_path, read):
    made = [pair(tmp_path, seed) for seed in range(6)]
    contents = Contents(columns=COLUMNS)
    packers = {"a.arrow": ArrowPacker(contents, batch_bytes=4000), "a.parquet": packer("parquet", contents)}
    for name, one in packers.items():
        write_shard(one, tmp_path / name, name, made, read)
    with pa.memory_map(str(tmp_path / "a.arrow")) as mapped:
        before = pa.total_allocated_bytes()
        reader = pa.ipc.open_file(mapped)
        table = reader.read_all()
        assert pa.total_allocated_bytes() == before
        assert reader.num_record_batches > 1
        other = pq.read_table(tmp_path / "a.parquet")
        assert table.schema.metadata == other.schema.metadata
        assert table.to_pylist() == other.to_pylist()


def test_interleaved_documents_read_back_with_datasets(tmp_path, read):
    images = (image(tmp_path, 1, item=1), image(tmp_path, 2, item=3, extension="png"))
    texts = tuple(PackText(item, "text", f"text № {item}") for item in (0, 2, 4))
    made = [pair(tmp_path, 7, images=images, texts=texts), pair(tmp_path, 8), pair(tmp_path, 9, images=())]
    write_shard(packer("obelics", Contents(images=2, turns=True)), tmp_path / OBELICS, OBELICS, made, read)
    back = loaded("parquet", tmp_path / OBELICS, tmp_path)
    assert back.column_names == ["id", "images", "texts", "metadata", "general_metadata"]
    page = back[0]
    assert page["texts"] == ["text № 0", None, "text № 2", None, "text № 4"]
    assert [one is None for one in page["images"]] == [True, False, True, False, True]
    assert page["images"][3].format == "PNG"
    facts = json.loads(page["metadata"])
    assert [fact["item"] for fact in facts] == [0, 1, 2, 3, 4]
    assert [fact.get("sha256") for fact in facts][1::2] == [one.sha256 for one in images]
    raw = back.cast_column("images", datasets.List(datasets.Image(decode=False)))
    assert [one["bytes"] for one in raw[0]["images"] if one] == [original(made[0]), original(made[0], 1)]
    assert raw[1]["texts"] == [None, made[1].captions[0].text] and raw[2]["images"] == [None]
    held = json.loads(raw[1]["general_metadata"])
    assert [caption["text"] for caption in held["captions"]] == [text.text for text in made[1].captions]
