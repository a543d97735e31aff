"""Consensus, variations and question-answer pairs in a run: made in 02, judged in 03, packed with who wrote them."""

import json
import shutil
import tarfile

import pyarrow.parquet as pq
import pytest

import sluice
from sluice.synth.generate import generate
from support.chat_api import chat_api, says
from support.commands import last_events
from support.folders import differing, tree_digest
from support.recipes import QUICK_MEASURES, write_recipe

STAGE, CHECKED = "02_captioned", "03_quality_checked"
PLUGIN = """
import json
from pathlib import Path
from sluice.caption.base import Caption, Pair
from sluice.caption.plugin import captioner

TRUE = json.loads(Path({truth!r}).read_text())

@captioner("test.plain", version=1)
def plain(requests):
    return [TRUE[request.fields["key"]] for request in requests]

@captioner("test.chatty", version=1)
def chatty(requests):
    return [TRUE[request.fields["key"]].rstrip(".") + ". A zebra sleeps there." for request in requests]

@captioner("test.pairs", version=1)
def pairs(requests):
    return [
        Caption("x", "qa", pairs=(Pair("What is it?", TRUE[r.fields["key"]]), Pair("Whose?", "Ask me@example.org.")))
        for r in requests
    ]
"""


def answer(body, times):
    """Other words for a caption; into German and back it loses its meaning, which nobody notices but 03."""
    text = body["messages"][-1]["content"]
    asked = text.rpartition("\n\n")[2]
    return says(f"Here we see: {asked}" if "other words" in text else f"{asked} ok")


