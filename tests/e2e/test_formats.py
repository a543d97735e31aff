"""Every format in, through the command line, and out again as WebDataset and Parquet: ids once, bytes untouched."""

import hashlib
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from support.corpus import FORMATS, encoded, picture

COUNT = 12
IMAGES = {f"{number:03d}": encoded(picture(number), FORMATS[number % 3]) for number in range(COUNT)}
SUFFIX = {key: {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}[FORMATS[int(key) % 3]] for key in IMAGES}
CAPTIONS = {key: f"what picture {key} shows, in a few words" for key in IMAGES}


def loose(folder):
    folder.mkdir(parents=True)
    for key, data in IMAGES.items():
        (folder / f"{key}{SUFFIX[key]}").write_bytes(data)
    return folder


def folder_source(base):
    loose(base / "images")
    for key, caption in CAPTIONS.items():
        (base / "images" / f"{key}.txt").write_text(caption)
    return {"type": "folder", "path": "images"}


def table_source(base):
    loose(base / "images")
    rows = [json.dumps({"path": f"images/{key}{SUFFIX[key]}", "caption": CAPTIONS[key]}) for key in IMAGES]
    (base / "captions.jsonl").write_text("\n".join(rows) + "\n")
    return {"type": "table", "path": "captions.jsonl"}


def tar_of(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def webdataset_source(base):
    for shard in range(2):
        keys = sorted(IMAGES)[shard::2]
        members = [
            member
            for key in keys
            for member in ((f"{key}{SUFFIX[key]}", IMAGES[key]), (f"{key}.txt", CAPTIONS[key].encode()))
        ]
        tar_of(base / f"shards-{shard:03d}.tar", members)
    return {"type": "webdataset", "path": "shards-{000..001}.tar"}


def parquet_source(base):
    images = [{"bytes": data, "path": f"{key}{SUFFIX[key]}"} for key, data in IMAGES.items()]
    pq.write_table(pa.table({"image": images, "caption": list(CAPTIONS.values())}), base / "data.parquet")
    return {"type": "parquet", "path": "data.parquet"}


def arrow_source(base):
    table = pa.table({"image": pa.array(list(IMAGES.values())), "caption": list(CAPTIONS.values())})
    with pa.OSFile(str(base / "data.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return {"type": "arrow", "path": "data.arrow"}


def img2dataset_source(base):
    """What img2dataset writes: a tar and a table beside it; a failed download has a row and no member."""
    members, rows = [], []
    for key, data in IMAGES.items():
        about = {
            "key": f"00000{key}0",
            "url": f"https://e.example/{key}",
            "caption": CAPTIONS[key],
            "status": "success",
        }
        stem = about["key"]
        suffix = SUFFIX[key]
        members += [
            (f"{stem}{suffix}", data),
            (f"{stem}.txt", CAPTIONS[key].encode()),
            (f"{stem}.json", json.dumps(about).encode()),
        ]
        rows.append(about)
    tar_of(base / "out" / "00000.tar", members)
    rows.append(
        {"key": "000009990", "url": "https://e.example/gone", "caption": "gone", "status": "failed_to_download"}
    )
    pq.write_table(pa.Table.from_pylist(rows), base / "out" / "00000.parquet")
    return {"type": "img2dataset", "path": "out"}


def coco_source(base):
    loose(base / "images")
    images = [{"id": int(key), "file_name": f"{key}{SUFFIX[key]}"} for key in IMAGES]
    notes = [{"id": 100 + int(key), "image_id": int(key), "caption": CAPTIONS[key]} for key in IMAGES]
    (base / "coco.json").write_text(json.dumps({"images": images, "annotations": notes}))
    return {"type": "coco", "path": "coco.json", "images": "images"}


def llava_source(base):
    loose(base / "images")
    rows = [
        {
            "id": key,
            "image": f"{key}{SUFFIX[key]}",
            "conversations": [
                {"from": "human", "value": "<image>\nWhat is this?"},
                {"from": "gpt", "value": CAPTIONS[key]},
            ],
        }
        for key in IMAGES
    ]
    (base / "llava.json").write_text(json.dumps(rows))
    return {"type": "llava", "path": "llava.json", "images": "images"}


def vqa_source(base):
    folder = base / "images"
    folder.mkdir()
    for key, data in IMAGES.items():
        (folder / f"{key}.img").write_bytes(data)
    questions = [{"question_id": int(key) * 10, "image_id": int(key), "question": f"What is {key}?"} for key in IMAGES]
    answers = [
        {
            "question_id": int(key) * 10,
            "image_id": int(key),
            "answers": [{"answer": CAPTIONS[key], "answer_id": n, "answer_confidence": "yes"} for n in range(1, 11)],
        }
        for key in IMAGES
    ]
    (base / "questions.json").write_text(json.dumps({"questions": questions}))
    (base / "annotations.json").write_text(json.dumps({"annotations": answers}))
    return {
        "type": "vqa",
        "path": "questions.json",
        "annotations": "annotations.json",
        "images": "images",
        "pattern": "{id:03d}.img",
    }


SOURCES = {
    "folder": folder_source,
    "table": table_source,
    "webdataset": webdataset_source,
    "parquet": parquet_source,
    "arrow": arrow_source,
    "img2dataset": img2dataset_source,
    "coco": coco_source,
    "llava": llava_source,
    "vqa": vqa_source,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_goes_in_comes_out_in_both_formats(tmp_path, launcher, kind, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    recipe = tmp_path / "recipe.yaml"
    values = {
        "name": kind,
        "run": "run",
        "sources": [SOURCES[kind](tmp_path)],
        "unit": 5,
        "measures": ["image.header", "image.phash", "image.content_hash", "text.basic", "text.content_hash"],
        "pack": [{"format": "webdataset", "shard_samples": 5}, {"format": "parquet", "shard_samples": 5}],
        "engine": {"workers": 1},
    }
    recipe.write_text(yaml.safe_dump(values))
    done = launcher.run("run", recipe)
    assert done.code == 0, done.err
    final = tmp_path / "run" / "04_final"
    wanted = {hashlib.sha256(data).hexdigest(): key for key, data in IMAGES.items()}

    import webdataset

    tars = sorted(str(path) for path in (final / "webdataset").glob("*/*.tar"))
    assert len(tars) == 3
    ids, seen = [], {}
    for sample in webdataset.WebDataset(tars, shardshuffle=False, empty_check=False):
        (data,) = [value for name, value in sample.items() if name in ("jpg", "jpeg", "png", "webp")]
        ids.append(sample["__key__"])
        seen[wanted[hashlib.sha256(data).hexdigest()]] = sample
    assert len(set(ids)) == len(ids) == COUNT
    assert seen.keys() == IMAGES.keys()
    for key, sample in seen.items():
        assert CAPTIONS[key] in b"".join(value for value in sample.values() if isinstance(value, bytes)).decode(
            errors="replace"
        )

    import datasets

    files = sorted(str(path) for path in (final / "parquet").glob("*/*.parquet"))
    table = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    table = table.cast_column("image", datasets.Image(decode=False))
    assert sorted(table["id"]) == sorted(ids)
    assert {wanted[hashlib.sha256(row["image"]["bytes"]).hexdigest()] for row in table} == IMAGES.keys()
    assert all(any(caption in str(row) for caption in CAPTIONS.values()) for row in table)

    assert launcher.run("verify", tmp_path / "run").code == 0
    story = launcher.run("why", tmp_path / "run", ids[0])
    assert "packed in webdataset/train/shard-000000.tar as number 0" in story.out
