"""A takedown: the content leaves, everywhere; the fact stays; what was like it does not come back."""

import shutil
import subprocess

import pyarrow.parquet as pq
import pytest

import sluice
from sluice.errors import SluiceError
from sluice.run.takedown_command import Request, take_down
from sluice.run.verifying import verify_run
from support.folders import differing, tree_digest
from support.recipes import RULES, write_recipe

WORDS = "of thing number {}, seen in good light"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus, launcher):
    folder = tmp_path_factory.mktemp("takedown")
    done = launcher.run("run", write_recipe(folder / "recipe.yaml", corpus), report=True)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def run(tmp_path, finished, inline):
    """A finished run of one's own."""
    shutil.copytree(finished / "run", tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))
    shutil.copy(finished / "recipe.yaml", tmp_path / "recipe.yaml")
    return sluice.Run.open(tmp_path / "run")


def named(run, number):
    """The id of the sample that the corpus drew as `number`."""
    return next(
        row["id"] for row in run.samples().to_pylist() if row["key"].startswith(f"part{number % 2}/{number:04d}")
    )


def request(tmp_path, kind, *lines):
    (tmp_path / "request.txt").write_text("# asked for on a Monday\n" + "\n".join(lines) + "\n")
    return Request(**{kind: tmp_path / "request.txt"})