@pytest.fixture(scope="module")
def made(tmp_path_factory, launcher):
    home = tmp_path_factory.mktemp("made")
    folder = generate(home / "drawn", 60, 5).folder
    truth = {row["key"]: row for row in pq.read_table(folder / "truth.parquet").to_pylist()}
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text().split("\n") if line]
    lines = [line for line in lines if truth[line["path"]]["defect"] is None and line.get("language") == "en"][:10]
    true = {line["path"]: line["captions"][0] for line in lines}
    for line in lines:
        line["captions"] = line["captions"][:1]
        (home / "world" / line["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / line["path"], home / "world" / line["path"])
    (home / "world" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (home / "world" / "true.json").write_text(json.dumps(true))
    (home / "plugin.py").write_text(PLUGIN.format(truth=str(home / "world" / "true.json")))
    with chat_api(answer) as api:
        service = {"type": "chat", "url": api.url, "model": "m", "limits": {"concurrency": 2}}
        captions = {
            "captioners": [
                {"type": "plugin", "name": "plain", "function": "test.plain"},
                {"type": "plugin", "name": "chatty", "function": "test.chatty", "kind": "dense"},
                {"type": "plugin", "name": "pairs", "function": "test.pairs", "kind": "qa"},
            ],
            "consensus": {},
            "pairs": {"personal": "pii > 0"},
            "variations": {
                "of": "source",
                "expand": "A drawing. {caption}",
                "length": {},
                "paraphrase": {**service, "name": "para", "price": {"input": 1, "output": 2}},
                "back_translation": {"pivot": "de", "there": {**service, "name": "mt"}},
            },
        }
        path = write_recipe(
            home / "recipe.yaml",
            home,
            sources=[{"type": "table", "path": str(home / "world" / "captions.jsonl"), "name": "world"}],
            plugins=["plugin.py"],
            measures=[*QUICK_MEASURES, "text.pii"],
            filter={"reject": {"tiny": "min_side < 8"}, "duplicates": {"near": None, "boilerplate": None}},
            captions=captions,
            quality={
                "encoder": {"type": "builtin"},
                "reject": {"misaligned": "alignment < -1"},
                "hold": {"invented": {"when": "caption_claims > 0", "null": "pass"}},
            },
            unit=20,
        )
        free = launcher.run("plan", path)
        assert free.code == 0 and not api.requests, free.err
        asking = launcher.run("plan", path, "--ask", "--json")
        assert asking.code == 0, asking.err
        asked = len(api.requests)
        done = launcher.run("run", path)
        assert done.code == 0, done.err
        digest = tree_digest(home / "run")
        again = launcher.run("run", path)
        assert again.code == 0 and len(api.requests) == asked
        assert differing(digest, tree_digest(home / "run")) == []
    return home / "run", true, (asked, free.out, json.loads(asking.out))


def test_a_plan_pays_nothing_unless_asked_to_and_a_run_pays_for_none_of_it_again(made):
    asked, free, plan = made[2]
    assert "captions: nobody was asked" in free and "--ask" in free
    models = plan["models"]
    assert asked == 30 == sum(models["requests"].values())
    para = models["captions"]["paraphrase"]
    assert (para["images"], para["tokens_in"]["expected"]) == (10, pytest.approx(1200))
    assert plan["cost"] == pytest.approx(10 * 160e-6) and models["unpriced"] == ["back_translation"]
    assert models["embedding"] > 0
    assert models["verdicts"][CHECKED]["in"] == 10


def said(run, name):
    (folder,) = (run / STAGE / "captions").glob(f"{name}@*")
    return pq.read_table(next(folder.glob("*.parquet"))).to_pylist()


def test_what_one_captioner_alone_claims_is_flagged_and_a_rule_may_read_it(made):
    run, true, _ = made
    flagged = said(run, "chatty")
    assert {tuple(row["claims"]) for row in flagged} == {("zebra", "sleeps")}
    assert all(0 < row["support"] < 1 for row in flagged)
    assert {(row["support"], tuple(row["claims"])) for row in said(run, "plain")} == {(1.0, ())}
    assert {row["discarded"] for row in said(run, "consensus")} == {"a captioner said just this"}
    rows = pq.read_table(run / CHECKED / "rows.parquet").to_pylist()
    assert {row["caption_claimed"] for row in rows if row["caption_origin"] == "chatty"} == {"zebra, sleeps"}
    told = str(sluice.Run.open(run).why(next(iter(true))))
    assert "by chatty; support" in told and "it alone says zebra, sleeps" in told
    assert "invented (item" in told and "this caption is left out" in told


def test_each_variation_names_its_caption_and_how_it_was_made_and_what_is_discarded_says_why(made):
    run, true, _ = made
    table = said(run, "variations")
    assert {row["of"] for row in table} == {1}
    by_method = {}
    for row in table:
        by_method.setdefault(row["captioner"], []).append(row)
    assert set(by_method) == {"expand", "length", "paraphrase", "back_translation"}
    assert [row["text"] for row in by_method["expand"]] == [f"A drawing. {text}" for text in true.values()]
    assert all(row["text"] is None and row["discarded"] for row in by_method["length"])  # one sentence: the same again
    paraphrased = by_method["paraphrase"]
    assert all(row["text"].startswith("Here we see: ") for row in paraphrased)
    assert all((row["tokens_in"], row["tokens_out"], row["attempts"]) == (120, 20, 1) for row in paraphrased)
    assert paraphrased[0]["cost"] == pytest.approx(160e-6) and paraphrased[0]["prompt"] == "paraphrase"
    assert {row["tokens_in"] for row in by_method["back_translation"]} == {240}
    rows = pq.read_table(run / CHECKED / "rows.parquet").to_pylist()
    scored = [row for row in rows if row["caption_of"] is not None]
    assert scored and all(row["alignment"] is not None for row in scored)
    facts = json.loads((run / STAGE / "stage.json").read_text())
    assert facts["spent"]["requests"] == 30 and facts["discarded"] == 20
    captioners = json.loads((run / CHECKED / "stage.json").read_text())["captioners"]
    assert {one["captioner"] for one in captioners} == {"plain", "chatty"}


def test_pairs_are_packed_and_one_that_a_rule_speaks_of_is_left_out_alone(made):
    run, true, _ = made
    facts = json.loads((run / STAGE / "stage.json").read_text())
    assert (facts["pairs"], facts["pairs_left_out"]) == (20, {"personal": 10})
    for document in documents(run):
        question, answer = document["texts"]
        assert (question["role"], question["text"], question["origin"]) == ("question", "What is it?", "pairs")
        assert (answer["role"], answer["text"]) == ("answer", true[document["key"]])
        assert answer["item"] == question["item"] + 1
    rows = packed_rows(run)
    assert all([turn["from"] for turn in row["conversations"]] == ["question", "answer"] for row in rows)
    assert all(row["conversation_origins"] == ["pairs", "pairs"] for row in rows)


def test_captions_are_packed_with_who_wrote_them_and_weights_that_add_up_to_one(made):
    run = made[0]
    seen = set()
    for document in documents(run):
        assert sum(one["weight"] for one in document["captions"]) == pytest.approx(1)
        assert [one["weight"] for one in document["captions"]] == sorted(
            (one["weight"] for one in document["captions"]), reverse=True
        )
        seen |= {one["origin"] for one in document["captions"]}
    assert seen == {None, "plain", "expand", "paraphrase", "back_translation"}
    for row in packed_rows(run):
        assert sum(row["caption_weights"]) == pytest.approx(1)
        assert len(row["caption_origins"]) == len(row["captions"]) == len(row["caption_weights"])


def test_the_gate_knows_what_was_measured_of_pairs(made, launcher):
    said = json.loads(launcher.run("gate", made[0], "--fast", "--json").out)
    (found,) = [check for check in said["checks"] if check["check"] == "personal data"]
    assert (found["value"], found["stops"]) == ("0 of 10 samples", False)


def test_the_shards_are_whole_and_nothing_is_asked_anew(made, launcher):
    assert launcher.run("verify", made[0]).code == 0
    assert not [event for event in last_events(made[0]) if event["event"] == "captioning"]


def test_a_takedown_erases_what_was_written_of_it(made, tmp_path, launcher):
    run = shutil.copytree(made[0], tmp_path / "run")
    key, text = next(iter(made[1].items()))
    (sample,) = [row["id"] for row in sluice.Run.open(run).samples().to_pylist() if row["key"] == key]
    (tmp_path / "ids.txt").write_text(sample)
    done = launcher.run("takedown", run, "--ids", tmp_path / "ids.txt")
    assert done.code == 0, done.err
    for path in sorted(run.rglob("*.parquet")):
        assert text.rstrip(".") not in str(pq.read_table(path).to_pylist()), path


def documents(run):
    found = []
    for shard in sorted((run / "04_final" / "webdataset").glob("*/*.tar")):
        with tarfile.open(shard) as tar:
            members = [member for member in tar if member.name.endswith(".json")]
            found += [json.load(tar.extractfile(member)) for member in members]
    assert len(found) == 10
    return found


def packed_rows(run):
    shards = sorted((run / "04_final" / "parquet").glob("*/*.parquet"))
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]
