"""What-if against a real run with those rules: the same counts, the same samples."""

import random
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import sluice
from sluice.errors import RunError
from sluice.run.judging import rules_of
from sluice.run.takedown_command import Request, take_down
from support.corpus import encoded, picture
from support.recipes import RULES, write_recipe

CONDITIONS = {
    "tiny": ("min_side < 20", "min_side < 90", "min_side < 100"),
    "soft": ("sharpness < 5", "sharpness < 700", "sharpness < 1500 and brightness < 128"),
    "short": ("characters < 2", "characters < 40", "words < 8"),
    "big": ("bytes > 12000", "bytes > 4000 and format = 'png'"),
    "nulls": ("icc and jpeg_quality < 90", "jpeg_quality < 90"),  # unknown for what is no JPEG
    "both": ("sharpness < 900 or characters > 44", "pixels < 10000 and words > 6"),
    "who": ("author like '%7'", "licence = 'CC0'"),
}
SETS = 12


def setting_sets():
    rng = random.Random(11)
    for _ in range(SETS):
        names = rng.sample(sorted(CONDITIONS), rng.randint(1, 4))
        chosen = {name: rng.choice([*CONDITIONS[name], *(["off"] if name in RULES else [])]) for name in names}
        yield chosen


@pytest.fixture(scope="module")
def stored(tmp_path_factory, corpus, launcher):
    """The folder of a finished run over the small corpus."""
    folder = tmp_path_factory.mktemp("what-if")
    done = launcher.run("run", write_recipe(folder / "recipe.yaml", corpus, unit=32))
    assert done.code == 0, done.err
    return folder


def kept(run):
    return set(run.samples("kept").column("id").to_pylist())


@pytest.mark.parametrize("settings", list(setting_sets()), ids=str)
def test_what_if_says_what_a_real_run_then_does(stored, corpus, inline, settings):
    base = sluice.run(write_recipe(stored / "recipe.yaml", corpus, unit=32), only="01_filtered")
    before, entered = kept(base), pq.read_table(base.layout.verdicts("01_filtered")).num_rows
    said = base.what_if([f"{name}: {condition}" for name, condition in settings.items()])
    reject = {**RULES, **settings}
    filters = {
        "reject": {name: when for name, when in reject.items() if when != "off"},
        "duplicates": {"boilerplate": 2},
    }
    inline.ran.clear()
    done = sluice.run(write_recipe(stored / "recipe.yaml", corpus, unit=32, filter=filters), only="01_filtered")
    assert inline.ran == [], "a changed rule measures nothing"
    verdicts = pq.read_table(done.layout.verdicts("01_filtered")).column("verdict").to_pylist()
    assert said.entered == entered == len(verdicts)
    assert said.after == {name: verdicts.count(name) for name in ("kept", "rejected", "held", "failed")}
    after = kept(done)
    assert (said.gained, said.lost) == (len(after - before), len(before - after))
    assert set(said.gained_ids) <= after - before
    assert set(said.lost_ids) <= before - after
    assert {rule.name for rule in rules_of(done.recipe.filter)} <= set(said.rules_after)
    record = done.status().stages[1]
    assert {name: rule["samples"] for name, rule in said.rules_after.items() if rule["samples"]} == {
        name: count for name, count in record.reasons.items() if not name.startswith("failed")
    }


def test_what_if_with_the_same_rules_changes_nothing(stored, corpus, inline):
    run = sluice.run(write_recipe(stored / "recipe.yaml", corpus, unit=32), only="01_filtered")
    said = run.what_if([f"tiny: {RULES['tiny']}"])
    assert (said.before, said.gained, said.lost, said.conditions) == (said.after, 0, 0, {})
    assert said.rules_before == said.rules_after


