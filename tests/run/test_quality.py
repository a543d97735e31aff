"""03_quality_checked: vectors measured once, the cosine of each pair, rules over it, through to the shards."""

import json
import random
import shutil
import signal
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sluice
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.models.config import BuiltinConfig
from sluice.models.load import load_encoder
from sluice.synth.generate import generate
from support.commands import events, last_events, wait_for
from support.folders import differing, tree_digest
from support.recipes import RULES, write_recipe

THRESHOLD = 0.515
QUALITY = {"encoder": {"type": "builtin"}, "reject": {"misaligned": f"alignment < {THRESHOLD}"}}
STAGE = "03_quality_checked"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """120 samples of the drawn world, with its truth."""
    return generate(tmp_path_factory.mktemp("world") / "world", 120, 11).folder


def recipe_over(folder, world, name="recipe.yaml", **changes):
    source = {"type": "table", "path": str(world / "captions.jsonl"), "name": "world"}
    fields = {"sources": [source], "unit": 50, "quality": QUALITY, **changes}
    return write_recipe(folder / name, world, **fields)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, world, launcher):
    """A whole run in one process: its recipe and its folder."""
    folder = tmp_path_factory.mktemp("quality")
    path = recipe_over(folder, world)
    done = launcher.alone("run", path)
    assert done.code == 0, done.err
    assert "it knows the drawn scenes of sluice.synth, and nothing else" in done.err
    return path, folder / "run"


def rows_of(run, stage=STAGE):
    return pq.read_table(run / stage / "rows.parquet")


def test_the_alignment_of_a_row_is_the_cosine_that_the_encoder_gives_its_image_and_text(undisturbed, world):
    rows = rows_of(undisturbed[1])
    encoder = load_encoder(BuiltinConfig(type="builtin"))
    for row in random.Random(0).sample(rows.to_pylist(), 12):
        data = (world / row["key"]).read_bytes()
        pixels = decode(data, read_header(data, Limits()), None, "rgb", Limits())
        direct = float((encoder.encode_images([pixels]) @ encoder.encode_texts([row["text"]]).T)[0, 0])
        assert row["alignment"] == pytest.approx(direct, abs=0.02)  # from a smaller decoding, and in 16 bits


def test_verdicts_follow_from_the_rows_and_a_caption_is_an_alternative(undisturbed):
    run = undisturbed[1]
    rows = rows_of(run).to_pylist()
    best = {}
    for row in rows:
        best[row["id"]] = max(best.get(row["id"], -1), row["alignment"])
    verdicts = pq.read_table(run / STAGE / "verdicts.parquet").to_pylist()
    assert {v["id"]: v["verdict"] for v in verdicts} == {
        sample: "rejected" if cosine < np.float32(THRESHOLD) else "kept" for sample, cosine in best.items()
    }
    poor = {(r["id"], r["text_item"]) for r in rows if r["alignment"] < np.float32(THRESHOLD)}
    left_out = {(v["id"], item) for v in verdicts if v["verdict"] == "kept" for item in v["captions_left_out"]}
    assert {(sample, item) for sample, item in poor if best[sample] >= np.float32(THRESHOLD)} <= left_out
    rejected = [v for v in verdicts if v["verdict"] == "rejected"]
    assert rejected
    reason = json.loads(rejected[0]["reasons"][0]["values"])
    assert reason["alignment"] < THRESHOLD


def test_mismatched_captions_of_the_world_are_caught_and_good_pairs_are_kept(undisturbed, world):
    truth = {row["key"]: row["defect"] for row in pq.read_table(world / "truth.parquet").to_pylist()}
    verdicts = sluice.Run.open(undisturbed[1]).samples().to_pylist()
    judged = [v for v in verdicts if v["stage"] in (STAGE, "04_final")]
    mismatched = [v for v in judged if truth[v["key"]] == "mismatched_caption"]
    good = [v for v in judged if truth[v["key"]] is None]
    assert mismatched and all(v["verdict"] == "rejected" for v in mismatched)
    assert sum(v["verdict"] != "kept" for v in good) <= len(good) * 0.02


def test_only_what_the_stage_kept_is_packed_and_captions_that_do_not_fit_stay_out(undisturbed, launcher):
    run = undisturbed[1]
    kept = {v["id"] for v in pq.read_table(run / STAGE / "verdicts.parquet").to_pylist() if v["verdict"] == "kept"}
    manifest = pq.read_table(run / "04_final" / "manifest.parquet").to_pylist()
    assert {row["id"] for row in manifest} == kept
    assert sluice.Run.open(undisturbed[1]).finished
    assert launcher.alone("verify", run).code == 0


def test_vectors_are_stored_as_any_parquet_reader_reads_them_and_only_of_what_was_kept(undisturbed):
    run = undisturbed[1]
    kept = {
        v["id"] for v in pq.read_table(run / "01_filtered" / "verdicts.parquet").to_pylist() if v["verdict"] == "kept"
    }
    files = sorted((run / STAGE / "measures").glob("embedding@*/unit-*.parquet"))
    assert len(files) == 3
    table = pa.concat_tables([pq.read_table(file).replace_schema_metadata(None) for file in files])
    assert set(table.column("id").to_pylist()) == kept
    assert table.schema.field("vector").type == pa.list_(pa.field("element", pa.float16(), nullable=False), 256)
    lengths = [np.linalg.norm(np.array(vector, np.float32)) for vector in table.column("vector").to_pylist()]
    assert np.allclose(lengths, 1, atol=1e-3)


