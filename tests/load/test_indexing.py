"""Tars that others wrote, indexed and loaded: what `webdataset` makes of them, and what is made to hurt."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pack.making import image_bytes
from sluice.errors import RecipeError, RunError
from sluice.load.decode import Pixels
from sluice.load.global_batches import ByTokens
from sluice.load.indexing import REFUSED_FILE, index_tars
from sluice.load.loader import Loader
from sluice.load.scanning import Asked, scan
from sluice.pack.manifest import read_manifest
from support.commands import cli

webdataset: Any = pytest.importorskip("webdataset")  # brings no types
FORMATS: Final = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
SUFFIXES = ("jpg", "png", "webp", "txt", "json", "cls", "left.JPG", "seg.map.png", "npy")


def write(path: Path, *added: tuple[tarfile.TarInfo | str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in added:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pairs(keys: Any, first: int = 0) -> list[tuple[tarfile.TarInfo | str, bytes]]:
    return [
        member
        for number, key in enumerate(keys, first)
        for member in ((f"{key}.jpg", image_bytes(number)), (f"{key}.txt", f"caption {number}".encode()))
    ]


def served(folder: Path, window: int = 8, **settings: Any) -> dict[str, Any]:
    loader = Loader(folder, 4, window=window, **settings)
    found = {id or "": value for batch in loader for id, value in zip(batch.ids, batch.values, strict=True)}
    assert loader.quarantine == ()
    return found


_stem = st.text("ab01é_- ", min_size=1, max_size=12).filter(lambda text: text.strip() == text)
_key = st.one_of(
    st.lists(_stem, min_size=1, max_size=3).map("/".join),
    st.tuples(st.sampled_from(["dots.in.folder", "x" * 90]), st.text("k0", min_size=1, max_size=60)).map("/".join),
)
_members = st.dictionaries(st.sampled_from(SUFFIXES), st.binary(max_size=700), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.dictionaries(_key, _members, min_size=1, max_size=4), min_size=1, max_size=3), st.sampled_from(FORMATS)
)
def test_what_is_served_is_what_webdataset_reads(
    tmp_path_factory: pytest.TempPathFactory, shards: Any, form: int
) -> None:
    folder = tmp_path_factory.mktemp("tars")
    for number, samples in enumerate(shards):
        for members in samples.values():
            if "txt" in members:
                members["txt"] = members["txt"].hex().encode()
        added = [(f"{key}.{suffix}", data) for key, one in samples.items() for suffix, data in one.items()]
        try:
            write(folder / f"part{number % 2}" / f"{number}.tar", *added, form=form)
        except ValueError:  # ustar cannot hold every name
            return
    paths = sorted(map(str, folder.rglob("*.tar")))
    wanted = [
        (Path(path).relative_to(folder).as_posix(), sample["__key__"], {k: v for k, v in sample.items() if k[0] != "_"})
        for path in paths
        for sample in webdataset.WebDataset([path], shardshuffle=False, empty_check=False)
    ]
    made = index_tars(folder)
    assert made.fine and made.scanned == len(shards)
    keys = [key for _, key, _ in wanted]
    assert made.prefixed == (len(set(keys)) < len(keys))
    found = served(folder)
    ids = [f"{shard}/{key}" if made.prefixed else key for shard, key, _ in wanted]
    assert {id: dict(sample.parts) for id, sample in found.items()} == {
        id: parts for id, (_, _, parts) in zip(ids, wanted, strict=True)
    }
    assert [row["id"] for row in read_manifest(folder).to_pylist()] == ids
    for sample in found.values():
        assert sample.caption == (sample.parts["txt"].decode() if "txt" in sample.parts else None)
        assert list(sample.images) == [
            data for suffix, data in sample.parts.items() if suffix.endswith(("jpg", "png", "webp"))
        ]


def test_ids_are_keys_until_one_comes_back_and_captions_may_be_in_the_json(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", ("1.json", json.dumps({"caption": "a red büs", "n": 3}).encode()), ("1.jpg", b"x"))
    write(tmp_path / "sub" / "b.tar", *pairs(["2", "3"]))
    assert not index_tars(tmp_path).prefixed
    found = served(tmp_path)
    assert {id: sample.caption for id, sample in found.items()} == {
        "1": "a red büs",
        "2": "caption 0",
        "3": "caption 1",
    }
    assert found["1"].document["n"] == 3
    write(tmp_path / "c.tar", *pairs(["3"]))
    assert index_tars(tmp_path).prefixed
    assert sorted(served(tmp_path)) == ["a.tar/1", "c.tar/3", "sub/b.tar/2", "sub/b.tar/3"]


def test_only_what_is_new_or_has_changed_is_scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.tar", *pairs([f"{number}-{key}" for key in range(3)]))
    assert index_tars(tmp_path).scanned == 3
    before = (tmp_path / "manifest.parquet").read_bytes()
    assert index_tars(tmp_path).scanned == 0
    assert (tmp_path / "manifest.parquet").read_bytes() == before
    state = Loader(tmp_path, 4).state_dict()
    write(tmp_path / "1.tar", *pairs(["other"]))
    (tmp_path / "2.tar").unlink()
    again = index_tars(tmp_path)
    assert (again.scanned, dict(again.samples)) == (1, {"train": 4})
    assert sorted(path.name for path in (tmp_path / ".sluice-index").rglob("*.parquet")) == [
        "0.tar.parquet",
        "1.tar.parquet",
    ]
    with pytest.raises(RunError, match="packs was"):
        Loader(tmp_path, 4).load_state_dict(state)
    assert index_tars(tmp_path, measure=True).scanned == 2  # more is asked than is known
    assert index_tars(tmp_path).scanned == 0  # less is
    # killed between shards: what was scanned stays known
    write(tmp_path / "3.tar", *pairs(["x"]))
    write(tmp_path / "4.tar", *pairs(["y"]))

    def killed(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sluice.load.indexing.write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            index_tars(tmp_path, measure=True)
    assert index_tars(tmp_path, measure=True).scanned == 0


def test_hostile_members_are_refused_with_their_sample_and_the_rest_is_served(tmp_path: Path) -> None:
    def odd(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        return info

    write(
        tmp_path / "odd.tar",
        *pairs(["fine"]),
        ("/etc/abs.jpg", b"1"),
        ("../up.jpg", b"2"),
        (odd("link.jpg", tarfile.SYMTYPE, "/etc/passwd"), b""),
        ("link.txt", b"of a link"),
        *pairs(["apart"])[:1],
        *pairs(["also-fine"]),
        *pairs(["apart"])[1:],
        ("README", b"no extension"),
    )
    whole = write(tmp_path / "cut.tar", *pairs(["first", "second"])).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) - tarfile.RECORDSIZE // 2 - 900])
    (tmp_path / "none.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    huge = tarfile.TarInfo("huge.bin")
    huge.size = 1 << 33
    (tmp_path / "huge.tar").write_bytes(huge.tobuf(tarfile.GNU_FORMAT))
    os.truncate(tmp_path / "huge.tar", (1 << 33) + 4096)  # sparse on disk
    made = index_tars(tmp_path)
    said = {(shard, key): (kind, message) for shard, (key, kind, message) in made.refused}
    for shard, key, words in [
        ("odd.tar", "/etc/abs", "absolute path"),
        ("odd.tar", "../up", "leads out"),
        ("odd.tar", "link", "symbolic link"),
        ("odd.tar", "apart", "do not follow each other"),
        ("odd.tar", "README", "no extension"),
        ("none.tar", None, "compressed with gzip"),
        ("huge.tar", "huge", "the limit is 1,073,741,824"),
    ]:
        assert words in said[shard, key][1]
    assert any(shard == "cut.tar" for shard, _ in said)
    assert said["huge.tar", "huge"][0] == "too_large"
    assert {"fine", "also-fine"} <= set(served(tmp_path)) <= {"fine", "also-fine", "first"}
    told = pq.read_table(tmp_path / REFUSED_FILE).to_pylist()
    assert len(told) == len(made.refused) and "refused" in str(made)


def test_measured_images_and_counted_captions_are_what_token_budgets_need(tmp_path: Path) -> None:
    from PIL import Image

    def encoded(size: tuple[int, int], format: str, **more: Any) -> bytes:
        buffer = io.BytesIO()
        pixels = os.urandom(size[0] * size[1] * 3)
        Image.frombytes("RGB", size, pixels).save(buffer, format, **more)
        return buffer.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6  # on its side
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF"}
    added = [
        (f"{suffix}.{suffix}", encoded((600, 400), format, **({} if suffix == "gif" else {"exif": exif})))
        for suffix, format in kinds.items()
    ]
    assert all(len(data) > 2**16 for _, data in added)
    write(tmp_path / "a.tar", *added, ("none.txt", b"text alone"), ("bad.jpg", b"no image"))
    index_tars(tmp_path)
    with pytest.raises(RecipeError, match=r"index FOLDER --tokenizer"):
        len(Loader(tmp_path, ByTokens(1000)))
    made = index_tars(tmp_path, measure=True)
    assert [(one[1][0], one[1][1]) for one in made.refused] == [("bad", "decode")]
    rows = {row["id"]: (row["width"], row["height"]) for row in read_manifest(tmp_path).to_pylist()}
    assert rows == {**dict.fromkeys(["jpg", "png", "webp", "tif"], (400, 600)), "gif": (600, 400), "none": (None, None)}


def test_budgets_of_tokens_batch_an_indexed_folder(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path / "tars" / "a.tar", *pairs(f"{number:04}" for number in range(9)), ("none.jpg", image_bytes(3)))
    index_tars(tmp_path / "tars", measure=True, tokenizer=tmp_path / "tokenizer.json")
    rows = read_manifest(tmp_path / "tars").to_pylist()
    assert [row["text_tokens"] for row in rows] == [2] * 9 + [0]
    batches = list(Loader(tmp_path / "tars", ByTokens(4 * 578)))
    assert sorted(id or "" for batch in batches for id in batch.ids) == sorted(row["id"] for row in rows)
    assert max(map(len, batches)) == 4


def test_a_manifest_elsewhere_a_split_by_name_and_exit_codes(tmp_path: Path) -> None:
    tars, into = tmp_path / "tars", tmp_path / "lists"
    write(tars / "x-train-0.tar", *pairs(["1", "2"]))
    write(tars / "x-val-0.tar", *pairs(["3"]))
    done = cli("index", tars, "--into", into)
    assert done.code == 0, done.err
    assert "look like another (x-val-0.tar)" in done.out
    done = cli("index", tars, "--into", into, "--split", "val=*val*", "--json")
    assert (done.code, json.loads(done.out)["samples"]) == (0, {"train": 2, "val": 1})
    assert not (tars / "manifest.parquet").exists()
    assert {id: pair.caption for id, pair in served(into, split="val", decode=Pixels(16)).items()} == {"3": "caption 0"}
    write(tars / "y.tar", ("a.jpg", b"1"), ("a.jpg", b"2"))
    done = cli("index", tars, "--into", into)
    assert (done.code, "is there twice" in done.out) == (1, True)
    for arguments, words in [
        ((tmp_path / "gone",), "no such folder"),
        ((into,), "no tars"),
        ((tars, "--split", "val"), "NAME=GLOB"),
    ]:
        done = cli("index", *arguments)
        assert (done.code, words in done.err) == (2, True)


def test_a_pack_of_ours_is_not_written_over(packs: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(packs[0], tmp_path / "pack")
    with pytest.raises(RunError, match="no index: a pack needs none"):
        index_tars(tmp_path / "pack")
    assert len(index_tars(tmp_path / "pack" / "webdataset").samples) == 1
    found = served(tmp_path / "pack" / "webdataset")
    assert {id: (one.images, one.caption) for id, one in found.items()} == {
        id: (one.images, one.caption) for id, one in served(packs[0]).items()
    }


def test_remote_tars_are_listed_by_ranged_reads(tmp_path: Path) -> None:
    import fsspec

    path = write(tmp_path / "a.tar", *pairs(["1", "2"]))
    fsspec.filesystem("memory").pipe_file("/foreign/a.tar", path.read_bytes())
    with pytest.raises(RunError, match="give --into"):
        index_tars("memory://foreign")
    index_tars("memory://foreign", tmp_path / "into", measure=True)
    rows = read_manifest(tmp_path / "into").to_pylist()
    local = scan(str(path), "a.tar", "a", Asked(True)).rows
    assert [row["shard"] for row in rows] == ["memory://foreign/a.tar"] * 2
    assert {id: one.caption for id, one in served(tmp_path / "into").items()} == {"1": "caption 0", "2": "caption 1"}
    places = ["id", "offset", "size", "image_offset", "image_size", "width", "height"]
    assert [[row[name] for name in places] for row in rows] == [
        list(row.values()) for row in local.select(places).to_pylist()
    ]
