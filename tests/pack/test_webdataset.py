"""WebDataset shards, read back with the `webdataset` library and with `tarfile`."""

import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import webdataset

from pack.making import RIGHTS, image, pair
from sluice.pack.base import Contents, PackText
from sluice.pack.formats import packer
from sluice.pack.writing import write_shard
from sluice.table.schema import MANIFEST

NAME = "webdataset/train/shard-000000.tar"


def write(folder, samples, read):
    path = folder / NAME
    return path, write_shard(packer("webdataset", Contents(columns={"phash": pa.uint64()})), path, NAME, samples, read)


def test_a_shard_reads_back_with_webdataset_bit_for_bit(tmp_path, read):
    samples = [pair(tmp_path, seed, extension=["jpg", "png", "webp"][seed % 3]) for seed in range(9)]
    path, receipt = write(tmp_path, samples, read)
    back = list(webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False))
    assert [entry["__key__"] for entry in back] == [sample.id for sample in samples]
    for entry, sample in zip(back, samples, strict=True):
        original = sample.images[0]
        assert entry[original.extension] == Path(original.ref.uri).read_bytes()
        assert entry["txt"].decode() == sample.captions[0].text
        document = json.loads(entry["json"])
        assert document["id"] == sample.id and document["rights"] == RIGHTS
        assert document["columns"] == {**sample.columns, "phash": f"{sample.columns['phash']:016x}"}
        assert document["captions"] == [{"text": t.text, "language": t.language} for t in sample.captions]
        assert document["images"][0]["sha256"] == original.sha256
    assert receipt.failures == ()


def test_the_library_decodes_the_images(tmp_path, read):
    path, _ = write(tmp_path, [pair(tmp_path, 3)], read)
    entry = next(iter(webdataset.WebDataset(str(path), shardshuffle=False).decode("pil")))
    assert entry["jpg"].size == (27, 24) and entry["json"]["key"] == "0003"