def test_another_threshold_embeds_nothing_and_other_rules_embed_only_what_is_new(tmp_path, world, launcher):
    strict = {"reject": {**RULES, "small": "min_side < 200"}}
    run = tmp_path / "run"
    assert launcher.alone("run", recipe_over(tmp_path, world, filter=strict)).code == 0
    before = {row["id"] for row in rows_of(run).to_pylist()}
    again = launcher.alone(
        "run", recipe_over(tmp_path, world, filter=strict, quality={**QUALITY, "reject": {"off": "alignment < 0.7"}})
    )
    assert again.code == 0 and not [e for e in last_events(run) if e["event"] == "embedding"]
    assert launcher.alone("run", recipe_over(tmp_path, world)).code == 0
    more = {row["id"] for row in rows_of(run).to_pylist()}
    embedded = sum(e["samples"] for e in last_events(run) if e["event"] == "unit_measured")
    assert before < more and embedded == len(more - before)


def test_other_workers_give_the_same_bytes(tmp_path, world, undisturbed, launcher):
    path = recipe_over(tmp_path, world, engine={"workers": 2})
    assert launcher.run("run", path).code == 0
    ignored = ("recipe.lock.yaml",)
    assert differing(tree_digest(undisturbed[1], ignored), tree_digest(tmp_path / "run", ignored)) == []


@pytest.mark.slow
def test_a_run_killed_while_it_embeds_or_decides_gives_the_same_bytes(tmp_path, world, undisturbed, launcher):
    path = recipe_over(tmp_path, world)
    ignored = ("recipe.lock.yaml",)
    digest = tree_digest(undisturbed[1], ignored)
    told = events(undisturbed[1])
    started = next(i for i, e in enumerate(told) if e["event"] == "stage_started" and e["stage"] == STAGE)
    for number in range(5):
        rng = random.Random(number)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        command = launcher.start("run", path, inline=number % 2 == 1)
        wait_for(command, tmp_path / "run", started + 1 + number % 6)
        time.sleep(rng.random() * 0.3)
        command.kill(signal.SIGKILL)
        command.wait()
        again = launcher.alone("run", path)
        assert again.code == 0, again.err
        assert differing(digest, tree_digest(tmp_path / "run", ignored)) == [], f"kill {number}"


def test_a_language_that_the_encoder_does_not_state_is_held_and_says_so(tmp_path, world, launcher):
    lines = [json.loads(line) for line in (world / "captions.jsonl").read_text().splitlines()]
    for line in lines:
        line["language"] = "pl"
    (world / "polish.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = {"type": "table", "path": str(world / "polish.jsonl"), "name": "world"}
    done = launcher.alone("run", recipe_over(tmp_path, world, sources=[source], filter={"reject": dict(RULES)}))
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "run" / STAGE / "stage.json").read_text())
    assert record["held"] == record["in"] > 0
    assert set(rows_of(tmp_path / "run").column("unaligned").to_pylist()) == {
        "the encoder does not know the language 'pl'"
    }


def test_why_what_if_and_curve_know_the_stage(undisturbed):
    run = sluice.Run.open(undisturbed[1])
    rejected = next(v["id"] for v in run.samples("rejected").to_pylist() if v["stage"] == STAGE)
    story = str(run.why(rejected))
    assert f"{STAGE}: rejected because of misaligned" in story and "misaligned  SPEAKS" in story
    result = run.what_if(["misaligned: off"])
    assert result.stage == STAGE and result.after["rejected"] == 0
    assert result.gained == result.before["rejected"] > 0
    assert run.curve("alignment").column == "alignment"
    with pytest.raises(sluice.RecipeError, match="one stage at a time"):
        run.what_if(["misaligned: off", "tiny: off"])


def test_a_takedown_erases_vectors_too(tmp_path, undisturbed, launcher):
    shutil.copytree(undisturbed[1], tmp_path / "run")
    run = sluice.Run.open(tmp_path / "run")
    gone = run.samples("kept").column("id")[0].as_py()
    (tmp_path / "ids.txt").write_text(gone + "\n")
    done = launcher.alone("takedown", tmp_path / "run", "--ids", tmp_path / "ids.txt")
    assert done.code == 0, done.err
    tables = [pq.read_table(f) for f in (tmp_path / "run" / STAGE / "measures").glob("*/unit-*.parquet")]
    vectors = [row["vector"] for table in tables for row in table.to_pylist() if row["id"] == gone]
    assert vectors and not any(vectors)
    assert set(rows_of(tmp_path / "run").filter(pa.compute.field("id") == gone).column("text").to_pylist()) == {None}
    assert launcher.alone("verify", tmp_path / "run").code == 0


def test_a_recipe_without_the_stage_says_so_and_one_that_loses_it_packs_what_the_filter_kept(tmp_path, world, launcher):
    path = recipe_over(tmp_path, world)
    assert launcher.alone("run", path).code == 0
    path = recipe_over(tmp_path, world, quality=None)
    assert "has no `quality`" in launcher.alone("run", path, "--only", STAGE).err
    assert launcher.alone("run", path).code == 0
    verdicts = pq.read_table(tmp_path / "run" / "01_filtered" / "verdicts.parquet").column("verdict").to_pylist()
    manifest = pq.read_table(tmp_path / "run" / "04_final" / "manifest.parquet")
    assert len(set(manifest.column("id").to_pylist())) == verdicts.count("kept")


def test_a_wrong_rule_or_encoder_is_said_before_anything_runs(tmp_path, world, launcher):
    typo = recipe_over(tmp_path, world, quality={**QUALITY, "reject": {"misaligned": "alignmnt < 0.3"}})
    done = launcher.alone("run", typo)
    assert done.code == 2 and "did you mean" in done.err and "quality.reject.misaligned" in done.err
    absent = recipe_over(tmp_path, world, quality={"encoder": {"type": "onnx", "path": "nowhere"}})
    done = launcher.alone("run", absent)
    assert done.code == 2 and "nowhere" in done.err
