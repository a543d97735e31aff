"""What only the whole corpus shows: duplicates, reference sets, splits; and what a plan foretells of it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import sluice
from support.corpus import build_corpus, encoded, picture
from support.folders import differing, tree_digest
from support.recipes import RULES, write_recipe


def by_key(run):
    return {row["key"].rpartition("/")[2].partition(".")[0]: row for row in run.samples().to_pylist()}


def test_a_reference_set_is_kept_out(tmp_path, corpus, inline):
    reference = tmp_path / "test-set"
    reference.mkdir()
    for number in (0, 6, 12):  # the same pictures, as another encoder wrote them
        (reference / f"q{number}.jpg").write_bytes(encoded(picture(number), quality=70))
    (reference / "other.jpg").write_bytes(encoded(picture(7_777)))
    against = [{"name": "exam", "source": {"type": "folder", "path": "test-set"}}]
    filters = {"reject": dict(RULES), "duplicates": {"against": against}}
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, filter=filters))
    found = {key: row for key, row in by_key(run).items() if "contaminated" in row["rules"]}
    assert found.keys() == {"0000", "0006", "0012"}
    assert {row["verdict"] for row in found.values()} == {"rejected"}
    values = run.why("0006.jpg").stages["01_filtered"]["reasons"][0]["values"]
    assert (values["reference"], values["key"]) == ("exam", "q6.jpg")
    assert values["distance"] <= 4
    assert pq.read_table(run.layout.manifest, filters=[("id", "=", found["0006"]["id"])]).num_rows == 0
    inline.ran.clear()
    sluice.run(tmp_path / "recipe.yaml")
    assert inline.ran == [], "a reference set is hashed once"


def test_duplicates_are_found_and_the_best_is_kept(tmp_path, corpus, inline):
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus))
    found = by_key(run)
    for two, three, four, five in ((n + 2, n + 3, n + 4, n + 5) for n in (0, 24, 48)):
        near = [found[f"{two:04d}"], found[f"{three:04d}"]]
        equal = [found[f"{four:04d}"], found[f"{five:04d}"]]
        for pair, rule in ((near, "near_duplicate"), (equal, "duplicate_bytes")):
            assert sorted(row["verdict"] for row in pair) == ["kept", "rejected"]
            assert next(row for row in pair if row["verdict"] == "rejected")["rules"] == [rule]
            assert len({row["cluster"] for row in pair}) == 1
    said = {row["verdict"] for key, row in found.items() if int(key) % 24 == 19}
    assert said == {"rejected"}, "a caption that stands on three images is boilerplate here"


@pytest.mark.parametrize("seed", range(3))
def test_no_split_cuts_a_cluster(tmp_path, inline, seed):
    """Near-duplicates are kept here, several to a picture: every group must lie in one split."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(24):
        for quality in (90, 60, 40)[: 1 + number % 3]:
            (folder / f"{number:02d}-{quality}.jpg").write_bytes(encoded(picture(number), quality=quality))
            (folder / f"{number:02d}-{quality}.txt").write_text(f"picture {number} at quality {quality}")
    filters = {"reject": {}, "duplicates": {"near": {"distance": 8, "keep": "id"}}}
    split = {"train": 0.5, "val": 0.3, "test": 0.2}
    recipe = write_recipe(tmp_path / "recipe.yaml", folder, filter=filters, seed=seed, split=split)
    run = sluice.run(recipe)
    manifest = pq.read_table(run.layout.manifest).to_pylist()
    assert {row["split"] for row in manifest} <= split.keys()
    groups = {}
    for row in manifest:
        groups.setdefault(row["cluster"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in groups.values())
    members = pq.read_table(run.layout.verdicts("01_filtered"), columns=["id", "cluster"]).to_pylist()
    assert len({row["cluster"] for row in members if row["cluster"]}) == 16
    changes = {"filter": filters, "seed": seed, "split": split, "run": "again", "unit": 5}
    again = sluice.run(write_recipe(tmp_path / "again.yaml", folder, **changes))
    assert pq.read_table(again.layout.manifest).to_pylist() == manifest


def test_all_formats_hold_the_same_samples_in_the_same_splits(tmp_path, corpus, inline):
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus))
    manifest = pq.read_table(run.layout.manifest).to_pylist()
    held = {
        name: {(row["id"], row["split"]) for row in manifest if row["format"] == name}
        for name in ("webdataset", "parquet")
    }
    assert held["webdataset"] == held["parquet"]
    assert len(held["parquet"]) == run.samples("kept").num_rows


@pytest.mark.slow
def test_a_plan_foretells_the_run_and_disturbs_nothing(tmp_path, launcher):
    corpus = build_corpus(tmp_path / "images", 480, seed=2)
    rules = {**RULES, "dark": "brightness < 120", "grainy": "sharpness > 5200", "png": "format = 'png'"}
    filters = {"reject": rules, "duplicates": {"near": None, "bytes": False, "boilerplate": None}}
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, filter=filters, unit=64)
    done = launcher.run("plan", recipe, "--sample", "40%", "--json")
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    assert plan["samples"] == 480
    assert 140 < plan["measured"] < 250
    assert launcher.run("run", recipe).code == 0
    planned = tree_digest(tmp_path / "run")
    record = json.loads((tmp_path / "run" / "01_filtered" / "stage.json").read_text())
    truth = {name: rule["samples"] / 480 for name, rule in record["rules"].items() if name in rules}
    truth |= {name: record[name] / 480 for name in ("kept", "rejected", "held", "failed")}
    foretold = {**plan["rules"], **plan["verdicts"]}
    inside = [foretold[name]["low"] <= share <= foretold[name]["high"] for name, share in truth.items()]
    assert np.mean(inside) >= 0.9, {name: (share, foretold[name]) for name, share in truth.items()}
    other = write_recipe(tmp_path / "other" / "recipe.yaml", corpus, filter=filters, unit=64)
    assert launcher.run("run", other).code == 0
    assert differing(planned, tree_digest(tmp_path / "other" / "run")) == []
    assert launcher.run("plan", recipe, "--sample", "40%", "--json").code == 0
    assert differing(planned, tree_digest(tmp_path / "run")) == []
