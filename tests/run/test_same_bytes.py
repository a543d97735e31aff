"""Same input, same recipe, same seed: same output, whatever the order, the workers, the units or the place."""

import shutil

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import sluice
from sluice.pack.base import FORMATS
from support.corpus import build_corpus
from support.folders import differing, tree_digest
from support.recipes import write_recipe

# The lock says how it was run; stages are laid out by units.
OF_UNITS = ("recipe.lock.yaml", "DATASET_CARD.md", "00_raw", "01_filtered", "verdicts.parquet", "stage.json")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return build_corpus(tmp_path_factory.mktemp("same") / "images", 48, seed=3)


@pytest.fixture
def reference(tmp_path, small, inline):
    """A run in order, in units of 12."""
    return sluice.run(write_recipe(tmp_path / "reference.yaml", small, run="reference")).layout.root


def verdicts(run):
    """Everything decided on each sample, but for its unit."""
    table = pq.read_table(run / "01_filtered" / "verdicts.parquet").drop_columns(["unit"])
    return {row["id"]: row for row in table.to_pylist()}


# A run each: few, and one that fails is not made smaller
FEW = settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def splits(run):
    """The split of each packed sample."""
    rows = pq.read_table(run / "04_final" / "manifest.parquet", columns=["id", "split"]).to_pylist()
    return {row["id"]: row["split"] for row in rows}


@FEW
@given(order=st.integers(0, 10_000))
def test_units_that_end_in_any_order_give_the_same_bytes(tmp_path, small, inline, reference, order):
    shutil.rmtree(tmp_path / "shuffled", ignore_errors=True)
    inline.shuffle = order
    run = sluice.run(write_recipe(tmp_path / "shuffled.yaml", small, run="shuffled"))
    ignored = ("recipe.lock.yaml",)  # it names its run folder
    assert differing(tree_digest(reference, ignored), tree_digest(run.layout.root, ignored)) == []


def test_tasks_that_were_done_but_are_tried_again_give_the_same_bytes(tmp_path, small, inline):
    packs = [{"format": format, "shard_samples": 8} for format in FORMATS]
    once = sluice.run(write_recipe(tmp_path / "once.yaml", small, run="once", pack=packs))
    inline.twice = True
    twice = sluice.run(write_recipe(tmp_path / "twice.yaml", small, run="twice", pack=packs))
    ignored = ("recipe.lock.yaml",)
    assert differing(tree_digest(once.layout.root, ignored), tree_digest(twice.layout.root, ignored)) == []


@FEW
@given(unit=st.integers(7, 60))
def test_units_of_any_size_give_the_same_verdicts_and_the_same_shards(tmp_path, small, inline, reference, unit):
    shutil.rmtree(tmp_path / "sized", ignore_errors=True)
    run = sluice.run(write_recipe(tmp_path / "sized.yaml", small, run="sized", unit=unit)).layout.root
    assert verdicts(run) == verdicts(reference)
    assert differing(tree_digest(reference, OF_UNITS), tree_digest(run, OF_UNITS)) == []


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_bytes(tmp_path, small, launcher, reference, workers):
    recipe = write_recipe(tmp_path / "workers.yaml", small, run="workers", engine={"workers": workers})
    done = launcher.run("run", recipe)
    assert done.code == 0, done.err
    ignored = ("recipe.lock.yaml",)
    assert differing(tree_digest(reference, ignored), tree_digest(tmp_path / "workers", ignored)) == []


def test_the_run_folder_may_lie_anywhere(tmp_path, small, inline, reference):
    run = sluice.run(write_recipe(tmp_path / "deep" / "er" / "recipe.yaml", small, run="../../else/where"))
    ignored = ("recipe.lock.yaml",)
    assert differing(tree_digest(reference, ignored), tree_digest(tmp_path / "else" / "where", ignored)) == []
    assert run.finished


def test_another_seed_moves_samples_between_splits_and_nothing_else(tmp_path, small, inline, reference):
    run = sluice.run(write_recipe(tmp_path / "seed.yaml", small, run="seed", seed=5)).layout.root
    assert verdicts(run) == verdicts(reference)
    one, other = splits(reference), splits(run)
    assert one.keys() == other.keys()
    assert one != other


def test_running_again_changes_no_byte_and_measures_nothing(tmp_path, small, inline, reference):
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*") if path.is_file()}
    inline.ran.clear()
    sluice.run(tmp_path / "reference.yaml")
    assert inline.ran == []
    after = {path: path.stat().st_mtime_ns for path in reference.rglob("*") if path.is_file()}
    changed = {path.name for path in before if after.get(path) != before[path]}
    assert changed <= {"events.jsonl", "lock"}
