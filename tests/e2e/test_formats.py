"""Every format in, through the command line, and out again as WebDataset and Parquet: ids once, bytes untouched."""

import hashlib

import pytest
import yaml

from support.formats import CAPTIONS, COUNT, IMAGES, SOURCES


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
