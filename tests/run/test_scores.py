"""Scores in a run: heads over the vectors and a classifier, columns like any other, unscored held, failed recorded."""

import json
import random
import shutil
import signal
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import sluice
from sluice.errors import SluiceError
from sluice.models.config import BuiltinConfig
from sluice.models.load import load_encoder
from sluice.run.gate.gating import gate
from sluice.run.recipe import load_recipe
from sluice.run.retrying import forget
from sluice.synth.generate import generate
from support.classifier import Service, right
from support.commands import events, wait_for
from support.folders import differing, tree_digest
from support.recipes import write_recipe

STAGE = "03_quality_checked"
ENCODER = load_encoder(BuiltinConfig(type="builtin"))


def write_head(path, encoder=None, seed=0):
    rng = np.random.default_rng(seed)
    manifest = {"format": "sluice-head/1", "name": path.stem, "revision": "1", "output": "sigmoid"}
    manifest["encoder"] = encoder or ENCODER.identity.hash
    weight = rng.standard_normal((ENCODER.dim, 1)).astype(np.float32) * 4
    np.savez(path, head=np.array(json.dumps(manifest)), weight_0=weight, bias_0=np.zeros(1, np.float32))
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """60 samples of the drawn world, and two heads for the encoder that knows it."""
    folder = generate(tmp_path_factory.mktemp("world") / "world", 60, 5).folder
    write_head(folder / "nsfw.npz")
    write_head(folder / "watermark.npz", seed=1)
    return folder


@pytest.fixture
def service():
    made = Service()
    yield made
    made.close()


def recipe_over(folder, world, scores=None, reject=None, **changes):
    heads = {name: {"type": "head", "path": str(world / f"{name}.npz")} for name in ("nsfw", "watermark")}
    quality = {"encoder": {"type": "builtin"}, "scores": heads if scores is None else scores}
    quality["reject"] = {"unsafe": "nsfw > 0.6"} if reject is None else reject
    source = {"type": "table", "path": str(world / "captions.jsonl"), "name": "world"}
    fields = {"sources": [source], "unit": 25, "quality": quality, **changes}
    return write_recipe(folder / "recipe.yaml", world, **fields)


def of_texts(service):
    return {"toxic": {"type": "http", "of": "text", "url": service.url, "model": "m", "labels": ["violence"]}}


def rows_of(run):
    return pq.read_table(run / STAGE / "rows.parquet").to_pylist()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, world, launcher):
    folder = tmp_path_factory.mktemp("scores")
    done = launcher.run("run", recipe_over(folder, world))
    assert done.code == 0, done.err
    return folder


def test_a_head_is_a_column_that_rules_read_and_every_command_knows(undisturbed):
    run = sluice.Run.open(undisturbed / "run")
    rows = rows_of(undisturbed / "run")
    verdicts = {row["id"]: row for row in pq.read_table(undisturbed / "run" / STAGE / "verdicts.parquet").to_pylist()}
    unsafe = {row["id"] for row in rows if row["nsfw"] > np.float32(0.6)}
    assert unsafe == {id for id, row in verdicts.items() if row["rules"] == ["unsafe"]} and 0 < len(unsafe) < len(rows)
    story = str(run.why(min(unsafe)))
    assert "unsafe" in story and "nsfw = 0." in story and "watermark = 0." in story
    assert run.what_if(["unsafe: nsfw > 2"]).after["rejected"] == 0
    assert run.curve("watermark").unmeasured == 0


def test_a_score_is_what_the_head_says_of_the_stored_vector_and_the_lock_names_it(undisturbed, world):
    from sluice.models.heads import Head

    head = Head(world / "nsfw.npz")
    vectors = pq.read_table(next((undisturbed / "run" / STAGE / "measures").glob("embedding@*"))).to_pylist()
    by_item = {(row["id"], row["item"]): row["vector"] for row in vectors}
    row = rows_of(undisturbed / "run")[7]
    said = head.score(np.array([by_item[row["id"], row["image_item"]]], np.float32))
    assert row["nsfw"] == pytest.approx(float(said[0]), abs=1e-6)
    lock = yaml.safe_load((undisturbed / "run" / "recipe.lock.yaml").read_text())
    assert lock["scores"]["nsfw"]["hash"] == head.identity.hash


def test_the_gate_tells_of_scores_and_of_who_gave_them(undisturbed):
    checks = {check.check: check for check in gate(sluice.Run.open(undisturbed / "run"), fast=True).checks}
    assert checks["nsfw"].heading == "compliance" and "highest 0.5" in checks["nsfw"].value
    assert checks["nsfw"].state == "go" and checks["nsfw"].details["unscored"] == 0
    assert "score nsfw" in checks["models"].details


def test_two_workers_give_the_same_bytes_and_so_does_a_run_killed_while_it_scores(
    tmp_path, world, undisturbed, launcher
):
    path = recipe_over(tmp_path, world, engine={"workers": 2})
    ignored = ("recipe.lock.yaml",)
    told = events(undisturbed / "run")
    scoring = next(i for i, event in enumerate(told) if event["event"] == "scoring")
    for number in range(2):
        command = launcher.start("run", path)
        wait_for(command, tmp_path / "run", scoring + number)
        time.sleep(random.Random(number).random() * 0.1)
        command.kill(signal.SIGKILL)
        command.wait()
    assert launcher.run("run", path).code == 0
    assert differing(tree_digest(undisturbed / "run", ignored), tree_digest(tmp_path / "run", ignored)) == []


