"""What changed is done again, and nothing else: and what comes of it is what a fresh run gives."""

import json
import os
import shutil

import pytest

import sluice
from sluice.run import corpus_measuring
from support.commands import last_events, named
from support.corpus import build_corpus, encoded, picture
from support.folders import differing, tree_digest
from support.recipes import QUICK_MEASURES, RULES, write_recipe


@pytest.fixture
def images(tmp_path, corpus):
    """A corpus of one's own, to change."""
    return shutil.copytree(corpus, tmp_path / "images")


@pytest.fixture
def carry_out(tmp_path, images, inline):
    """Run the recipe, with changes; what was measured: {unit: measures}."""

    def run(**changes):
        write_recipe(tmp_path / "recipe.yaml", images, **changes)
        inline.ran.clear()
        return sluice.run(tmp_path / "recipe.yaml")

    return run


def same_as_fresh(tmp_path, run):
    """Whether the run folder holds what a run from nothing gives."""
    kept = shutil.move(run.layout.root, tmp_path / "kept")
    fresh = sluice.run(tmp_path / "recipe.yaml").layout.root
    found = differing(tree_digest(fresh), tree_digest(kept, [name.name for name in (kept / "none").glob("*")]))
    return [name for name in found if "/measures/" not in name]  # those of older recipes stay


def units_measured(run):
    return sorted(event["unit"] for event in named(last_events(run.layout.root), "unit_measured"))


def test_a_changed_threshold_measures_nothing(tmp_path, carry_out):
    carry_out()
    run = carry_out(filter={"reject": {**RULES, "soft": "sharpness < 600"}, "duplicates": {"boilerplate": 2}})
    assert units_measured(run) == []
    assert same_as_fresh(tmp_path, run) == []


def test_a_lesser_distance_of_near_duplicates_compares_no_hash_again(tmp_path, carry_out, monkeypatch):
    carry_out()
    monkeypatch.setattr(corpus_measuring, "near_index", None)
    run = carry_out(filter={"reject": RULES, "duplicates": {"boilerplate": 2, "near": {"distance": 5}}})
    monkeypatch.undo()
    assert same_as_fresh(tmp_path, run) == []


def test_a_changed_limit_measures_images_again_and_texts_not(tmp_path, carry_out):
    run = carry_out()
    before = {path.parent.name: path.stat().st_mtime_ns for path in run.layout.measures().glob("text.*/unit-00000.*")}
    run = carry_out(limits={"pixels": 12_000})
    assert units_measured(run) == [0, 1, 2, 3, 4, 5]
    after = {path.parent.name: path.stat().st_mtime_ns for path in run.layout.measures().glob("text.*/unit-00000.*")}
    assert after == before
    assert len(list(run.layout.measures().glob("image.phash@*"))) == 2
    assert run.status().stages[1].counts["failed"] > 40
    assert same_as_fresh(tmp_path, run) == []


def test_how_long_and_how_much_a_sample_may_take_measures_nothing_again(carry_out):
    carry_out()
    assert units_measured(carry_out(limits={"seconds": 7, "memory": 2**30})) == []


def test_one_more_measure_measures_only_itself(tmp_path, carry_out):
    carry_out(measures=[name for name in QUICK_MEASURES if name != "text.content_hash"])
    folders = {path: path.stat().st_mtime_ns for path in (tmp_path / "run/01_filtered/measures").glob("*/unit-*")}
    run = carry_out()
    assert units_measured(run) == [0, 1, 2, 3, 4, 5]
    assert {path: path.stat().st_mtime_ns for path in folders} == folders
    assert same_as_fresh(tmp_path, run) == []


def test_images_appended_leave_full_units_as_they_are(tmp_path, images, carry_out):
    carry_out(sources=[{"type": "folder", "path": str(images), "name": "photos"}])
    build_corpus(tmp_path / "more", 20, seed=9)
    sources = [{"type": "folder", "path": str(path), "name": path.name} for path in (images, tmp_path / "more")]
    sources[0]["name"] = "photos"
    run = carry_out(sources=sources)
    assert units_measured(run) == [6, 7]
    assert same_as_fresh(tmp_path, run) == []


def test_a_changed_image_of_the_same_size_measures_its_unit_and_is_packed_anew(tmp_path, images, carry_out):
    path = images / "part0" / "0000.jpg"
    first, second = (encoded(picture(seed), quality=80) for seed in (900, 901))
    longest = max(len(first), len(second))
    path.write_bytes(first.ljust(longest, b"\0"))
    carry_out()
    path.write_bytes(second.ljust(longest, b"\0"))
    run = carry_out()
    assert units_measured(run) == [0]
    assert second.ljust(longest, b"\0") in b"".join(tar.read_bytes() for tar in run.layout.final.rglob("*.tar"))
    assert same_as_fresh(tmp_path, run) == []


def test_a_changed_caption_of_the_same_length_is_seen(tmp_path, images, carry_out):
    run = carry_out()
    before = run.samples("kept").num_rows
    path = images / "part0" / "0000.json"
    side = json.loads(path.read_text())
    side["captions"] = [side["captions"][0].replace("thing", "THING")]
    path.write_text(json.dumps(side))
    run = carry_out()
    assert units_measured(run) == [0]
    assert run.samples("kept").num_rows == before
    assert b"a picture of THING" in b"".join(tar.read_bytes() for tar in run.layout.final.rglob("*.tar"))
    assert same_as_fresh(tmp_path, run) == []


def test_a_file_that_was_only_touched_measures_its_unit_and_changes_no_byte(images, carry_out):
    run = carry_out()
    before = tree_digest(run.layout.root)
    os.utime(images / "part1" / "0001.png", (1, 1))
    run = carry_out()
    assert units_measured(run) == [3]  # part0 comes first: 36 images, then part1
    assert differing(before, tree_digest(run.layout.root)) == []


def test_images_that_are_gone_are_gone_from_the_shards(tmp_path, images, carry_out):
    carry_out()
    for path in images.glob("part1/*"):
        path.unlink()
    run = carry_out()
    assert units_measured(run) == []
    assert run.samples().num_rows == 36
    assert same_as_fresh(tmp_path, run) == []


def test_a_stage_that_waits_to_be_done_again_is_not_taken_for_done(tmp_path, images, carry_out):
    carry_out()
    write_recipe(tmp_path / "recipe.yaml", images, filter={"reject": {"all": "min_side > 0"}})
    run = sluice.run(tmp_path / "recipe.yaml", only="01_filtered")
    assert [stage.state for stage in run.status().stages] == ["done", "done", "waiting"]
    assert run.samples("kept").num_rows == 0
    assert not run.finished