def test_what_if_is_right_after_a_takedown_and_beside_a_reference_set(tmp_path, corpus, inline):
    (tmp_path / "exam").mkdir()
    for number in (0, 6):
        (tmp_path / "exam" / f"{number}.jpg").write_bytes(encoded(picture(number), quality=70))
    duplicates = {"boilerplate": 2, "against": [{"name": "exam", "source": {"type": "folder", "path": "exam"}}]}
    rules = {**RULES, "word": "contains(text, 'no such word')"}  # unknown, so held, of a text that is gone
    recipe = tmp_path / "recipe.yaml"
    run = sluice.run(write_recipe(recipe, corpus, filter={"reject": rules, "duplicates": duplicates}))
    by_verdict = {verdict: run.samples(verdict).column("id").to_pylist() for verdict in ("kept", "rejected")}
    (tmp_path / "gone").write_text("\n".join([*by_verdict["kept"][:4], *by_verdict["rejected"][:4]]))
    take_down(run, Request(ids=tmp_path / "gone"))
    said = run.what_if(["soft: sharpness < 700", "word: contains(text, 'light')"])
    before = pq.read_table(run.layout.verdicts("01_filtered")).to_pylist()
    rules |= {"soft": "sharpness < 700", "word": "contains(text, 'light')"}
    sluice.run(write_recipe(recipe, corpus, filter={"reject": rules, "duplicates": duplicates}), only="01_filtered")
    after = pq.read_table(run.layout.verdicts("01_filtered")).to_pylist()
    assert said.after == {name: [row["verdict"] for row in after].count(name) for name in said.after}
    kept = [{row["id"] for row in rows if row["verdict"] == "kept"} for rows in (before, after)]
    assert (said.gained, said.lost) == (len(kept[1] - kept[0]), len(kept[0] - kept[1]))
    assert said.rules_after["contaminated"]["samples"] > 0


def test_a_curve_says_what_a_run_without_the_rules_on_its_column_keeps(stored, corpus, inline):
    curve = sluice.run(write_recipe(stored / "recipe.yaml", corpus, unit=32), only="01_filtered").curve("sharpness")
    filters = {"reject": {name: RULES[name] for name in RULES if name != "soft"}, "duplicates": {"boilerplate": 2}}
    without = sluice.run(write_recipe(stored / "recipe.yaml", corpus, unit=32, filter=filters), only="01_filtered")
    rows = pq.read_table(without.layout.rows, columns=["id", "sharpness"]).to_pylist()
    values = {row["id"]: row["sharpness"] for row in reversed(rows)}  # of each sample's first row
    kept = [
        row["id"]
        for row in pq.read_table(without.layout.verdicts("01_filtered")).to_pylist()
        if row["verdict"] == "kept"
    ]
    measured = sorted((identity for identity in kept if values[identity] is not None), key=values.__getitem__)
    assert (curve.others_keep, curve.unmeasured) == (len(kept), len(kept) - len(measured))
    for threshold, at_least, at_most in zip(curve.thresholds, curve.yield_at_least, curve.yield_at_most, strict=True):
        assert round(at_least * curve.entered) == sum(values[identity] >= threshold for identity in measured)
        assert round(at_most * curve.entered) == sum(values[identity] <= threshold for identity in measured)
    assert curve.thresholds[0] == values[measured[0]]
    assert curve.thresholds[-1] == pytest.approx(np.quantile([values[identity] for identity in measured], 0.99))
    assert [decile.share for decile in curve.deciles] == [tenth / 10 for tenth in range(11)]
    for decile in curve.deciles:
        place = round(decile.share * (len(measured) - 1))
        start = min(max(0, place - 1), len(measured) - 3)
        assert decile.value == values[measured[place]]
        assert decile.ids == tuple(measured[start : start + 3])


def test_asking_needs_neither_the_models_of_recipes_nor_pandas_nor_functions_of_arrow(stored):
    heavy = ("pydantic", "pandas", "pyarrow.compute", "pyarrow.dataset")
    command = f"""
import sys
from sluice.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    sys.exit(", ".join(sorted(set(sys.modules) & set({heavy!r}))) or 0)
"""
    run = str(stored / "run")
    for asked in (["what-if", run, "--set", "soft: sharpness < 700"], ["curve", run, "--column", "sharpness"]):
        done = subprocess.run([sys.executable, "-c", command, *asked], capture_output=True, text=True, check=False)
        assert (done.stderr.strip(), done.returncode) == ("", 0)
        assert "sharpness" in done.stdout


@pytest.mark.parametrize("part", ["recipe", "filter", "reject", "null", "near"])
def test_a_damaged_lock_file_is_named(stored, tmp_path, part):
    shutil.copytree(stored / "run", tmp_path / "run")
    lock = yaml.safe_load((tmp_path / "run" / "recipe.lock.yaml").read_text())
    if part == "recipe":
        del lock["recipe"]
    elif part == "filter":
        del lock["recipe"]["filter"]
    elif part == "reject":
        lock["recipe"]["filter"]["reject"] = ["sharpness < 100"]
    elif part == "null":
        lock["recipe"]["filter"]["reject"]["tiny"]["null"] = "perhaps"
    else:
        lock["recipe"]["filter"]["duplicates"]["near"] = 8
    (tmp_path / "run" / "recipe.lock.yaml").write_text(yaml.safe_dump(lock))
    with pytest.raises(RunError, match=r"recipe\.lock\.yaml: damaged .* `sluice run` writes it anew"):
        sluice.Run.open(tmp_path / "run").what_if(["tiny: off"])
