"""Formats asked for later: the same samples, and nothing that was there is touched."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import sluice
from sluice.errors import RecipeError, RunError
from sluice.pack.base import FORMATS
from sluice.pack.manifest import read_manifest
from sluice.run.export_command import export
from sluice.run.shards import Packing
from sluice.run.takedown_command import Request, take_down
from sluice.run.verifying import is_pack, verify_exported, verify_run
from support.finished import copy_of, finish

LATER = ("arrow", "mds", "litdata", "energon", "llava", "coco", "obelics")


def stamps(folder):
    """What changes when a file below `folder` is written, by path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def shards(folder, *formats):
    return {name: held for name, held in stamps(folder).items() if name.partition("/")[0] in formats}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus, launcher):
    return finish(tmp_path_factory.mktemp("export"), corpus, launcher)


@pytest.fixture
def ran(tmp_path, finished, inline):
    """A finished run of one's own."""
    own = copy_of(finished, tmp_path)
    lock = own / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace(str(finished), str(tmp_path)))
    return sluice.Run.open(own)


def test_a_later_format_is_added_and_the_rest_is_not_touched(ran):
    final = ran.layout.final
    before, rows = shards(final, "webdataset", "parquet"), read_manifest(final)
    done = export(ran, LATER)
    assert shards(final, "webdataset", "parquet") == before
    now = read_manifest(final)
    assert now.filter([name in ("webdataset", "parquet") for name in now["format"].to_pylist()]) == rows
    assert set(now["format"].to_pylist()) == {"webdataset", "parquet", *LATER}
    assert done.samples == rows.num_rows // 2 and done.written == done.shards
    assert verify_run(ran.layout).problems == ()
    assert str(done).endswith(f"{done.written} shards written")

    held = stamps(final)
    again = export(ran, LATER)
    assert again.written == 0 and "there already" in str(again)
    sluice.run(ran.file.path)  # the recipe does not name them: they stay
    assert shards(final, *FORMATS) == {name: held[name] for name in shards(final, *FORMATS)}


def test_what_is_exported_later_is_what_the_recipe_would_have_written_in_one_pass(ran, recipe, inline, tmp_path):
    export(ran, LATER)
    inline.ran.clear()
    packs = [{"format": format, "shard_samples": 8} for format in ("webdataset", "parquet", *LATER)]
    at_once = sluice.run(recipe("all.yaml", pack=packs, run="all"))
    tasks = sum(function.endswith("pack_shards") for function, _ in inline.ran)
    assert tasks == len(list((at_once.layout.final / "webdataset").rglob("*.tar")))
    names = ("manifest.parquet", "SHA256SUMS")
    for name in names:
        assert (at_once.layout.final / name).read_bytes() == (ran.layout.final / name).read_bytes()
    assert {name: data for name, (_, data) in shards(ran.layout.final, *FORMATS).items()} == {
        name: data for name, (_, data) in shards(at_once.layout.final, *FORMATS).items()
    }


def test_the_command_exports_with_workers_and_verifies_both_packs(ran, launcher, tmp_path):
    run, out = ran.layout.root, tmp_path / "out"
    done = launcher.run("export", run, "--to", "mds", "--to", "coco", "--json")
    assert (done.code, json.loads(done.out)["formats"]) == (0, ["mds", "coco"]), done.err
    assert launcher.run("export", run, "--to", "arrow", "--into", out).code == 0
    for folder in (run, out):
        checked = launcher.run("verify", folder)
        assert checked.code == 0 and "all as the manifest says" in checked.out
    refused = launcher.run("export", run, "--to", "zip")
    assert refused.code == 2 and "there is no format 'zip' (there are: webdataset" in refused.err


def test_an_export_that_is_killed_goes_on(ran, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Packing, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export(ran, ["mds", "llava"])
    done = export(ran, ["mds", "llava"])
    assert done.written == 0 and verify_run(ran.layout).problems == ()


def test_into_a_folder_goes_a_pack_of_its_own(ran, tmp_path):
    before = stamps(ran.layout.final)
    export(ran, ["coco"], into=tmp_path / "out", shard_samples=4)
    done = export(ran, ["mds"], into=tmp_path / "out")
    assert done.shards < len(list((tmp_path / "out").glob("coco/*/*.jsonl")))
    assert stamps(ran.layout.final) == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "SHA256SUMS",
        "coco",
        "manifest.parquet",
        "mds",
    ]
    assert is_pack(tmp_path / "out") and not is_pack(ran.layout.root)
    report = verify_exported(tmp_path / "out")
    assert report.fine and report.rows == 2 * done.samples and "stages" not in str(report)

    (gone,) = [row["id"] for row in read_manifest(tmp_path / "out").to_pylist()[:1]]
    (tmp_path / "ids").write_text(gone)
    assert str(tmp_path / "out") in str(take_down(ran, Request(ids=tmp_path / "ids")))
    again = export(ran, ["mds"], into=tmp_path / "out")  # and what was exported there before
    assert again.written == 2 and again.samples == done.samples - 1
    assert verify_exported(tmp_path / "out").fine
    assert not any(gone.encode() in data for _, data in stamps(tmp_path / "out").values())

    (tmp_path / "mine" / "mds").mkdir(parents=True)
    with pytest.raises(RunError, match="no export of this run"):
        export(ran, ["mds"], into=tmp_path / "mine")


