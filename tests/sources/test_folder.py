"""A folder of images with sidecars: every image and every sidecar accounted for."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import fsspec
import pytest

from sluice.errors import SourceError


@pytest.fixture
def photos(tmp_path: Path, image) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.PNG", "sub/c.webp", "sub/d.jpeg")):
        (folder / name).write_bytes(image(number))
    (folder / "a.txt").write_text("a red kite\n")
    (folder / "b.png.txt").write_bytes(b"\xef\xbb\xbfwith a mark")
    described = {
        "captions": ["one", "two"],
        "license": "CC0-1.0",
        "author": "Ann",
        "url": "http://x/c",
        "lang": "en",
        "w": 5,
    }
    (folder / "sub/c.json").write_text(json.dumps(described))
    return folder


def test_images_carry_what_lies_beside_them(photos: Path, samples, texts, pixels, image) -> None:
    found = samples("folder", "photos")
    assert list(found) == ["a.jpg", "b.PNG", "sub/c.webp", "sub/d.jpeg"]
    assert [texts(sample) for sample in found.values()] == [["a red kite"], ["with a mark"], ["one", "two"], []]
    assert [pixels(sample) for sample in found.values()] == [[image(number)] for number in range(4)]
    described = found["sub/c.webp"]
    assert (described.rights.licence, described.rights.author, described.rights.source_url) == (
        "CC0-1.0",
        "Ann",
        "http://x/c",
    )
    assert described.rights.fetched is None and described.rights.dataset is None
    assert described.meta == {"w": 5}
    assert [item.language for item in described.items] == [None, "en", "en"]


def test_txt_and_json_that_agree_are_one_caption(photos: Path, samples, texts) -> None:
    (photos / "a.json").write_text(json.dumps({"caption": "a red kite"}))
    assert texts(samples("folder", "photos")["a.jpg"]) == ["a red kite"]


def test_sidecars_that_cannot_be_read_fail_their_sample_alone(photos: Path, samples) -> None:
    (photos / "a.txt").write_bytes(b"caf\xe9")
    (photos / "b.png.json").write_text("{not json")
    (photos / "sub/c.json").write_text("[1]")
    (photos / "sub/d.txt").write_text("x" * 2**20 + "y")
    classes = {key: sample.failure[0] for key, sample in samples("folder", "photos").items() if sample.failure}
    assert classes == {"a.jpg": "decode", "b.PNG": "decode", "sub/c.webp": "decode", "sub/d.jpeg": "too_large"}


def test_a_sidecar_without_image_is_accounted_for(photos: Path, samples) -> None:
    (photos / "sub/lost.txt").write_text("where is it?")
    (photos / "README.txt").write_text("about")
    (photos / ".hidden.txt").write_text("x")
    found = samples("folder", "photos")
    assert found["sub/lost.txt"].failure == ("io", f"{photos}/sub/lost.txt: no image of this name lies beside it")
    assert len(found) == 5


def test_names_that_differ_in_case_alone_keep_their_own_captions(tmp_path: Path, samples, texts, image) -> None:
    for name in ("A", "a", "B"):
        (tmp_path / f"{name}.jpg").write_bytes(image(1))
        (tmp_path / f"{'b' if name == 'B' else name}.txt").write_text(name)
    found = samples("folder", ".")
    assert {key: texts(sample) for key, sample in found.items()} == {"A.jpg": ["A"], "B.jpg": ["B"], "a.jpg": ["a"]}


def test_a_glob_takes_the_sidecars_along(photos: Path, samples, texts) -> None:
    found = samples("folder", "photos/**/*.jpg")
    assert {key: texts(sample) for key, sample in found.items()} == {"a.jpg": ["a red kite"]}


def test_remote_folders_read_the_same(photos: Path, samples, source) -> None:
    for path in photos.rglob("*.*"):
        with fsspec.open(f"memory://photos/{path.relative_to(photos)}", "wb") as file:
            file.write(path.read_bytes())
    local, remote = samples("folder", "photos"), samples("folder", "memory://photos")
    assert list(local) == list(remote)
    for key, sample in local.items():
        assert [item.text for item in remote[key].items] == [item.text for item in sample.items]
        assert (remote[key].rights, remote[key].meta) == (sample.rights, sample.meta)
    assert source("folder", "memory://photos").name == "photos"


def test_keys_hold_when_the_corpus_is_moved(photos: Path, source, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "elsewhere" / "photos")
    here, there = source("folder", "photos"), source("folder", "photos", base=tmp_path / "elsewhere")
    assert here.name == there.name
    assert [sample.key for sample in here.samples()] == [sample.key for sample in there.samples()]


def test_a_dangling_link_is_a_sample_that_will_fail_to_read(photos: Path, samples) -> None:
    os.symlink(photos / "nowhere", photos / "x.jpg")
    assert samples("folder", "photos")["x.jpg"].items[0].ref.size is None


def test_names_that_are_not_utf8_can_be_written_and_read(photos: Path, samples, pixels, image) -> None:
    with open(os.fsencode(photos) + b"/caf\xe9.jpg", "wb") as file:
        file.write(image(7))
    sample = samples("folder", "photos")["caf\\xe9.jpg"]
    sample.items[0].ref.uri.encode()
    assert pixels(sample) == [image(7)]


def test_folders_without_images_are_an_error(tmp_path: Path, source) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"empty: no image below .* expected files that end in \.jpg"):
        list(source("folder", "empty").samples())
    with pytest.raises(SourceError, match="no such folder"):
        list(source("folder", "none").samples())


def test_files_are_the_images_and_their_sidecars(photos: Path, source) -> None:
    (photos / "notes.csv").write_text("x")
    names = [file.uri.removeprefix(f"{photos}/") for file in source("folder", "photos").files()]
    assert names == ["a.jpg", "a.txt", "b.PNG", "b.png.txt", "sub/c.json", "sub/c.webp", "sub/d.jpeg"]