def test_another_rule_scores_nothing_and_another_head_scores_only_itself(tmp_path, world, undisturbed, inline):
    shutil.copytree(undisturbed / "run", tmp_path / "run")

    def scored(**changes):
        inline.ran.clear()
        sluice.run(recipe_over(tmp_path, world, **changes))
        return sum(function.endswith(":score_unit") for function, _ in inline.ran)

    assert scored(reject={"unsafe": "nsfw > 0.7"}) == 0
    other = write_head(tmp_path / "nsfw.npz", seed=9)
    heads = {"nsfw": {"type": "head", "path": str(other)}}
    heads["watermark"] = {"type": "head", "path": str(world / "watermark.npz")}
    assert scored(scores=heads) == 3


def test_a_text_that_the_service_refuses_fails_alone_is_no_zero_and_can_be_tried_again(
    tmp_path, world, service, inline
):
    lines = (world / "captions.jsonl").read_text("utf-8").split("\n")
    bad = {"text": json.loads(lines[0])["captions"][0]}

    def refusing(body):
        refused = bad["text"] in body["input"]
        return (400, {"error": {"message": "no"}}) if refused else (200, right(body))

    service.script = [refusing] * 1000
    path = recipe_over(tmp_path, world, of_texts(service), {"toxic": "toxic_violence > 2"}, unit=60)
    run = sluice.run(path)
    failures = pq.read_table(run.layout.failures(STAGE)).to_pylist()
    assert [failure["class"] for failure in failures] == ["api"]
    assert run.why(failures[0]["id"]).verdict == "failed"
    row = next(row for row in rows_of(tmp_path / "run") if row["text"] == bad["text"])
    assert row["toxic_violence"] is None and "HTTP 400: no" in row["text_error"]
    texts = {(row["id"], row["text_item"]) for row in rows_of(tmp_path / "run")}
    answered = sum(len(request["input"]) for request in service.requests if bad["text"] not in request["input"])
    assert answered == len(texts) - 1, "what was answered is not asked again"
    bad["text"] = "none"
    assert forget(run, "api").anything
    run = sluice.run(path)
    assert run.why(failures[0]["id"]).verdict == "kept"


def test_a_sample_without_what_a_rule_requires_a_score_of_is_held(tmp_path, world, service, inline):
    lines = [json.loads(line) for line in (world / "captions.jsonl").read_text("utf-8").split("\n") if line]
    for line in lines[:20]:
        line["captions"] = []
    source = tmp_path / "some.jsonl"
    source.write_text("".join(json.dumps({**line, "path": str(world / line["path"])}) + "\n" for line in lines))
    table = {"type": "table", "path": str(source), "name": "world"}
    changes = {"sources": [table], "unit": 60, "filter": {"reject": {"tiny": "min_side < 64"}}}
    path = recipe_over(tmp_path, world, of_texts(service), {"toxic": "toxic_violence > 2"}, **changes)
    run = sluice.run(path)
    unscored = {row["id"] for row in rows_of(tmp_path / "run") if row["toxic_violence"] is None}
    verdicts = pq.read_table(run.layout.verdicts(STAGE)).to_pylist()
    assert unscored == {row["id"] for row in verdicts if row["verdict"] == "held"} != set()


def test_what_is_packed_and_unscored_is_said_by_the_gate(tmp_path, undisturbed):
    shutil.copytree(undisturbed / "run", tmp_path / "run")
    run = sluice.Run.open(tmp_path / "run")
    packed = run.samples("kept").column("id")[0].as_py()
    path = run.layout.rows_of(STAGE)
    table = pq.read_table(path)
    lost = pa.compute.equal(table.column("id"), packed)
    blank = pa.compute.if_else(lost, pa.scalar(None, pa.float32()), table.column("nsfw"))
    pq.write_table(table.set_column(table.schema.get_field_index("nsfw"), table.schema.field("nsfw"), blank), path)
    check = {check.check: check for check in gate(run, fast=True).checks}["nsfw"]
    assert check.state == "unknown" and "1 sample unscored" in check.value and not check.stops


def test_images_are_sent_as_they_are_stored(tmp_path, world, service, inline):
    scores = {"guard": {"type": "http", "of": "image", "url": service.url, "model": "m", "labels": ["sexual/minors"]}}
    service.script = [lambda body: (200, {"results": [{"category_scores": {"sexual/minors": 0.25}}]})] * 1000
    sluice.run(recipe_over(tmp_path, world, scores, {"guarded": "guard_sexual_minors > 0.5"}))
    assert {row["guard_sexual_minors"] for row in rows_of(tmp_path / "run")} == {0.25}
    assert all(request["input"][0]["type"] == "image_url" for request in service.requests)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({"x": {"type": "head", "path": "nowhere.npz"}}, r"recipe.yaml:\d+: quality.scores.x: .*nowhere.npz"),
        ({"sharpness": {"type": "head", "path": "nsfw.npz"}}, "a measure writes the column 'sharpness' already"),
        ({"n s": {"type": "head", "path": "nsfw.npz"}}, "letters, digits and _"),
        ({"x": {"type": "head", "path": "nsfw.npz", "hash": "0" * 32}}, "was asked for"),
        ({"x": {"type": "head", "path": "other.npz"}}, "reads vectors of the encoder"),
    ],
)
def test_a_wrong_score_is_said(tmp_path, world, inline, scores, says):
    write_head(tmp_path / "nsfw.npz")
    write_head(tmp_path / "other.npz", encoder="ab" * 16)
    with pytest.raises(SluiceError, match=says):
        sluice.run(load_recipe(recipe_over(tmp_path, world, scores, {})).path)
