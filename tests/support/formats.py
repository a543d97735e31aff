"""The same twelve captioned images in every format that a source reads: a function each that writes it below a folder.

Each returns the source as a recipe in that folder would name it.
"""

from __future__ import annotations

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq

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