def holding(folder, text):
    """Files below `folder` that hold `text`, Parquet pages unpacked."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            data = str(pq.read_table(path).to_pylist()).encode()
        elif path.is_file():
            data = path.read_bytes()
        else:
            continue
        if text.encode() in data:
            found.append(path.relative_to(folder).as_posix())
    return found


@pytest.mark.parametrize(
    ("kind", "line"),
    [("ids", None), ("url", "https://host1.example/6.jpg"), ("hash", None), ("domain", "host1.example")],
)
def test_the_content_is_nowhere_and_the_fact_stays(tmp_path, run, kind, line):
    identity = named(run, 6)
    if kind == "ids":
        line = identity.upper()
    if kind == "hash":
        line = next(row["sha256"] for row in run.why(identity).measured)
    assert len(holding(run.layout.root, WORDS.format(6))) >= 4  # items, rows, a shard of each format
    done = take_down(run, request(tmp_path, kind, line, "ids-of-nothing"))
    assert done.matched >= 1
    assert done.unmatched == (f"{kind} ids-of-nothing",)
    assert holding(run.layout.root, WORDS.format(6)) == []
    assert holding(run.layout.root, "author-6'") == []
    assert holding(run.layout.root, "roll-6'") == []
    story = run.why(identity)
    assert story.verdict == "rejected"
    assert story.packed == ()
    assert line.lower() in str(story.taken_down).lower()
    assert verify_run(run.layout).fine


def test_only_the_shards_that_held_it_are_written_again(tmp_path, run):
    identity = named(run, 6)
    held = {row["shard"] for row in run.why(identity).packed}
    shards = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in run.layout.final.glob("*/*/shard-*")}
    done = take_down(run, request(tmp_path, "ids", identity))
    changed = {
        path.relative_to(run.layout.final).as_posix()
        for path, stamp in shards.items()
        if (path.stat().st_ino, path.stat().st_mtime_ns) != stamp
    }
    assert changed == held
    assert done.shards_rewritten == len(held) == 2


def test_the_report_is_drawn_without_it(tmp_path, finished, launcher):
    shutil.copytree(finished / "run", tmp_path / "run")
    identity = named(sluice.Run.open(tmp_path / "run"), 9)  # rejected as tiny: the report shows such
    assert "report.html" in holding(tmp_path / "run", WORDS.format(9))
    (tmp_path / "ids").write_text(identity)
    done = launcher.run("takedown", tmp_path / "run", "--ids", tmp_path / "ids", report=True)
    assert done.code == 0, done.err
    assert holding(tmp_path / "run", WORDS.format(9)) == []


def test_it_survives_another_run_and_further_sources(tmp_path, run, corpus):
    identity = named(run, 6)
    take_down(run, request(tmp_path, "ids", identity))
    before = tree_digest(run.layout.root)
    sluice.run(tmp_path / "recipe.yaml")
    assert differing(before, tree_digest(run.layout.root)) == []
    sources = [{"type": "folder", "path": str(corpus), "name": name} for name in ("photos", "again")]
    again = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, sources=sources[:1], limits={"pixels": 10**6}))
    assert again.why(identity).verdict == "rejected"
    assert holding(again.layout.root, WORDS.format(6)) == []


def test_what_was_like_it_does_not_come_back(tmp_path, run, corpus):
    keeper, like, equal = (named(run, number) for number in (2, 3, 5))
    cluster = [member["id"] for member in run.why(keeper).cluster]
    assert {keeper, like} <= set(cluster)
    keeper = next(member["id"] for member in run.why(keeper).cluster if member["kept"])
    others = [identity for identity in cluster if identity != keeper]
    take_down(run, request(tmp_path, "ids", keeper))
    assert {run.why(identity).verdict for identity in others} == {"rejected"}
    filters = {
        "reject": {**RULES, "soft": "sharpness < 21", "wordy": "characters > 500"},
        "duplicates": {"boilerplate": 2},
    }
    again = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, filter=filters))
    assert {again.why(identity).verdict for identity in [*others, keeper]} == {"rejected"}
    assert again.why(equal).verdict in ("rejected", "kept")


def test_what_was_like_it_does_not_come_back_though_its_text_can_no_longer_be_judged(tmp_path, corpus, inline):
    rules = {**RULES, "word": "contains(text, 'no such word')"}  # unknown, so held, of a text that is gone
    filters = {"reject": rules, "duplicates": {"boilerplate": 2}}
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, filter=filters))
    members = {member["kept"]: member["id"] for member in run.why(named(run, 2)).cluster}
    assert members.keys() == {True, False}
    take_down(run, request(tmp_path, "ids", members[True]))
    rules["soft"] = "sharpness < 21"
    again = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, filter=filters))
    gone, like = again.why(members[True]), again.why(members[False])
    assert (gone.stages["01_filtered"]["verdict"], gone.verdict, like.verdict) == ("kept", "rejected", "rejected")


def test_what_a_rule_quoted_goes_too(tmp_path, run, corpus):
    filters = {
        "reject": {**RULES, "thing": "contains(text, 'number 6,')"},
        "duplicates": {"near": None, "bytes": False},
    }
    again = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, filter=filters))
    identity = named(again, 6)
    assert "01_filtered/verdicts.parquet" in holding(again.layout.root, WORDS.format(6))
    take_down(again, request(tmp_path, "ids", identity))
    assert holding(again.layout.root, WORDS.format(6)) == []
    assert again.why(identity).stages["01_filtered"]["reasons"][0]["rule"] == "thing"


def test_a_killed_takedown_goes_on_when_it_is_asked_again(tmp_path, run, launcher):
    identity = named(run, 6)
    asked = request(tmp_path, "ids", identity)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(run.layout.root, undisturbed)
    command = ("takedown", run.layout.root, "--ids", asked.ids)
    count = tmp_path / "count"
    assert (
        launcher.run("takedown", undisturbed, "--ids", asked.ids, inline=True, crash_at=0, count=str(count)).code == 0
    )
    digest, steps = tree_digest(undisturbed), int(count.read_text())
    original = tmp_path / "original"
    shutil.move(run.layout.root, original)
    for step in range(1, steps + 1, 2):
        shutil.rmtree(run.layout.root, ignore_errors=True)
        subprocess.run(["cp", "-a", original, run.layout.root], check=True)
        assert launcher.run(*command, inline=True, crash_at=step).code == -9
        done = launcher.run(*command, inline=True)
        assert done.code == 0, done.err
        assert differing(digest, tree_digest(run.layout.root)) == [], f"killed before step {step} of {steps}"


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        (None, "", "needs a list of what must go"),
        ("ids", None, "cannot be read"),
        ("ids", "# nothing\n", "names nothing"),
    ],
)
def test_a_request_that_says_nothing_is_refused(tmp_path, run, kind, text, complaint):
    path = tmp_path / "request.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SluiceError, match=complaint):
        take_down(run, Request(**({kind: path} if kind else {})))
