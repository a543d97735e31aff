"""A crash between every two steps on the disk: whatever was done before it is either whole or not there."""

import shutil

import pytest

from support.corpus import build_corpus
from support.folders import differing, tree_digest
from support.recipes import write_recipe

MEASURES = ["image.header", "image.quality", "image.phash", "text.basic"]
BALANCE = {"mixture": {"column": "format", "temperature": 9, "repeats": 3}}


@pytest.mark.slow
def test_a_crash_before_any_step_of_a_run_is_mended_by_running_again(tmp_path, launcher):
    source = build_corpus(tmp_path / "images", 24)
    recipe = write_recipe(tmp_path / "recipe.yaml", source, measures=MEASURES, balance=BALANCE)
    run, count = tmp_path / "run", tmp_path / "count"
    assert launcher.run("run", recipe, inline=True, crash_at=0, count=str(count)).code == 0
    undisturbed, steps = tree_digest(run), int(count.read_text())
    assert steps > 30
    for step in range(1, steps + 1):
        shutil.rmtree(run)
        assert launcher.run("run", recipe, inline=True, crash_at=step).code == -9, f"no step {step}"
        again = launcher.run("run", recipe, inline=True)
        assert again.code == 0, again.err
        assert differing(undisturbed, tree_digest(run)) == [], f"crashed before step {step} of {steps}"
        assert not list(run.rglob("*.partial"))


def test_crashing_again_at_every_further_step_still_ends_in_the_same_bytes(tmp_path, launcher):
    source = build_corpus(tmp_path / "images", 24)
    recipe = write_recipe(tmp_path / "recipe.yaml", source, unit=12, balance=BALANCE)
    run = tmp_path / "run"
    assert launcher.run("run", recipe, inline=True).code == 0
    undisturbed = tree_digest(run)
    shutil.rmtree(run)
    crashes = 0
    while (ended := launcher.run("run", recipe, inline=True, crash_at=16)).code == -9:
        crashes += 1
        assert crashes < 100, "no progress: what one run commits the next does again"
    assert ended.code == 0, ended.err
    assert crashes > 2
    assert differing(undisturbed, tree_digest(run)) == []