def test_the_manifest_says_where_everything_lies(tmp_path, read):
    samples = [pair(tmp_path, seed, cluster="c", weight=0.5) for seed in range(4)]
    path, receipt = write(tmp_path, samples, read)
    data = path.read_bytes()
    assert receipt.rows.schema == MANIFEST
    assert (receipt.bytes, receipt.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    end = 0
    for place, (row, sample) in enumerate(zip(receipt.rows.to_pylist(), samples, strict=True)):
        assert (row["id"], row["index"], row["shard"], row["format"]) == (sample.id, place, NAME, "webdataset")
        assert row["offset"] == end
        end += row["size"]
        image_data = data[row["image_offset"] : row["image_offset"] + row["image_size"]]
        assert hashlib.sha256(image_data).hexdigest() == row["sha256"] == sample.images[0].sha256
        assert (row["width"], row["height"], row["captions"]) == (24 + place, 24, 2)
        assert (row["cluster"], row["weight"], row["text_tokens"]) == ("c", 0.5, None)


def test_the_same_samples_give_the_same_bytes(tmp_path, read):
    samples = [pair(tmp_path, seed) for seed in range(5)]
    first = write(tmp_path / "a", samples, read)[0].read_bytes()
    assert write(tmp_path / "b", samples, read)[0].read_bytes() == first


def test_members_are_owned_by_nobody_and_older_than_time(tmp_path, read):
    path, _ = write(tmp_path, [pair(tmp_path, 0)], read)
    with tarfile.open(path) as archive:
        for member in archive:
            assert (member.mode, member.uid, member.gid, member.mtime, member.uname) == (0o644, 0, 0, 0, "")


def test_several_images_and_turns_stay_one_sample(tmp_path, read):
    texts = (
        PackText(1, "human", "<image>\nwhat is the same?"),
        PackText(3, "gpt", "the bus", "en"),
        PackText(4, "answer", "bus", weight=2 / 3),
    )
    sample = pair(tmp_path, 1, texts=texts, images=(image(tmp_path, 1), image(tmp_path, 2, item=2, extension="png")))
    path, receipt = write(tmp_path, [sample, pair(tmp_path, 3)], read)
    first, second = webdataset.WebDataset(str(path), shardshuffle=False)
    assert sorted(name for name in first if not name.startswith("__")) == ["0.jpg", "1.png", "json"]
    assert first["1.png"] == Path(sample.images[1].ref.uri).read_bytes()
    document = json.loads(first["json"])
    assert [entry["file"] for entry in document["images"]] == [f"{sample.id}.0.jpg", f"{sample.id}.1.png"]
    assert document["texts"] == [
        {"item": t.item, "role": t.role, "text": t.text, "language": t.language, "weight": t.weight} for t in texts
    ]
    assert receipt.rows["captions"].to_pylist() == [0, 2]
    assert "txt" in second


def test_a_sample_without_images_has_no_image_bytes_in_the_manifest(tmp_path, read):
    _, receipt = write(tmp_path, [pair(tmp_path, 1, images=())], read)
    row = receipt.rows.to_pylist()[0]
    assert (row["image_offset"], row["image_size"], row["sha256"], row["width"]) == (None, None, None, None)


def test_a_lost_or_changed_file_costs_its_sample_alone(tmp_path, read):
    samples = [pair(tmp_path, seed) for seed in range(4)]
    Path(samples[0].images[0].ref.uri).unlink()
    changed = bytearray(Path(samples[2].images[0].ref.uri).read_bytes())
    changed[-1] ^= 1
    Path(samples[2].images[0].ref.uri).write_bytes(bytes(changed))
    path, receipt = write(tmp_path, samples, read)
    assert [failure[:2] for failure in receipt.failures] == [(samples[0].id, "io"), (samples[2].id, "io")]
    assert "changed since" in receipt.failures[1][2]
    back = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [entry["__key__"] for entry in back] == receipt.rows["id"].to_pylist() == [samples[1].id, samples[3].id]
    assert receipt.rows["index"].to_pylist() == [0, 1]


def test_a_second_image_that_is_lost_takes_the_first_with_it(tmp_path, read):
    sample = pair(tmp_path, 1, images=(image(tmp_path, 1), image(tmp_path, 2, item=1)))
    Path(sample.images[1].ref.uri).unlink()
    path, receipt = write(tmp_path, [sample], read)
    with tarfile.open(path) as archive:
        assert archive.getnames() == []
    assert receipt.rows.num_rows == 0 and len(receipt.failures) == 1


def test_what_is_no_number_becomes_null(tmp_path, read):
    columns = {"a": float("nan"), "b": float("-inf"), "c": 1.5, "phash": None}
    path, _ = write(tmp_path, [pair(tmp_path, 1, columns=columns)], read)
    document = json.loads(next(iter(webdataset.WebDataset(str(path), shardshuffle=False)))["json"])
    assert document["columns"] == {"a": None, "b": None, "c": 1.5, "phash": None}


def test_a_text_that_is_no_unicode_fails_its_sample(tmp_path, read):
    _, receipt = write(tmp_path, [pair(tmp_path, 1, captions=["\udce9t\udce9"]), pair(tmp_path, 2)], read)
    assert [failure[1] for failure in receipt.failures] == ["decode"] and receipt.rows.num_rows == 1


@pytest.mark.parametrize("name", ["a.b", "a/b", "__a", "", "..", "a\n"])
def test_an_id_that_would_not_group_is_refused(tmp_path, read, name):
    with pytest.raises(ValueError, match="cannot name"):
        write(tmp_path, [replace(pair(tmp_path, 1), id=name)], read)


def test_a_failing_write_leaves_nothing(tmp_path, read):
    def dying():
        yield pair(tmp_path, 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, dying(), read)
    assert [path for path in (tmp_path / "webdataset").rglob("*") if path.is_file()] == []
