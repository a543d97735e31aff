"""02_captioned: what is kept, captioned or sent out; new captions beside the old; the best that fits wins."""

import json
import random
import shutil
import signal
import time

import pyarrow.parquet as pq
import pytest

import sluice
from sluice.synth.generate import generate
from support.commands import events, last_events, wait_for
from support.folders import differing, tree_digest
from support.recipes import RULES, write_recipe

STAGE, CHECKED = "02_captioned", "03_quality_checked"
PLUGIN = """
import json
from pathlib import Path
from sluice.caption.plugin import captioner
from sluice.errors import SampleFailure

TRUE = json.loads(Path({truth!r}).read_text())

@captioner("test.true", version=1)
def true(requests):
    for request in requests:
        assert request.pixels().shape[2] == 3 and request.image
    found = [TRUE[request.fields["key"]] for request in requests]
    return [SampleFailure("api", "it will not") if text is None else text for text in found]

@captioner("test.poor", version=1)
def poor(requests):
    texts = [text for text in TRUE.values() if text]
    return [texts[(len(r.fields["key"]) + sum(map(ord, r.fields["key"]))) % len(texts)] for r in requests]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A drawn world whose captions are spoiled: of another picture, missing, too short, or left as they are."""
    home = tmp_path_factory.mktemp("captioned")
    folder = generate(home / "drawn", 150, 21).folder
    truth = {row["key"]: row for row in pq.read_table(folder / "truth.parquet").to_pylist()}
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text().split("\n") if line]
    lines = [line for line in lines if truth[line["path"]]["defect"] is None][:48]
    true = {line["path"]: line["captions"][0] for line in lines}
    fates = {}
    for number, line in enumerate(lines):
        fate = ("mismatched", "missing", "short", "fine")[number % 4]
        fates[line["path"]] = fate
        if fate != "fine":
            others = {"mismatched": [true[lines[(number + 7) % 48]["path"]]], "missing": [], "short": ["ab"]}
            line["captions"] = others[fate]
    refused = [key for key, fate in fates.items() if fate == "missing"][:2]
    spoiled = home / "world"
    for line in lines:
        (spoiled / line["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / line["path"], spoiled / line["path"])
    (spoiled / "spoiled.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (spoiled / "true.json").write_text(json.dumps({**true, **dict.fromkeys(refused)}))
    return spoiled, true, fates, set(refused)


def recipe_over(folder, world, **changes):
    (folder / "plugin.py").write_text(PLUGIN.format(truth=str(world / "true.json")))
    source = {"type": "table", "path": str(world / "spoiled.jsonl"), "name": "world"}
    fields = {
        "sources": [source],
        "unit": 20,
        "plugins": ["plugin.py"],
        "filter": {
            "reject": {"tiny": RULES["tiny"]},
            "hold": {"short": "characters < 5"},
            "duplicates": {"near": None},
        },
        "captions": {
            "captioners": [{"type": "plugin", "name": "true", "function": "test.true"}],
            "recaption": {"weak": "alignment < 0.515"},
        },
        "quality": {"encoder": {"type": "builtin"}, "reject": {"misaligned": "alignment < 0.515"}, "alternatives": 0},
        **changes,
    }
    return write_recipe(folder / "recipe.yaml", world, **fields)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, world, launcher):
    folder = tmp_path_factory.mktemp("run")
    path = recipe_over(folder, world[0])
    done = launcher.alone("run", path)
    assert done.code == 0, done.err
    return path, folder / "run"


def keys(run):
    samples = sluice.Run.open(run).samples().to_pylist()
    return {row["id"]: row["key"] for row in samples}


def record(run, stage=STAGE):
    return json.loads((run / stage / "stage.json").read_text())


def test_what_lacks_a_fitting_caption_is_captioned_and_what_fits_is_left_alone(undisturbed, world):
    run, fates = undisturbed[1], world[2]
    named = keys(run)
    routes = {named[row["id"]]: row["captioned"] for row in pq.read_table(run / STAGE / "routes.parquet").to_pylist()}
    assert routes == {key: fate != "fine" for key, fate in fates.items()}
    facts = record(run)
    short = sum(fate == "short" for fate in fates.values())
    assert facts["taken_up"] == short + sum(fate == "missing" for fate in fates.values())  # NULL is held, too
    assert facts["captioned"] == facts["captions"] + len(world[3])


def test_the_caption_that_fits_wins_and_is_the_one_that_is_packed(undisturbed, world):
    run, (_, true, fates, refused) = undisturbed[1], world
    named = keys(run)
    packed = {}
    for shard in sorted((run / "04_final" / "parquet").glob("*/*.parquet")):
        for row in pq.read_table(shard).to_pylist():
            packed[named[row["id"]]] = row
    assert set(packed) == set(fates) - refused
    captions = {key: row["captions"] if "captions" in row else [row["caption"]] for key, row in packed.items()}
    said = {key: [one["text"] if isinstance(one, dict) else one for one in found] for key, found in captions.items()}
    wrong = [key for key in said if said[key] != [true[key]]]
    assert len(wrong) <= 2, wrong  # a spoiled caption may fit by chance


def test_what_could_not_be_captioned_and_has_no_caption_fails_with_its_class(undisturbed, world):
    run, refused = undisturbed[1], world[3]
    samples = {row["key"]: row for row in sluice.Run.open(run).samples().to_pylist()}
    for key in refused:
        assert (samples[key]["stage"], samples[key]["verdict"], samples[key]["rules"]) == (STAGE, "failed", ["api"])
    failures = pq.read_table(run / STAGE / "failures.parquet").to_pylist()
    assert {(row["class"], row["captioner"]) for row in failures} == {("api", "true")}
    assert len(failures) == len(refused)
    assert "it will not" in str(sluice.Run.open(run).why(sorted(refused)[0]))


def test_what_failed_is_tried_again_by_class_and_only_that(tmp_path, world, launcher):
    run = tmp_path / "run"
    spoiled = shutil.copytree(world[0], tmp_path / "world")
    path = recipe_over(tmp_path, spoiled)
    assert launcher.alone("run", path).code == 0
    assert record(run)["failed"] == len(world[3])
    nothing = launcher.alone("retry", run, "--class", "io")
    assert nothing.code == 0 and "no failure of the class 'io'" in nothing.out
    assert launcher.alone("retry", run, "--class", "apis").code == 2
    (spoiled / "true.json").write_text(json.dumps(world[1]))  # the service has come to its senses
    again = launcher.alone("retry", run, "--class", "api")
    assert again.code == 0, again.err
    assert f"{STAGE}: 2 failures of the class 'api' to be tried again" in again.out
    assert record(run)["failed"] == 0
    assert launcher.alone("verify", run).code == 0


def test_every_caption_says_who_made_it_and_is_measured_as_any_text(undisturbed):
    run = undisturbed[1]
    rows = pq.read_table(run / CHECKED / "rows.parquet").to_pylist()
    made = [row for row in rows if row["caption_origin"] is not None]
    assert {row["caption_origin"] for row in made} == {"true"}
    assert all(row["characters"] == len(row["text"]) and row["alternative"] for row in made)
    (folder,) = (run / STAGE / "captions").iterdir()
    said = pq.read_table(next(folder.glob("*.parquet"))).to_pylist()
    assert folder.name.startswith("true@") and said[0]["captioner"] == "true" and said[0]["model"]
    items = pq.read_table(next((run / STAGE / "items").glob("*.parquet"))).to_pylist()
    assert json.loads(items[0]["meta"])["captioner"] == "true"


def test_before_and_after_are_told_and_the_counts_of_all_stages_add_up(undisturbed, launcher):
    run = undisturbed[1]
    (told,) = record(run, CHECKED)["captioners"]
    assert told["captioner"] == "true" and told["samples"] > 0 and told["after"] > told["before"]
    assert told["units_held"] == 0
    assert launcher.alone("verify", run).code == 0
    status = sluice.Run.open(run).status()
    assert [stage.stage for stage in status.stages if stage.state == "done"] == [
        "00_raw", "01_filtered", STAGE, CHECKED, "04_final",
    ]  # fmt: skip


def test_a_captioner_that_makes_things_worse_is_held_as_a_whole(tmp_path, world, launcher):
    captions = {"captioners": [{"type": "plugin", "name": "poor", "function": "test.poor"}]}  # all are captioned
    assert launcher.alone("run", recipe_over(tmp_path, world[0], captions=captions)).code == 0
    run = tmp_path / "run"
    (told,) = record(run, CHECKED)["captioners"]
    assert told["after"] < told["before"] and told["units_held"] == 3
    assert record(run, CHECKED)["rules"]["captions_worse"]["samples"] > 0
    packed = pq.read_table(run / "04_final" / "manifest.parquet")
    fine = {key for key, fate in world[2].items() if fate == "fine"}
    assert {keys(run)[sample] for sample in packed.column("id").to_pylist()} <= fine


def test_run_again_asks_nobody_and_another_captioner_leaves_nothing_of_the_first(tmp_path, world, launcher):
    path = recipe_over(tmp_path, world[0])
    run = tmp_path / "run"
    assert launcher.alone("run", path).code == 0
    digest = tree_digest(run)
    assert launcher.alone("run", path).code == 0
    assert not [e for e in last_events(run) if e["event"] in ("captioning", "embedding")]
    assert differing(digest, tree_digest(run)) == []
    template = {"captioners": [{"type": "template", "name": "words", "template": "a picture by {author}"}]}
    assert launcher.alone("run", recipe_over(tmp_path, world[0], captions=template)).code == 0
    rows = pq.read_table(run / CHECKED / "rows.parquet").to_pylist()
    made = [row for row in rows if row["caption_origin"]]
    assert made and all(row["text"].startswith("a picture by ") for row in made)
    assert launcher.alone("run", recipe_over(tmp_path, world[0])).code == 0
    again = {name: value for name, value in tree_digest(run).items() if "/measures/" not in name}
    before = {name: value for name, value in digest.items() if "/measures/" not in name}
    assert [name for name in differing(before, again) if "words@" not in name] == []


def test_other_workers_give_the_same_bytes(tmp_path, world, undisturbed, launcher):
    assert launcher.run("run", recipe_over(tmp_path, world[0], engine={"workers": 2})).code == 0
    ignored = ("recipe.lock.yaml",)
    assert differing(tree_digest(undisturbed[1], ignored), tree_digest(tmp_path / "run", ignored)) == []


@pytest.mark.slow
def test_a_run_killed_while_it_captions_gives_the_same_bytes(tmp_path, world, undisturbed, launcher):
    path = recipe_over(tmp_path, world[0])
    ignored = ("recipe.lock.yaml",)
    digest = tree_digest(undisturbed[1], ignored)
    told = events(undisturbed[1])
    started = next(i for i, e in enumerate(told) if e["event"] == "stage_started" and e["stage"] == STAGE)
    ended = next(i for i, e in enumerate(told) if e["event"] == "stage_done" and e["stage"] == CHECKED)
    for number in range(5):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        command = launcher.start("run", path, inline=number % 2 == 1)
        wait_for(command, tmp_path / "run", started + number * (ended - started) // 5)
        time.sleep(random.Random(number).random() * 0.3)
        command.kill(signal.SIGKILL)
        command.wait()
        again = launcher.alone("run", path)
        assert again.code == 0, again.err
        assert differing(digest, tree_digest(tmp_path / "run", ignored)) == [], f"kill {number}"


def test_a_wrong_captioner_or_route_is_said_before_anything_runs(tmp_path, world, launcher):
    unknown = {"captioners": [{"type": "plugin", "name": "x", "function": "test.tru"}]}
    done = launcher.alone("run", recipe_over(tmp_path, world[0], captions=unknown))
    assert done.code == 2 and "did you mean test.true" in done.err
    route = {**unknown, "captioners": [{"type": "plugin", "name": "x", "function": "test.true"}]}
    done = launcher.alone(
        "run", recipe_over(tmp_path, world[0], captions={**route, "recaption": {"weak": "alignmen < 1"}})
    )
    assert done.code == 2 and "captions.recaption.weak" in done.err
    done = launcher.alone("run", recipe_over(tmp_path, world[0], captions=None), "--only", STAGE)
    assert done.code == 2 and "has no `captions`" in done.err
