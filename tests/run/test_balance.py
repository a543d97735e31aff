"""`balance` over a run: what is drawn, what is said of the rest, and that nothing but ids has a say in it."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sluice
from sluice.errors import RecipeError
from sluice.run.reporting import write_report
from sluice.run.takedown_command import Request, take_down
from sluice.run.verifying import verify_run
from support.corpus import build_corpus
from support.folders import differing, tree_digest
from support.recipes import recipe_values, write_recipe

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


REPEATS = {
    "tiers": {"top": 0.1, "best": 0.2, "repeats": 3, "order": "pixels desc, id"},
    "mixture": {"column": "format", "weights": {"jpeg": 1, "png": 1, "webp": 1}, "repeats": 3},
}


@pytest.fixture
def repeated(tmp_path, small, inline):
    return sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance=REPEATS))


def test_what_has_less_than_its_share_is_repeated_and_packed_once(repeated):
    layout, rows = repeated.layout, packed(repeated.layout.root)
    of, seen = formats(layout.root), dict.fromkeys(("jpeg", "png", "webp"), 0)
    for row in rows[: len(rows) // 2]:  # the other half is the other format's
        seen[of[row["id"]]] += row["repeats"]
    assert len(set(seen.values())) == 1
    assert {verdict for verdict, _ in verdicts(layout.root).values()} == {"kept"}
    facts = run_facts(repeated)
    assert facts["epoch"] == sum(seen.values()) > facts["drawn"] == facts["in"]
    tiers = facts["steps"][0]
    assert tiers["best"] / tiers["epoch"] == pytest.approx(0.2, abs=0.02)
    assert "an epoch takes each as often" in (layout.root / "04_final" / "DATASET_CARD.md").read_text()
    shard = next((layout.root / "04_final" / "parquet").rglob("*.parquet"))
    by_id = {row["id"]: row["repeats"] for row in rows}
    assert {
        row["id"]: row["repeats"] for row in pq.read_table(shard, columns=["id", "repeats"]).to_pylist()
    }.items() <= (by_id.items())
    assert verify_run(layout).fine


def test_the_report_shows_each_kind_before_and_after(repeated):
    page, facts = write_report(repeated).read_text(), run_facts(repeated)
    assert f"{facts['drawn']:,} were drawn. An epoch takes {facts['epoch']:,}" in page
    part = page[page.index(">Balance</h3>") :]
    assert "<caption>Sources</caption>" not in part, "of a single group there is nothing to see"
    for kind in facts["kinds"]:
        assert sum(seen for *_, seen in kind["groups"]) == facts["epoch"]
        if len(kind["groups"]) > 1:
            for name, before, drawn, seen in kind["groups"]:
                row = next(cells for cells in part.split("<tr>") if f"<bdi>{name}</bdi>" in cells)
                assert re.findall(r"class=\"figure\">([\d,]+)<", row) == [
                    f"{n:,}" for n in (before, drawn, round(seen))
                ]


def test_repeats_that_are_not_those_drawn_are_found_and_a_takedown_keeps_them(repeated, tmp_path):
    layout, before = repeated.layout, packed(repeated.layout.root)
    (tmp_path / "request.txt").write_text(before[0]["id"] + "\n")
    take_down(repeated, Request(ids=tmp_path / "request.txt"))
    times = {row["id"]: row["repeats"] for row in before}
    assert all(times[row["id"]] == row["repeats"] for row in packed(layout.root))
    assert verify_run(layout).fine
    table = pq.read_table(layout.manifest)
    changed = table.set_column(
        table.schema.get_field_index("repeats"), table.schema.field("repeats"), pa.array([2] * len(table), pa.int32())
    )
    pq.write_table(changed, layout.manifest)
    said = verify_run(layout).problems
    assert any("other repeats than was drawn" in one for one in said)
    assert any("repeats is" in one and "the manifest says 2" in one for one in said)


BRIGHT = "brightness > 133"


def test_what_if_draws_again_what_a_run_would(tmp_path, small, inline):
    recipe = write_recipe(tmp_path / "r.yaml", small, run="r", balance=REPEATS)
    run = sluice.run(recipe)
    same = run.what_if(["tiny: min_side < 64"]).balance
    assert same.after == same.before == run_facts(run)
    asked = run.what_if([f"bright: {BRIGHT}"])
    assert "balance, drawn again" in str(asked)
    filters = recipe_values(small)["filter"]
    filters["reject"]["bright"] = BRIGHT
    done = sluice.run(write_recipe(recipe, small, run="r", balance=REPEATS, filter=filters))
    assert json.loads(json.dumps(asked.balance.after)) == run_facts(done) != asked.balance.before
    nothing = done.what_if(["bright: format = 'png'"]).balance
    assert nothing.after is None
    assert "no sample is left whose format is 'png'" in nothing.why


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
    facts = run_facts(run)
    assert [step["step"] for step in facts["steps"]] == ["cap", "diversity"]
    (clusters,) = (kind["groups"] for kind in facts["kinds"] if kind["of"] == "clusters")
    assert sum(before for _, before, _, _ in clusters) == facts["in"]
    assert sum(drawn for _, _, drawn, _ in clusters) == facts["drawn"] == 10


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
        (
            {"mixture": {"column": "format", "temperature": 2, "by": "weight", "repeats": 2}},
            "`repeats` is for `by: draw`",
        ),
        ({"tiers": {"size": 9, "order": "id", "repeats": 2}}, "`repeats` needs `top`"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_runs(tmp_path, small, balance, said):
    with pytest.raises(RecipeError, match=said) as error:
        sluice.run(write_recipe(tmp_path / "r.yaml", small, run="r", balance=balance))
    assert "r.yaml:" in str(error.value)
    assert not (tmp_path / "r").exists()
