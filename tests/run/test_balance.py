"""`balance` over a run: what is drawn, what is said of the rest, and that nothing but ids has a say in it."""

import json

import pyarrow.parquet as pq
import pytest

import sluice
from sluice.errors import RecipeError
from sluice.run.takedown_command import Request, take_down
from sluice.run.verifying import verify_run
from support.corpus import build_corpus
from support.folders import differing, tree_digest
from support.recipes import write_recipe

BALANCE = {
    "caps": [{"column": "format", "cap": 9}],
    "tiers": {"size": 20, "best": 0.5, "order": "pixels desc, id"},
    "mixture": {"column": "format", "weights": {"jpeg": 2, "png": 1, "webp": 1}},
}
IGNORED = ("recipe.lock.yaml",)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return build_corpus(tmp_path_factory.mktemp("balance") / "images", 48, seed=3)


def verdicts(root):
    rows = pq.read_table(root / "04_final" / "verdicts.parquet").to_pylist()
    return {
        row["id"]: (row["verdict"], [(one["rule"], json.loads(one["values"])) for one in row["reasons"]])
        for row in rows
    }


def packed(root):
    return pq.read_table(root / "04_final" / "manifest.parquet").to_pylist()


def formats(root):
    rows = pq.read_table(root / "01_filtered" / "rows.parquet", columns=["id", "format"]).to_pylist()
    return {row["id"]: row["format"] for row in rows}


def test_what_is_not_drawn_is_rejected_with_its_reason(tmp_path, small, inline):
    run = sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance=BALANCE))
    root = run.layout.root
    said = verdicts(root)
    kept = {one for one, (verdict, _) in said.items() if verdict == "kept"}
    of = formats(root)
    count = {name: sum(of[one] == name for one in kept) for name in ("jpeg", "png", "webp")}
    assert count["jpeg"] // 2 == count["png"] == count["webp"] > 0
    assert {row["id"] for row in packed(root)} == kept
    rules = {rule for verdict, reasons in said.values() if verdict == "rejected" for rule, _ in reasons}
    assert rules == {"over_cap", "tiers", "mixture"}
    record = json.loads((root / "04_final" / "stage.json").read_text())
    assert record["in"] == len(said) == record["kept"] + record["rejected"]
    assert record["balance"]["in"] == record["in"]
    assert record["balance"]["drawn"] == record["kept"] == len(kept)
    lost = next(one for one, (_, reasons) in said.items() if reasons and reasons[0][0] == "over_cap")
    assert said[lost][1][0][1]["cap"] == 9
    assert "over_cap: rejected: of = format" in str(run.why(lost))
    report = verify_run(run.layout)
    assert not report.problems, report.problems


def test_the_bytes_are_those_of_any_number_of_workers_and_units_have_no_say(tmp_path, small, launcher, inline):
    one = sluice.run(write_recipe(tmp_path / "one.yaml", small, run="one", balance=BALANCE)).layout.root
    recipe = write_recipe(tmp_path / "two.yaml", small, run="two", balance=BALANCE, engine={"workers": 2})
    done = launcher.run("run", recipe)
    assert done.code == 0, done.err
    assert differing(tree_digest(one, IGNORED), tree_digest(tmp_path / "two", IGNORED)) == []
    three = sluice.run(write_recipe(tmp_path / "three.yaml", small, run="three", balance=BALANCE, unit=31)).layout.root
    assert packed(three) == packed(one)


def test_a_changed_balance_packs_anew_and_one_taken_away_packs_all(tmp_path, small, inline):
    one = sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance=BALANCE)).layout.root
    fewer = len(packed(one))
    all_of_them = sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r")).layout.root
    never = sluice.run(write_recipe(tmp_path / "n.yaml", small, run="n")).layout.root
    assert len(packed(all_of_them)) > fewer
    assert differing(tree_digest(never, IGNORED), tree_digest(all_of_them, IGNORED)) == []


def test_weights_stand_in_the_manifest_and_nothing_is_left_out(tmp_path, small, inline):
    mixture = {"column": "format", "temperature": 1e6, "by": "weight"}
    root = sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance={"mixture": mixture})).layout.root
    assert {verdict for verdict, _ in verdicts(root).values()} == {"kept"}
    of, total = formats(root), dict.fromkeys(("jpeg", "png", "webp"), 0.0)
    for row in packed(root):
        total[of[row["id"]]] += row["weight"]
    assert "## Balance" in (root / "04_final" / "DATASET_CARD.md").read_text()
    assert max(total.values()) == pytest.approx(min(total.values()), rel=1e-4)


def test_a_takedown_changes_only_the_shards_that_held_it(tmp_path, small, inline):
    run = sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance=BALANCE))
    before = packed(run.layout.root)
    gone = before[0]["id"]
    (tmp_path / "request.txt").write_text(gone + "\n")
    done = take_down(run, Request(ids=tmp_path / "request.txt"))
    assert done.shards_rewritten == 2
    assert {row["id"] for row in packed(run.layout.root)} == {row["id"] for row in before} - {gone}
    assert verdicts(run.layout.root)[gone][1][0][0] == "takedown"
    assert verify_run(run.layout).fine


def test_clusters_and_diversity_read_the_vectors_of_the_encoder(tmp_path, small, inline):
    balance = {"clusters": {"k": 4, "cap": 6}, "diversity": {"size": 10}}
    quality = {"encoder": {"type": "builtin"}}
    recipe = write_recipe(tmp_path / "r.yaml", small, run="r", quality=quality, balance=balance)
    run = sluice.run(recipe)
    said = verdicts(run.layout.root)
    assert sum(verdict == "kept" for verdict, _ in said.values()) == 10
    clusters, diversity = run_facts(run)["steps"]
    assert all(after <= 6 for _, after in clusters["groups"].values())
    assert diversity["drawn"] == 10


def run_facts(run):
    return json.loads((run.layout.root / "04_final" / "stage.json").read_text())["balance"]


def test_concepts_that_are_everywhere_are_drawn_less_often(tmp_path, small, inline):
    pytest.importorskip("ahocorasick", reason="the extra `concepts` is not installed")
    (tmp_path / "entries.txt").write_text("Thing Number\nunicorn\n")
    balance = {"concepts": {"entries": "entries.txt", "cap": 8}}
    run = sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance=balance))
    rules = [reasons[0] for verdict, reasons in verdicts(run.layout.root).values() if verdict == "rejected"]
    over = [values for rule, values in rules if rule == "over_concept_cap"]
    assert over and all(values["group"] == "thing number" and values["cap"] == 8 for values in over)
    assert any(rule == "no_concept" for rule, _ in rules)


@pytest.mark.parametrize(
    ("balance", "said"),
    [
        ({"caps": [{"column": "colour", "cap": 3}]}, "no column 'colour'"),
        ({"clusters": {"cap": 3}}, "needs vectors"),
        ({"concepts": {"entries": "nowhere.txt"}}, "cannot be read"),
        ({"tiers": {"size": 3, "order": "beauty desc"}}, "beauty"),
        ({"mixture": {"column": "format"}}, "either `weights` or `temperature`"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(tmp_path, small, balance, said):
    with pytest.raises(RecipeError, match=said) as error:
        sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance=balance))
    assert "r.yaml:" in str(error.value)
    assert not (tmp_path / "r").exists()
