"""WebDataset shards: what the webdataset library reads, we read, by ref; what is odd is accounted for."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import fsspec
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import SourceError


def shard(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def shards(tmp_path: Path, image) -> Path:
    for number in range(2):
        with webdataset.TarWriter(str(tmp_path / f"s-{number:03}.tar")) as writer:
            for at in range(4):
                described = {"caption": f"kite {at}", "url": f"http://x/{at}", "license": "MIT", "n": at}
                row = {"__key__": f"f/{at:04}", "jpg": image(at), "txt": f"kite {at}", "json": described}
                writer.write(row if at else {**row, "left.png": image(9, "PNG"), "npy": b"n", "cls": 3})
    return tmp_path


def test_samples_are_those_of_the_webdataset_library(shards: Path, samples, pixels, texts) -> None:
    found = samples("webdataset", "s-{000..001}.tar")
    theirs = list(webdataset.WebDataset([f"{shards}/s-{n:03}.tar" for n in range(2)], shardshuffle=False))
    assert [key.partition("/")[2] for key in found] == [row["__key__"] for row in theirs]
    assert list(found)[4] == "s-001/f/0000"
    for sample, row in zip(found.values(), theirs, strict=True):
        assert set(pixels(sample)) == {row[suffix] for suffix in ("jpg", "left.png") if suffix in row}
        assert texts(sample) == [row["txt"].decode()]
        assert sample.rights.source_url == json.loads(row["json"])["url"]
        assert sample.rights.licence == "MIT"
        assert sample.failure is None
    first = found["s-000/f/0000"]
    assert first.meta == {"n": 0, "cls": "3", "other_members": ["f/0000.npy"]}


def test_refs_name_shard_member_and_range(shards: Path, samples) -> None:
    ref = samples("webdataset", "s-000.tar")["s-000/f/0001"].items[0].ref
    with tarfile.open(shards / "s-000.tar") as tar:
        info = tar.getmember("f/0001.jpg")
    assert (ref.container, ref.uri, ref.member) == ("tar", f"{shards}/s-000.tar", "f/0001.jpg")
    assert (ref.offset, ref.size) == (info.offset_data, info.size)


def test_remote_shards_read_the_same(shards: Path, samples, pixels) -> None:
    with fsspec.open("memory://wds/s-000.tar", "wb") as file:
        file.write((shards / "s-000.tar").read_bytes())
    remote, local = samples("webdataset", "memory://wds/*.tar"), samples("webdataset", "s-000.tar")
    assert list(remote) == list(local)
    for key, sample in local.items():
        assert pixels(remote[key]) == pixels(sample)
        assert (remote[key].meta, remote[key].rights) == (sample.meta, sample.rights)


def test_captions_may_be_a_list_or_differ_between_txt_and_json(tmp_path: Path, samples, texts) -> None:
    described = json.dumps({"captions": ["one", "two"], "language": "en"}).encode()
    shard(
        tmp_path / "a.tar",
        ("1.jpg", b"x"),
        ("1.txt", b"zero"),
        ("1.json", described),
        ("2.json", b'[1, "x"]'),
        ("2.txt", b"t"),
    )
    found = samples("webdataset", "a.tar")
    assert texts(found["a/1"]) == ["zero", "one", "two"]
    assert found["a/2"].meta == {"json": [1, "x"]}
    assert found["a/2"].failure is None


def _link(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        for name, kind in (("1.jpg", b"0"), ("1.txt", tarfile.SYMTYPE), ("2.jpg", b"0")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd" if kind != b"0" else ""
            tar.addfile(info, io.BytesIO(b""))


def test_one_odd_member_fails_its_sample_and_no_other(tmp_path: Path, samples) -> None:
    _link(tmp_path / "link.tar")
    shard(tmp_path / "twice.tar", ("1.jpg", b"x"), ("1.jpg", b"y"), ("2.jpg", b"z"))
    shard(tmp_path / "back.tar", ("1.jpg", b"x"), ("2.jpg", b"y"), ("1.jpg", b"z"))
    shard(tmp_path / "bare.tar", ("1.jpg", b"x"), ("README", b"y"), ("2.jpg", b"z"))
    shard(tmp_path / "json.tar", ("1.jpg", b"x"), ("1.json", b"{oops"), ("2.jpg", b"z"))
    shard(tmp_path / "text.tar", ("1.jpg", b"x"), ("1.txt", b"caf\xe9"), ("2.jpg", b"z"))
    shard(tmp_path / "long.tar", ("1.jpg", b"x"), ("1.txt", bytes(2**20 + 1)), ("2.jpg", b"z"))
    shard(tmp_path / "none.tar", ("1.npy", b"x"), ("2.jpg", b"z"))
    shard(tmp_path / "up.tar", ("../1.jpg", b"x"), ("2.jpg", b"z"))
    shard(tmp_path / "root.tar", ("/1.jpg", b"x"), ("2.jpg", b"z"))
    failures = {key: sample.failure for key, sample in samples("webdataset", "*.tar").items() if sample.failure}
    said = {
        "back/1#2": "the key 1 comes back",
        "bare/README": "member README has no extension",
        "json/1": "member 1.json: malformed JSON",
        "link/1": "member 1.txt is a symbolic link",
        "long/1": "1,048,577 bytes, the limit is",
        "none/1": "1 has no image or text, only .npy",
        "root//1": "has an absolute path",
        "text/1": "not UTF-8 at byte 3",
        "twice/1": "member 1.jpg is there twice",
        "up/../1": "leads out of the shard",
    }
    assert set(failures) == set(said)
    for key, words in said.items():
        assert words in failures[key][1], failures[key]
    assert (failures["long/1"][0], failures["json/1"][0], failures["link/1"][0]) == ("too_large", "decode", "io")


@pytest.mark.parametrize("cut", [1024 + 700, 2048, 2048 + 100])
def test_a_cut_shard_fails_what_may_not_be_whole(tmp_path: Path, samples, cut: int) -> None:
    path = shard(tmp_path / "a.tar", ("1.jpg", bytes(9)), ("2.jpg", bytes(9)), ("3.jpg", bytes(9)))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    found = samples("webdataset", "a.tar")
    assert found["a/1"].failure is None
    assert [key for key, sample in found.items() if sample.failure]
    assert all("a.tar" in sample.failure[1] for sample in found.values() if sample.failure)


def test_the_metadata_of_a_shard_is_no_sample(tmp_path: Path, samples) -> None:
    shard(tmp_path / "a.tar", ("__index__", b"x"), ("__meta__/a.json", b"x"), ("1.jpg", b"x"))
    assert list(samples("webdataset", "a.tar")) == ["a/1"]


def test_a_file_that_is_no_tar_is_an_error(tmp_path: Path, source) -> None:
    (tmp_path / "a.tar").write_text("no")
    with pytest.raises(SourceError, match=r"a\.tar: is no tar"):
        list(source("webdataset", "*.tar").samples())


_key = st.text("ab/_", min_size=1, max_size=4).filter(
    lambda key: not key.startswith("/") and not key.endswith("/") and "//" not in key and not key.startswith("__")
)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(_key, st.sets(st.sampled_from(["jpg", "PNG", "txt", "left.webp"]), min_size=1)),
        max_size=6,
        unique_by=lambda pair: pair[0],
    )
)
def test_grouping_agrees_with_the_webdataset_library(tmp_path_factory, groups) -> None:
    from pydantic import TypeAdapter

    from sluice.sources import SourceConfig, open_source

    folder = tmp_path_factory.mktemp("wds")
    shard(
        folder / "a.tar",
        *((f"{key}.{suffix}", suffix.encode()) for key, suffixes in groups for suffix in sorted(suffixes)),
    )
    config = TypeAdapter[SourceConfig](SourceConfig).validate_python({"type": "webdataset", "path": "a.tar"})
    ours = [sample.key for sample in open_source(config, folder).samples() if sample.failure is None]
    theirs = webdataset.WebDataset(str(folder / "a.tar"), shardshuffle=False, empty_check=False)
    assert ours == [f"a/{row['__key__']}" for row in theirs]
