"""A whole run that asks for a share of false accepts and checks what it kept by retrieval."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import sluice
from sluice.corpus.calibration import Calibration
from sluice.errors import RecipeError, RunError
from sluice.run import calibrating
from sluice.run.calibrating import is_clip, stored_calibration
from sluice.run.recipe import recipe_from
from sluice.synth.generate import generate
from support.folders import differing, tree_digest

MISALIGNED = {"misaligned": {"false_accept": "1%"}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("calibrated") / "world", 240, 5, workers=1).folder


def recipe(folder, world, name="run", captions="captions.jsonl", reject=MISALIGNED, **changes):
    """A recipe whose only rules are about the fit of text and image."""
    quality = {"encoder": {"type": "builtin"}, "reject": reject, **changes.pop("quality", {})}
    values = {
        "name": "small",
        "run": name,
        "sources": [{"type": "table", "path": str(world / captions), "name": "world"}],
        "unit": 64,
        "measures": ["image.header", "text.basic"],
        "filter": {"duplicates": {"near": None}},
        "quality": quality,
        "engine": {"workers": 1},
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def shuffled(world):
    """The same images, each with the captions of another."""
    rows = [json.loads(line) for line in (world / "captions.jsonl").read_text().rstrip("\n").split("\n")]
    names = [name for name in rows[0] if "caption" in name or "text" in name]
    assert names
    moved = [{**row, **{name: rows[place - 7].get(name) for name in names}} for place, row in enumerate(rows)]
    (world / "shuffled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in moved))
    return "shuffled.jsonl"


def rows_of(run):
    return pq.read_table(run / "03_quality_checked" / "rows.parquet")


def test_a_share_of_false_accepts_is_a_rule_and_its_calibration_is_kept(tmp_path, world, inline):
    asked = {"retrieval": {"top": 10, "share": "80%"}}
    run = sluice.run(recipe(tmp_path, world, quality=asked))
    root = run.layout.root
    rows = rows_of(root)
    calibration = stored_calibration(run)
    assert calibration.dump() == Calibration.load(run.layout.calibration.read_text()).dump()
    assert calibration.main == "en"
    threshold = calibration.threshold_for(0.01, "en")
    verdicts = {row["id"]: row for row in pq.read_table(run.layout.verdicts("03_quality_checked")).to_pylist()}
    single = [row for row in rows.to_pylist() if verdicts[row["id"]]["verdict"] in ("kept", "rejected", "held")]
    for row in single:
        if row["declared_language"] == "en" and row["alignment"] is not None:
            assert (row["false_accept"] <= np.float32(0.01)) == (row["alignment"] >= np.float32(threshold))
        elif row["false_accept"] is None:
            assert row["alignment"] is None or not calibration.languages[row["declared_language"] or "und"].enough
    unknown = {row["id"] for row in single} - {row["id"] for row in single if row["false_accept"] is not None}
    assert unknown
    assert {verdicts[one]["verdict"] for one in unknown} == {"held"}
    kept = [one for one in verdicts.values() if one["verdict"] == "kept"]
    assert len(kept) > 50
    checks = json.loads(run.layout.checks.read_text())["retrieval"]
    assert checks["passed"]
    assert checks["pools"]["text_to_image"] == len(kept)
    assert {one["by"] for one in checks["slices"]} == {"all", "language", "source", "size"}
    assert sluice.run(tmp_path / "run.yaml").layout.root == root, "the locked recipe says the same again"
    assert run.what_if(["misaligned: false_accept > 0.5"]) is not None


def test_captions_of_other_images_fail_the_retrieval_check_and_the_stage_is_not_done(tmp_path, world, shuffled, inline):
    asked = {"retrieval": {"top": 10, "share": 0.8, "sample": 100}}
    path = recipe(tmp_path, world, captions=shuffled, reject={"opposite": "alignment < -2"}, quality=asked)
    with pytest.raises(RunError, match="sluice why") as failed:
        sluice.run(path)
    assert failed.value.exit_code == 2
    run = sluice.Run.open(tmp_path / "run")
    checks = json.loads(run.layout.checks.read_text())["retrieval"]
    assert not checks["passed"]
    assert checks["pools"]["text_to_image"] == 100
    worst = [one for one in checks["slices"] if one["failed"]]
    assert all(one["queries"] >= 50 and one["share"] < 0.8 for one in worst)
    assert worst[0]["missed"][0][:12] in str(failed.value) or len(worst) > 1
    assert not run.layout.stage_file("03_quality_checked").is_file()
    assert str(run.why(worst[0]["missed"][0]))
    path = recipe(tmp_path, world, captions=shuffled, reject={"opposite": "alignment < -2"})
    assert sluice.run(path).layout.stage_file("03_quality_checked").is_file()
    assert not run.layout.checks.is_file(), "what is not asked for any more is not said any more"


def test_another_number_of_workers_changes_no_byte_and_the_calibration_is_printed(tmp_path, world, launcher):
    asked = {"retrieval": {"share": "50%", "sample": 60}}
    for name, workers in (("one", 1), ("two", 2)):
        path = recipe(tmp_path, world, name, quality=asked, engine={"workers": workers})
        assert launcher.run("run", path, "--only", "03_quality_checked").code == 0
    ignored = ("recipe.lock.yaml", "seconds.json", "events.jsonl", ".state")
    assert differing(tree_digest(tmp_path / "one", ignored), tree_digest(tmp_path / "two", ignored)) == []
    printed = launcher.run("calibrate", tmp_path / "one")
    assert printed.code == 0
    assert "mismatched let through" in printed.out
    values = json.loads(launcher.run("calibrate", tmp_path / "one", "--json").out)
    assert values["languages"]["en"]["calibrated"]


def test_few_pairs_are_drawn_whatever_the_units_and_small_languages_whole(tmp_path, world, inline, monkeypatch):
    decoding = ["image.header", "image.quality", "text.basic"]  # what has no vector is not drawn in place of another
    whole = stored_calibration(sluice.run(recipe(tmp_path, world, "whole", measures=decoding))).languages
    monkeypatch.setattr(calibrating, "MOST", 200)
    drawn = stored_calibration(sluice.run(recipe(tmp_path, world, "drawn", measures=decoding))).languages
    sized = stored_calibration(sluice.run(recipe(tmp_path, world, "sized", unit=100, measures=decoding))).languages
    counts = {language: len(known.true) for language, known in drawn.items()}
    assert 190 < sum(counts.values()) <= 200
    most = max(counts.values())
    assert counts == {language: min(most, len(known.true)) for language, known in whole.items()}
    assert most < len(whole["en"].true)
    for language, known in drawn.items():
        assert set(known.true.tolist()) <= set(whole[language].true.tolist())
        assert sized[language].true == pytest.approx(known.true, abs=2e-3)
        assert sized[language].mismatched == pytest.approx(known.mismatched, abs=2e-3)


def test_where_nothing_is_left_the_check_says_so_and_stops_nothing(tmp_path, world, inline):
    path = recipe(tmp_path, world, reject={"all": "alignment < 3"}, quality={"retrieval": {"share": "100%"}})
    run = sluice.run(path)
    checks = json.loads(run.layout.checks.read_text())["retrieval"]
    assert (checks["slices"], checks["pools"]) == ([], {})
    assert run.layout.stage_file("03_quality_checked").is_file()


def test_the_threshold_of_clip_is_warned_of_with_what_it_means_here(tmp_path, world, inline):
    told = []
    path = recipe(
        tmp_path, world, reject={"misaligned": "alignment < 0.28", "low": "0.20 > alignment", "a": "alignment < 0.285"}
    )
    from sluice.run.conductor import run
    from sluice.run.recipe import load_recipe

    run(load_recipe(path), only="03_quality_checked", listener=told.append)
    warned = [event for event in told if event["event"] == "threshold_warning"]
    assert [(event["rule"], event["threshold"]) for event in warned] == [("misaligned", 0.28), ("low", 0.2)]
    known = stored_calibration(sluice.Run.open(tmp_path / "run")).languages["en"].at(0.28)
    assert f"lets {known.let_through:.1%} of the mismatched pairs" in warned[0]["text"]
    assert f"keeps {known.kept:.1%}" in warned[0]["text"]


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("ViT-B-32 laion2b", True), ("openai/clip-vit-large-patch14 1", True), ("ViT-B-16", False), ("builtin", False)],
)
def test_the_encoders_of_the_published_thresholds_are_known_by_name(name, is_one):
    assert is_clip(name) is is_one


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({}, "give either"),
        ({"false_accept": "1%", "when": "alignment < 1"}, "not both"),
        ({"false_accept": "one%"}, "write 1% or 0.01"),
        ({"false_accept": 0}, "greater than 0"),
        ({"false_accept": "120%"}, "less than or equal to 1"),
    ],
)
def test_a_rule_says_a_condition_or_a_share(tmp_path, rule, problem):
    values = yaml.safe_load(recipe(tmp_path, tmp_path, reject={"misaligned": rule}).read_text())
    with pytest.raises(RecipeError, match=problem):
        recipe_from(values, tmp_path)


def test_a_share_is_filled_in_as_a_condition(tmp_path):
    values = yaml.safe_load(recipe(tmp_path, tmp_path, reject={"a": {"false_accept": "0.5%"}}).read_text())
    read = recipe_from(values, tmp_path).recipe
    assert read.quality.reject["a"].when == "false_accept > 0.005"
    again = recipe_from(read.model_dump(mode="json"), tmp_path).recipe
    assert again == read


def test_a_run_without_quality_says_how_to_get_a_calibration(tmp_path, world, inline):
    path = recipe(tmp_path, world, quality={})
    values = yaml.safe_load(path.read_text())
    del values["quality"]
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(RunError, match="no `quality`"):
        stored_calibration(sluice.run(path))
