"""TFRecord, read back with the `tfrecord` package, and its frames checked by a CRC that is not ours."""

import json
import struct
from pathlib import Path

import crc32c as oracle
import pytest
from tfrecord import example_pb2
from tfrecord.reader import tfrecord_iterator, tfrecord_loader

from pack.making import image, pair
from pack.packing import digest, pack, problems, samples
from sluice.errors import MissingExtraError
from sluice.pack import tfrecord
from sluice.pack.base import Contents
from sluice.pack.fields import RecordError
from sluice.pack.formats import packer
from sluice.pack.manifest import read_checksums, write_checksums
from sluice.pack.writing import write_shard

NAME = "tfrecord/train/shard-000000.tfrecord"


def test_records_read_back_with_the_tfrecord_package(tmp_path, read):
    two = pair(tmp_path, 1, images=(image(tmp_path, 1), image(tmp_path, 50, 1, "png")))
    made = [pair(tmp_path, 0), two, pair(tmp_path, 2, images=()), pair(tmp_path, 3, captions=[])]
    write_shard(packer("tfrecord", Contents(images=2)), tmp_path / NAME, NAME, made, read)
    back = []
    for record in tfrecord_iterator(str(tmp_path / NAME)):
        example = example_pb2.Example()
        example.ParseFromString(record)
        assert len(example.SerializeToString()) == len(record)  # nothing was passed over
        back.append(example.features.feature)
    for features, sample in zip(back, made, strict=True):
        assert features["id"].bytes_list.value == [sample.id.encode()]
        data = [Path(one.ref.uri).read_bytes() for one in sample.images]
        assert list(features["image"].bytes_list.value) == data
        captions = [text.text.encode() for text in sample.captions]
        assert list(features["captions"].bytes_list.value) == captions
        assert list(features["caption"].bytes_list.value) == captions[:1]
        assert list(features["width"].int64_list.value) == [one.width for one in sample.images]
        assert list(features["height"].int64_list.value) == [one.height for one in sample.images]
        assert json.loads(features["json"].bytes_list.value[0])["rights"]["author"] == "Zoë"


def test_the_packages_own_loader_takes_a_description_of_the_features(tmp_path, read):
    made = [pair(tmp_path, seed) for seed in range(3)]
    write_shard(packer("tfrecord"), tmp_path / NAME, NAME, made, read)
    described = {"id": "byte", "image": "byte", "caption": "byte", "width": "int"}
    back = list(tfrecord_loader(str(tmp_path / NAME), None, described))
    assert [bytes(row["id"]).decode() for row in back] == [sample.id for sample in made]
    assert [bytes(row["image"]) for row in back] == [Path(s.images[0].ref.uri).read_bytes() for s in made]
    assert [row["width"].tolist() for row in back] == [[sample.images[0].width] for sample in made]


def test_both_crcs_of_a_record_are_those_of_another_implementation(tmp_path, read):
    receipt = write_shard(packer("tfrecord"), tmp_path / NAME, NAME, [pair(tmp_path, 5)], read)
    data = (tmp_path / NAME).read_bytes()

    def mask(crc):
        return ((crc >> 15) | (crc << 17)) + 0xA282EAD8 & 0xFFFFFFFF

    length, of_length = struct.unpack("<QI", data[:12])
    assert (length, of_length) == (len(data) - 16, mask(oracle.crc32c(data[:8])))
    assert struct.unpack("<I", data[-4:])[0] == mask(oracle.crc32c(data[12:-4]))
    assert receipt.bytes == len(data) == receipt.rows["size"].to_pylist()[0]


def test_a_damaged_or_cut_record_is_found_even_with_its_checksum_written_anew(tmp_path, read):
    pack(tmp_path, samples(tmp_path), read, formats=["tfrecord"])
    whole = (tmp_path / NAME).read_bytes()
    for change in (whole[:-1], whole[:5] + b"\xff" + whole[6:], whole[:60] + b"\0" + whole[61:], b""):
        (tmp_path / NAME).write_bytes(change)
        write_checksums(tmp_path, {**read_checksums(tmp_path), NAME: digest(tmp_path / NAME)})
        assert any(shard == NAME for shard, _, _ in problems(tmp_path))
    with pytest.raises(RecordError):
        tfrecord.parse(whole[:20])


def test_without_its_package_the_error_says_what_to_install(monkeypatch):
    tfrecord.crc32c.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "google_crc32c", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sluice\[tfrecord\]'"):
        packer("tfrecord")
