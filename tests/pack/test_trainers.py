"""Packs read back with the loaders that trainers use. They are heavy: `pip install --group trainers` brings them."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pack.making import image, pair
from pack.packing import finish
from sluice.pack.base import Contents
from sluice.pack.formats import packer
from sluice.pack.writing import write_shard
from sluice.table.refs import RefReader

GROUP = "is not installed: pip install --group trainers"


@pytest.fixture(scope="module")
def torch_vision():
    """torchvision beside a torch for processors alone: its two missing operators are named, so that it imports."""
    torch = pytest.importorskip("torch", reason=f"torch {GROUP}")
    kept = torch.library.Library("torchvision", "DEF")
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        kept.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        kept.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except ImportError:
        pass
    yield
    kept._destroy()


def written(folder, format, several=False, captioned=True):
    """A pack of two splits and four shards, one of them empty as after a takedown; its samples by split."""
    made = {"train": [pair(folder, seed) for seed in range(7)], "val": [pair(folder, 9, split="val")]}
    if several:
        made["train"][3] = pair(folder, 3, images=(image(folder, 3), image(folder, 50, 1, "png")))
    if not captioned:
        made["train"][4] = pair(folder, 4, captions=[])
    cut = [("train", 0, 4), ("train", 4, 4), ("train", 4, 7), ("val", 0, 1)]
    contents = Contents(images=2 if several else 1)
    receipts = {}
    with RefReader(max_bytes=2**27) as reader:
        for number, (split, start, end) in enumerate(cut):
            suffix = {"mds": "shard-{:06d}.mds", "litdata": "chunk-{:06d}.bin", "energon": "shard-{:06d}.tar"}
            name = f"{format}/{split}/{suffix.get(format, 'shard-{:06d}.jsonl').format(number % 3)}"
            some = made[split][start:end]
            receipts[name] = write_shard(packer(format, contents), folder / name, name, some, reader.read)
    finish(folder, receipts)
    return made


def originals(sample):
    return [Path(one.ref.uri).read_bytes() for one in sample.images]


def check_fields(back, made, document):
    """What the five fields of a record hold; `document` reads the json."""
    assert [row["id"] for row in back] == [sample.id for sample in made]
    for row, sample in zip(back, made, strict=True):
        first, *others = originals(sample)
        assert bytes(row["image"]) == first
        assert bytes(row["other_images"]) == b"".join(others)
        assert row["caption"] == (sample.captions[0].text if sample.captions else "")
        held = document(row["json"])
        assert [one["bytes"] for one in held["images"]] == [len(first), *map(len, others)]
        assert [caption["text"] for caption in held["captions"]] == [text.text for text in sample.captions]


@pytest.mark.parametrize("several", [False, True])
def test_mosaicml_streaming_reads_mds_and_validates_each_shard_by_its_hash(tmp_path, torch_vision, several):
    streaming = pytest.importorskip("streaming", reason=f"mosaicml-streaming {GROUP}")
    made = written(tmp_path, "mds", several, captioned=False)
    for split, samples in made.items():
        local = streaming.LocalDataset(str(tmp_path / "mds"), split)
        check_fields([local[place] for place in range(len(local))], samples, lambda held: held)
    streaming.base.util.clean_stale_shared_memory()
    streamed = streaming.StreamingDataset(
        remote=str(tmp_path / "mds"),
        local=str(tmp_path / "cache"),
        split="train",
        shuffle=False,
        batch_size=1,
        validate_hash="sha256",
    )
    check_fields(list(streamed), made["train"], lambda held: held)


@pytest.mark.parametrize("several", [False, True])
def test_litdata_streams_the_chunks_in_order(tmp_path, several):
    litdata = pytest.importorskip("litdata", reason=f"litdata {GROUP}")
    made = written(tmp_path, "litdata", several, captioned=False)
    for split, samples in made.items():
        streamed = litdata.StreamingDataset(str(tmp_path / "litdata" / split), shuffle=False)
        assert len(streamed) == len(samples)
        check_fields(list(streamed), samples, json.loads)
        check_fields([streamed[place] for place in range(len(samples))], samples, json.loads)


def test_what_litdata_writes_for_the_same_items_has_our_specification(tmp_path, monkeypatch):
    writer = pytest.importorskip("litdata.streaming.writer", reason=f"litdata {GROUP}")
    from sluice.pack.fields import FIELDS

    written(tmp_path, "litdata")
    ours = json.loads((tmp_path / "litdata/train/index.json").read_text())["config"]
    made = writer.BinaryWriter(str(tmp_path / "theirs"), chunk_size=2)
    made[0] = {name: "a" if kind == "str" else b"a" for name, kind in zip(FIELDS, ours["data_format"], strict=True)}
    made.done()
    made.merge()
    theirs = json.loads((tmp_path / "theirs/index.json").read_text())["config"]
    shared = ("data_format", "data_spec", "item_loader", "compression", "encryption")
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def energon(folder, split, **options):
    library = pytest.importorskip("megatron.energon", reason=f"megatron-energon {GROUP}")
    dataset = library.get_train_dataset(
        str(folder / "energon"),
        split_part=split,
        worker_config=library.WorkerConfig(rank=0, world_size=1, num_workers=0),
        batch_size=1,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        repeat=False,
        **options,
    )
    return list(library.get_loader(dataset))


def test_energon_reads_captioned_images(tmp_path, torch_vision):
    pytest.importorskip("megatron.energon", reason=f"megatron-energon {GROUP}")
    made = written(tmp_path, "energon")
    for split, samples in made.items():
        back = energon(tmp_path, split)
        wanted = {sample.captions[0].text: sample for sample in samples}
        assert sorted(batch.caption[0] for batch in back) == sorted(wanted)
        for batch in back:
            assert batch.image.shape[-1] == wanted[batch.caption[0]].images[0].width


def tables_of(path):
    with closing(sqlite3.connect(path)) as database:
        tables = {name: sorted(database.execute(f"SELECT * FROM {name}")) for name in ("samples", "sample_parts")}
        columns = {name: [row[1:4] for row in database.execute(f"PRAGMA table_info({name})")] for name in tables}
        schema = sorted(database.execute("SELECT type, name, tbl_name FROM sqlite_master"))
    return tables, columns, schema


def test_energon_looks_samples_up_in_our_index_which_is_what_its_own_preparation_writes(tmp_path):
    pytest.importorskip("megatron.energon", reason=f"megatron-energon {GROUP}")
    from megatron.energon.epathlib import EPath
    from megatron.energon.flavors.webdataset.itar_reader import SqliteITarEntryReader
    from megatron.energon.flavors.webdataset.prepare import WebdatasetPreparator

    made = written(tmp_path, "energon", several=True, captioned=False)
    final = tmp_path / "energon"
    reader = SqliteITarEntryReader(EPath(final))
    for sample in [*made["train"], *made["val"]]:
        found = reader[sample.id]
        names = ["jpg"] if len(sample.images) == 1 else ["0.jpg", "1.png"]
        assert [found[name] for name in names] == originals(sample)
        assert json.loads(found["json"])["id"] == sample.id
    assert len(list(reader.list_all_samples())) == 8
    ours = tables_of(final / ".nv-meta/index.sqlite")
    shards = list(json.loads((final / ".nv-meta/.info.json").read_text())["shard_counts"])
    indexes = [(final / f"{shard}.idx").read_bytes() for shard in shards]
    shutil.rmtree(final / ".nv-meta")
    prepared = {"split_config": "split.yaml", "split_parts_patterns": [("train", "train/.*"), ("val", "val/.*")]}
    WebdatasetPreparator.prepare_dataset(final, shards, **prepared, workers=1)
    assert tables_of(final / ".nv-meta/index.sqlite") == ours
    assert [(final / f"{shard}.idx").read_bytes() for shard in shards] == indexes


@pytest.mark.parametrize("several", [False, True])
def test_the_json_of_coco_is_that_of_pycocotools(tmp_path, several):
    coco = pytest.importorskip("pycocotools.coco", reason=f"pycocotools {GROUP}")
    made = written(tmp_path, "coco", several)
    for split, samples in made.items():
        read = coco.COCO(str(tmp_path / f"coco/captions_{split}.json"))
        images = read.loadImgs(sorted(read.getImgIds()))
        data = [(tmp_path / "coco" / entry["file_name"]).read_bytes() for entry in images]
        assert data == [one for sample in samples for one in originals(sample)]
        firsts = {entry["sample"]: entry["id"] for entry in reversed(images)}
        for sample in samples:
            said = read.loadAnns(read.getAnnIds(imgIds=[firsts[sample.id]]))
            assert [entry["caption"] for entry in said] == [text.text for text in sample.captions]
