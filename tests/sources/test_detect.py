"""What `sluice init` proposes opens as it stands and finds what is there."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from pydantic import TypeAdapter

from sluice.errors import SourceError
from sluice.sources import SourceConfig, open_source
from sluice.sources.detect import Found, detect


def opened(found: Found) -> int:
    config = TypeAdapter[SourceConfig](SourceConfig).validate_python(found.config)
    return sum(sample.failure is None for sample in open_source(config, Path("/")).samples())


def images(folder: Path, image, count: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(image(number))


def test_a_folder_of_images_is_found(tmp_path: Path, image) -> None:
    images(tmp_path / "a/photos", image)
    (tmp_path / "a/photos/1.txt").write_text("kite")
    [found] = detect(str(tmp_path))
    assert found.config == {"type": "folder", "path": f"{tmp_path}/a/photos"}
    assert found.evidence == "3 images, 1 with a caption file beside it"
    assert opened(found) == 3


def test_a_table_claims_the_images_that_it_names(tmp_path: Path, image) -> None:
    images(tmp_path / "data/images", image)
    images(tmp_path / "other", image, 2)
    with open(tmp_path / "data/captions.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file_name", "caption"], ["0.jpg", "x"], ["1.jpg", "y"]])
    (tmp_path / "data/unrelated.csv").write_text("a,b\n1,2\n")
    table, folder = detect(str(tmp_path))
    assert table.config["type"] == "table" and table.config["images"] == f"{tmp_path}/data/images"
    assert "captions.csv names images in its column 'file_name'" in table.evidence
    assert folder.config == {"type": "folder", "path": f"{tmp_path}/other"}
    assert (opened(table), opened(folder)) == (3, 2)


def test_shards_and_columns_are_found(tmp_path: Path, image) -> None:
    for name in ("wds", "i2d"):
        (tmp_path / name).mkdir()
        for shard in range(2):
            with webdataset.TarWriter(str(tmp_path / name / f"{shard}.tar")) as writer:
                writer.write({"__key__": "k", "jpg": image(shard)})
    for shard in range(2):
        pq.write_table(pa.table({"key": ["k"], "status": ["success"], "url": ["u"]}), tmp_path / f"i2d/{shard}.parquet")
    (tmp_path / "p").mkdir()
    pq.write_table(pa.table({"jpg": [image(1)], "text": ["x"]}), tmp_path / "p/a.parquet")
    with pa.ipc.new_stream(tmp_path / "a.arrow", pa.schema([("jpg", pa.binary())])) as writer:
        writer.write_table(pa.table({"jpg": [image(1)]}))
    found = {found.config["type"]: found for found in detect(str(tmp_path))}
    assert {kind: one.evidence for kind, one in found.items()} == {
        "img2dataset": "2 tars with img2dataset's tables",
        "webdataset": "2 tar shards",
        "parquet": "1 Parquet file with images in the column 'jpg'",
        "arrow": "1 Arrow file",
    }
    assert {kind: opened(one) for kind, one in found.items()} == {
        "img2dataset": 2,
        "webdataset": 2,
        "parquet": 1,
        "arrow": 1,
    }


def test_annotation_files_are_told_apart(tmp_path: Path, image) -> None:
    images(tmp_path / "im", image)
    (tmp_path / "im/COCO_val2014_000000000001.jpg").write_bytes(image(1))
    question = {"question_id": 5, "image_id": 1, "question": "what?"}
    answer = {"question_id": 5, "image_id": 1, "answers": [{"answer": "kite"}]}
    files = {
        "coco.json": {"images": [{"id": 1, "file_name": "0.jpg"}], "annotations": []},
        "llava.json": [{"id": "a", "image": "1.jpg", "conversations": [{"from": "human", "value": "<image>"}]}],
        "q.json": {"data_subtype": "val2014", "questions": [question]},
        "a.json": {"annotations": [answer]},
        "stats.json": {"count": 5},
    }
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps(value))
    (tmp_path / "broken.json").write_text("{")
    found = {found.config["type"]: found for found in detect(str(tmp_path))}
    assert {kind: one.evidence for kind, one in found.items()} == {
        "coco": "coco.json is a COCO file",
        "llava": "llava.json holds LLaVA conversations",
        "vqa": "q.json holds VQA questions, a.json the answers",
    }
    assert {kind: opened(one) for kind, one in found.items()} == {"coco": 1, "llava": 1, "vqa": 1}


def test_a_single_file_is_enough(tmp_path: Path, image) -> None:
    images(tmp_path / "im", image)
    (tmp_path / "t.jsonl").write_text('{"path": "im/0.jpg", "text": "x"}\n')
    (tmp_path / "u.jsonl").write_text('{"path": "im/0.jpg", "text": "x"}\n')
    [found] = detect(str(tmp_path / "t.jsonl"))
    assert found.config == {"type": "table", "path": f"{tmp_path}/t.jsonl"}


def test_nothing_is_nothing_and_nowhere_is_an_error(tmp_path: Path) -> None:
    assert detect(str(tmp_path)) == []
    with pytest.raises(SourceError, match="no such file or folder"):
        detect(str(tmp_path / "none"))