def test_a_takedown_reaches_every_exported_format(ran, tmp_path):
    export(ran, LATER)
    final = ran.layout.final
    row = read_manifest(final).to_pylist()[0]
    before = stamps(final)
    (tmp_path / "ids").write_text(row["id"])
    take_down(ran, Request(ids=tmp_path / "ids"))
    assert verify_run(ran.layout).problems == ()
    now = shards(final, *FORMATS)
    assert not any(row["id"].encode() in data for _, data in now.values())
    assert not any(hashlib.sha256(data).hexdigest() == row["sha256"] for _, data in now.values())
    shard = {name for name in now if "shard-" in name or "chunk-" in name}
    changed = {name for name in shard if now[name] != before[name]}
    assert {name.rpartition("/")[2].partition(".")[0] for name in changed} == {"shard-000000", "chunk-000000"}


def test_a_source_that_is_gone_costs_the_export_and_nothing_else(ran, recipe, corpus, tmp_path):
    moved = tmp_path / "images"
    shutil.copytree(corpus, moved)
    mine = sluice.run(recipe("mine.yaml", source=moved, run="mine"))
    before = shards(mine.layout.final, *FORMATS)
    moved.rename(tmp_path / "away")
    for into in (None, tmp_path / "out"):
        with pytest.raises(RunError, match="could not be packed as mds, so nothing was added; the first is"):
            export(mine, ["mds"], into=into)
        assert shards(mine.layout.final, *FORMATS) == before
        assert verify_run(mine.layout).problems == ()
    (tmp_path / "away").rename(moved)
    export(mine, ["mds"])
    assert verify_run(mine.layout).problems == ()


def test_what_cannot_be_exported_is_said_first(ran, tmp_path):
    with pytest.raises(RecipeError, match="there is no format 'zip'"):
        export(ran, ["zip"])
    with pytest.raises(RecipeError, match="the recipe has the format parquet already"):
        export(ran, ["parquet"])
    with pytest.raises(RecipeError, match="less than 4 GiB"):
        export(ran, ["mds"], shard_bytes=5_000_000_000)
    (ran.layout.stage_file("04_final")).unlink()
    for into in (None, tmp_path / "out"):
        with pytest.raises(RunError, match="04_final is not finished"):
            export(ran, ["mds"], into=into)


def test_llava_and_coco_go_in_again_as_sources(ran, recipe, inline):
    export(ran, ["llava", "coco"])
    final = ran.layout.final
    sums = {row["sha256"] for row in read_manifest(final).to_pylist()}
    for kind, files in (("llava", "llava/*.json"), ("coco", "coco/captions_*.json")):
        names = sorted(str(path) for path in final.glob(files))
        assert [Path(name).stem.removeprefix("captions_") for name in names] == ["train", "val"]
        sources = [{"type": kind, "path": name, "images": str(final / kind), "name": Path(name).stem} for name in names]
        measures = ["image.header", "image.phash", "image.content_hash", "text.basic", "text.content_hash"]
        filters = {"duplicates": {"near": None, "bytes": False}}
        back = sluice.run(recipe(f"{kind}.yaml", sources=sources, run=kind, measures=measures, filter=filters))
        assert {row["sha256"] for row in read_manifest(back.layout.final).to_pylist()} == sums


def test_the_conversations_of_llava_are_as_its_trainers_read_them(ran):
    export(ran, ["llava"])
    for split in ("train", "val"):
        entries = json.loads((ran.layout.final / f"llava/{split}.json").read_text())
        for entry in entries:
            assert (ran.layout.final / "llava" / entry["image"]).is_file()
            human, gpt = entry["conversations"]
            assert human == {"from": "human", "value": "<image>"} and gpt["from"] == "gpt" and gpt["value"]
