"""What-if against a real run with those rules: the same counts, the same samples."""

import random

import pyarrow.parquet as pq
import pytest

import sluice
from sluice.run.judging import rules_of
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
