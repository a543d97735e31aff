"""Near-duplicate texts as a step of a run: verdicts, clusters, `why`, `what-if`."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sluice
from sluice.corpus.ngrams import Grams, folded
from support.commands import cli
from support.corpus import encoded, picture
from support.folders import differing, tree_digest
from support.recipes import write_recipe

LONG = "a weathered wooden rowing boat lies upside down on the pebble beach beside a coil of faded blue rope"
CAPTIONS = {
    "0": [LONG],
    "1": [LONG.replace("faded", "washed")],
    "2": ["Two dogs chase a red ball through the shallow water of a lake at dusk, seen from the jetty"],
    "3": [LONG.upper(), "something that nobody else says of any picture in this folder at all"],
    "4": ["short text"],
    "5": ["two dogs chase a red ball through the shallow water of a lake at dawn, seen from the jetty"],
    "6": [LONG + " in the evening"],
    "7": ["another text that is like none of the others, about a lighthouse on a cliff in fog"],
}
TEXT = {"unit": "character", "n": 4, "jaccard": 0.7}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Eight images, all different; their captions are not."""
    folder = tmp_path_factory.mktemp("pairs")
    lines = []
    for number, (key, captions) in enumerate(CAPTIONS.items()):
        (folder / f"{key}.jpg").write_bytes(encoded(picture(40 * number), quality=90))
        lines.append(json.dumps({"image": f"{key}.jpg", "captions": captions}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return folder


def recipe_over(path, pairs, text=TEXT, **changes):
    fields = {
        "sources": [{"type": "table", "path": str(pairs / "captions.jsonl"), "name": "pairs"}],
        "unit": 3,
        "filter": {"reject": {}, "duplicates": {"boilerplate": None, "near": None, "text": text}},
        "split": {"train": 1.0},
        **changes,
    }
    return write_recipe(path, pairs, **fields)


def by_key(run, stage="01_filtered"):
    keys = {row["id"]: row["key"] for row in run.samples().to_pylist()}
    rows = pq.read_table(run.layout.verdicts(stage)).to_pylist()
    return {keys[row["id"]].rpartition("/")[2].partition(".")[0]: row for row in rows}


@pytest.mark.parametrize("kernels", ["", "numpy"])
def test_a_near_duplicate_text_is_left_out_and_the_best_stays(tmp_path, pairs, inline, monkeypatch, kernels):
    from sluice.native import calling

    monkeypatch.setenv("SLUICE_KERNELS", kernels)
    calling.forget()
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", pairs))
    calling.forget()
    found = by_key(run)
    verdicts = {key: (row["verdict"], tuple(row["rules"])) for key, row in found.items()}
    gone = ("rejected", ("near_duplicate_text",))
    kept = ("kept", ())
    longest = {"0": gone, "1": gone, "2": gone if found["5"]["verdict"] == "kept" else kept, "6": kept}
    assert {key: verdicts[key] for key in longest} == longest
    assert {verdicts["2"], verdicts["5"]} == {gone, kept}
    assert verdicts["3"] == kept, "it has another caption"
    assert found["3"]["captions_left_out"], "its first caption repeats another sample's"
    assert verdicts["4"] == verdicts["7"] == kept
    (reason,) = found["1"]["reasons"]
    said = json.loads(reason["values"])
    assert said["keeper"] == found["6"]["id"]
    expected = Grams("character", 4).jaccard(folded([CAPTIONS["1"][0], CAPTIONS["6"][0]]), np.array([0]), np.array([1]))
    assert said["similarity"] == pytest.approx(float(expected[0]), abs=1e-4)
    assert said["text"] == CAPTIONS["1"][0]
    stage = json.loads(run.layout.stage_file("01_filtered").read_text())
    assert stage["rules"]["near_duplicate_text"]["samples"] == 3
    assert stage["alike"] == {"clusters": 2, "members": 4, "largest": 4}


def test_why_tells_who_is_alike(tmp_path, pairs, inline):
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", pairs))
    told = str(run.why("1.jpg"))
    keeper = by_key(run)["6"]["id"]
    assert "near_duplicate_text (item 1): rejected: alike 0.781 to" in told
    assert f"to {keeper} (item 1), which was kept" in told
    assert "near_duplicate_text: who is alike" in told
    assert "<- this one" in told


def test_what_a_rule_rejects_takes_no_text_out_and_what_if_knows(tmp_path, pairs, inline):
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", pairs))
    asked = run.what_if([f"long: characters > {len(LONG)}"])
    filters = {
        "reject": {"long": f"characters > {len(LONG)}"},
        "duplicates": {"boilerplate": None, "near": None, "text": TEXT},
    }
    again = sluice.run(recipe_over(tmp_path / "again.yaml", pairs, run="again", filter=filters))
    verdicts = {key: row["verdict"] for key, row in by_key(again).items()}
    assert verdicts["6"] == verdicts["1"] == "rejected"
    assert "kept" in (verdicts["0"], verdicts["3"])
    counts = pa.table(again.samples()).column("verdict").to_pylist()
    assert asked.after == {name: counts.count(name) for name in ("kept", "rejected", "held", "failed")}
    assert asked.rules_after["near_duplicate_text"]["samples"] == sum(
        row["rules"] == ["near_duplicate_text"] for row in by_key(again).values()
    )


def test_components_follow_chains(tmp_path, pairs, inline):
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", pairs, {**TEXT, "cluster": "components", "keep": "id"}))
    kept = [key for key, row in by_key(run).items() if row["verdict"] == "kept"]
    assert len(kept) == 5


def test_another_keep_compares_no_texts_again(tmp_path, pairs, inline, monkeypatch):
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", pairs))
    measured = run.layout.corpus("alike_pairs").stat().st_mtime_ns
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", pairs, {**TEXT, "keep": "characters, id"}))
    assert run.layout.corpus("alike_pairs").stat().st_mtime_ns == measured
    assert by_key(run)["6"]["verdict"] == "rejected"


def test_a_wrong_setting_is_told_with_its_line(tmp_path, pairs):
    path = recipe_over(tmp_path / "recipe.yaml", pairs, {**TEXT, "bands": 200})
    said = cli("run", path).err
    assert "recipe.yaml:" in said
    assert "filter.duplicates.text: 200 `bands` of 128 `permutations`" in said
    path = recipe_over(tmp_path / "recipe.yaml", pairs, {**TEXT, "keep": "sharpnes desc"})
    assert "filter.duplicates.text.keep" in cli("run", path).err


def test_the_same_recipe_gives_the_same_bytes_whatever_the_unit(tmp_path, pairs, inline):
    one = sluice.run(recipe_over(tmp_path / "one" / "recipe.yaml", pairs))
    sluice.run(recipe_over(tmp_path / "two" / "recipe.yaml", pairs))
    other = sluice.Run.open(tmp_path / "two" / "run")
    assert not differing(tree_digest(one.layout.stage("01_filtered")), tree_digest(other.layout.stage("01_filtered")))


def test_documents_without_images_are_compared_and_the_longest_stays(tmp_path, inline):
    words = [f"word{number}" for number in range(300)]
    documents = {"a": " ".join(words), "b": " ".join(words[:290]), "c": " ".join(reversed(words))}
    with tarfile.open(tmp_path / "texts.tar", "w") as tar:
        for key, text in documents.items():
            member = tarfile.TarInfo(f"{key}.txt")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    fields = {
        "sources": [{"type": "webdataset", "path": str(tmp_path / "texts.tar"), "name": "texts"}],
        "measures": ["text.basic"],
        "filter": {"reject": {}, "duplicates": {"near": None, "text": {"unit": "word", "n": 3, "jaccard": 0.9}}},
        "pack": [{"format": "webdataset"}],
    }
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", tmp_path, **fields))
    verdicts = {row["key"].rpartition("/")[2]: row for row in run.samples().to_pylist()}
    assert {key: row["verdict"] for key, row in verdicts.items()} == {
        "a": "kept",
        "b": "rejected",
        "c": "kept",
    }


def test_the_report_and_the_card_tell_of_near_duplicate_texts(tmp_path, pairs):
    done = cli("run", recipe_over(tmp_path / "recipe.yaml", pairs))
    assert done.code == 0, done.err
    report = (tmp_path / "run" / "report.html").read_text()
    assert "4 members gone in 2 clusters; the largest has 4 members." in report
    shown = report[report.index('id="alike"') :]
    assert CAPTIONS["6"][0] in shown
    assert CAPTIONS["1"][0] in shown
    assert "0.781" in shown
    card = (tmp_path / "run" / "04_final" / "DATASET_CARD.md").read_text()
    assert "3 samples rejected for texts that share most n-grams with a kept one" in card
    assert "1 caption left out as repeated, nearly repeated or boilerplate" in card
