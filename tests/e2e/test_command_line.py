"""The command line, as a person meets it."""

import json
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from support.commands import cli
from support.recipes import write_recipe

COMMANDS = (
    "demo", "init", "run", "plan", "recipe", "recipe check", "recipe schema", "measures", "status", "why", "what-if",
    "curve", "report", "verify", "takedown", "index", "receipt",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus, launcher):
    folder = tmp_path_factory.mktemp("cli")
    done = launcher.run("run", write_recipe(folder / "recipe.yaml", corpus))
    assert done.code == 0, done.err
    return folder / "run"


@pytest.fixture(scope="module")
def packed(finished):
    return pq.read_table(finished / "04_final" / "manifest.parquet").to_pylist()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_there_for_every_command(launcher, command):
    done = launcher.run(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: {' '.join(['sluice', *command.split()])}")


def test_as_a_program_of_its_own_it_helps_and_tells_its_version():
    assert cli("--help").code == 0
    assert cli("--version").out.startswith("sluice ")
    nothing = cli()
    assert (nothing.code, "usage: sluice" in nothing.err) == (2, True)


class TestWhy:
    def told(self, launcher, finished, query):
        done = launcher.run("why", finished, query, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["id"]

    def test_by_whatever_names_a_sample(self, launcher, finished, packed):
        row = next(row for row in packed if row["format"] == "webdataset" and row["index"] == 3)
        name = row["key"].rpartition("/")[2]
        queries = [
            row["id"],
            row["id"][:12],
            row["key"],
            name,
            name.partition(".")[0],
            f"{row['id']}.jpg",
            f"{row['shard']}:{row['index']}",
            f"{row['shard']}#{row['index']}",
        ]
        assert {query: self.told(launcher, finished, query) for query in queries} == dict.fromkeys(queries, row["id"])

    def test_what_names_nothing_or_several_is_a_sentence(self, launcher, finished, packed):
        unknown = launcher.run("why", finished, "no-such-thing")
        assert unknown.code == 2
        assert "no sample of" in unknown.err
        assert "a key, a file name, a shard member" in unknown.err
        several = launcher.run("why", finished, f"shard-000000.tar:{0}")
        assert several.code == 2
        assert "names 2 samples; give the id of one of them" in several.err  # of train and of val
        assert several.err.count("\n  ") == 2

    def test_the_story_in_words_says_where_from_why_and_where_to(self, launcher, finished, packed):
        kept = launcher.run("why", finished, packed[0]["id"]).out
        for part in ("KEPT", "photos: part", "licence: CC", "tiny", "silent", "sharpness = ", "packed in webdataset/"):
            assert part in kept
        tiny = launcher.run("why", finished, "0009.jpg").out
        assert "REJECTED" in tiny
        assert "tiny (item 0): rejected: min_side = 24" in tiny
        truncated = launcher.run("why", finished, "0007.png").out
        assert "FAILED" in truncated
        assert "decode (item 0)" in truncated
        near = launcher.run("why", finished, "0003.jpg").out + launcher.run("why", finished, "0002.webp").out
        assert "bits from" in near
        assert "kept is the first by pixels desc, characters desc, id" in near
        several = launcher.run("why", finished, "0015.jpg").out
        assert "short (item 2): this caption is left out: characters = 2" in several


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("why", "0001.png"),
        ("what-if", "--set", "soft: sharpness < 900"),
        ("curve", "--column", "sharpness"),
        ("verify",),
    ],
    ids=lambda command: command[0],
)
def test_json_is_json_and_words_are_words(launcher, finished, command):
    name, *rest = command
    words, plain = (launcher.run(name, finished, *rest, *more) for more in ((), ("--json",)))
    assert (words.code, plain.code) == (0, 0), words.err + plain.err
    assert isinstance(json.loads(plain.out), dict)
    with pytest.raises(ValueError, match=r"Expecting|Extra data"):
        json.loads(words.out)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("what-if", "--set", "soft: sharpnes < 9"), 'unknown column "sharpnes" (did you mean "sharpness"?)'),
        (("what-if", "--set", "sof: off"), "the recipe has no rule 'sof' (it has: tiny, soft, short)"),
        (("what-if", "--set", "soft"), "names no rule"),
        (("curve", "--column", "sharpnes"), 'did you mean "sharpness"?'),
        (("curve", "--column", "format"), "a curve needs numbers"),
        (("takedown",), "needs a list of what must go"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_a_sentence(launcher, finished, command, complaint):
    name, *rest = command
    done = launcher.run(name, finished, *rest)
    assert (done.code, done.out) == (2, "")
    assert complaint in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["status", "verify", "report"])
def test_a_folder_that_is_no_run_is_a_sentence(tmp_path, launcher, command):
    assert "not a run folder" in launcher.run(command, tmp_path).err
    missing = launcher.run(command, tmp_path / "none")
    assert (missing.code, "no such folder" in missing.err) == (2, True)


RECIPES = {
    "unknown field": (
        "nmae: x\nname: y\nsources: [{type: folder, path: .}]\n",
        "recipe.yaml:1: nmae: there is no such field (did you mean 'name'?)",
    ),
    "unknown inner field": (
        "name: y\nsources: [{type: folder, path: .}]\nlimits:\n  pixel: 3\n",
        "recipe.yaml:4: limits.pixel: there is no such field (did you mean 'pixels'?)",
    ),
    "wrong type": ("name: y\nsources: [{type: folder, path: .}]\nunit: many\n", "recipe.yaml:3: unit: "),
    "out of range": ("name: y\nsources: [{type: folder, path: .}]\nunit: 0\n", "recipe.yaml:3: unit: "),
    "duplicate key": ("name: y\nname: z\nsources: [{type: folder, path: .}]\n", "recipe.yaml:2: "),
    "missing field": ("name: y\n", "recipe.yaml:1: sources: this field is missing"),
    "unknown source": ("name: y\nsources: [{type: foldr, path: .}]\n", "recipe.yaml:2: sources[0]: Input tag 'foldr'"),
    "unknown measure": (
        "name: y\nsources: [{type: folder, path: .}]\nmeasures:\n  - image.header\n  - image.qualty\n",
        "recipe.yaml:5: measures[1]: unknown measure 'image.qualty' (did you mean image.quality",
    ),
    "unknown parameter": (
        "name: y\nsources: [{type: folder, path: .}]\nmeasures:\n- name: image.header\n  x: 1\n",
        "recipe.yaml:5: measures[0].x: measure image.header has no parameter 'x'",
    ),
    "measure twice": (
        "name: y\nsources: [{type: folder, path: .}]\nmeasures:\n- image.header\n- text.basic\n- image.header\n",
        "recipe.yaml:6: measures[2]: measures image.header and image.header both write the column",
    ),
    "rule typo": (
        "name: y\nsources: [{type: folder, path: .}]\nfilter:\n  reject:\n    blurry: sharpnes < 100\n",
        'recipe.yaml:5: filter.reject.blurry uses unknown column "sharpnes" (did you mean "sharpness"?)',
    ),
    "rule twice": (
        "name: y\nsources: [{type: folder, path: .}]\nfilter:\n  reject: {a: width < 1}\n  hold: {a: width < 2}\n",
        "rule 'a' stands under both `reject` and `hold`",
    ),
    "bad YAML": ("name: y\nsources: [\n", "recipe.yaml:3: not valid YAML"),
    "no mapping": ("- 1\n", "recipe.yaml:1: a recipe is a mapping"),
    "empty": ("", "recipe.yaml: the file is empty"),
    "missing source": ("name: y\nsources: [{type: folder, path: none-here}]\n", "none-here"),
    "missing plugin": (
        "name: y\nplugins: [x.py]\nsources: [{type: folder, path: .}]\n",
        "recipe.yaml:2: plugins[0]: x.py cannot be read as a Python file",
    ),
    "plugin that is no Python": (
        "name: y\nsources: [{type: folder, path: .}]\nplugins:\n- ./recipe.yaml\n",
        "recipe.yaml:4: plugins[0]: ./recipe.yaml is not a Python file; its name must end in .py",
    ),
    "keeper typo": (
        "name: y\nsources: [{type: folder, path: .}]\nfilter:\n  duplicates:\n    near: {keep: pixls desc}\n",
        'recipe.yaml:5: filter.duplicates.near.keep uses unknown column "pixls" (did you mean "pixels"?)',
    ),
    "binary": (b"\xff\xfe\x00", "cannot be read as UTF-8 text"),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECIPES)
def test_a_wrong_recipe_is_refused_with_its_place(tmp_path, launcher, kind):
    text, complaint = RECIPES[kind]
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = launcher.run("run", path)
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("sluice: "), done.err
    assert complaint in done.err
    if kind != "missing source":  # that is known only when it is opened
        assert not (tmp_path / "runs").exists()
        assert launcher.run("recipe", "check", path).err == done.err


def test_a_recipe_that_is_not_there_is_a_sentence(tmp_path, launcher):
    done = launcher.run("run", tmp_path / "none.yaml")
    assert (done.code, "no such recipe; `sluice init FOLDER`" in done.err) == (2, True)
    assert launcher.run("run", tmp_path).code == 2


def test_an_unknown_stage_is_a_sentence(tmp_path, corpus, launcher):
    done = launcher.run("run", write_recipe(tmp_path / "recipe.yaml", corpus), "--only", "02_capt")
    assert done.code == 2
    assert "there is no stage '02_capt' (there are: 00_raw, 01_filtered" in done.err


def test_status_while_it_runs_and_after_it_was_killed(tmp_path, corpus, launcher):
    command = launcher.start("run", write_recipe(tmp_path / "recipe.yaml", corpus))
    run = tmp_path / "run"
    while not list(run.glob("01_filtered/measures/*/unit-00000.parquet")):
        assert not command.ended()
        time.sleep(0.002)
    command.kill(signal.SIGSTOP)
    live = launcher.run("status", run)
    plain = json.loads(launcher.run("status", run, "--json").out)
    command.kill(signal.SIGCONT)
    assert live.code == 0
    assert "working now" in live.out
    assert "running" in live.out
    raw, filtered = plain["stages"][:2]
    assert raw["state"] in ("running", "done")  # units are measured while later ones are still being listed
    assert filtered["state"] == "running"
    assert ("of 6 units" if raw["state"] == "done" else "units so far") in filtered["progress"]
    command.kill()
    command.wait()
    after = launcher.run("status", run).out
    assert "nobody is working in it" in after
    assert "stopped" in after
    refused = launcher.run("what-if", run, "--set", "soft: off")
    assert (refused.code, "01_filtered is not finished; `sluice run" in refused.err) == (2, True)


def test_a_reader_that_goes_away_is_no_error(finished):
    command = [sys.executable, "-m", "sluice.cli", "curve", str(finished), "--column", "sharpness", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()  # as `| head -0` would
    error = process.stderr.read()
    process.stderr.close()
    assert b"Traceback" not in error
    assert b"BrokenPipe" not in error
    assert process.wait() == 0


def test_init_writes_a_recipe_that_runs(tmp_path, corpus, launcher):
    done = launcher.run("init", corpus, "-o", tmp_path / "recipe.yaml")
    assert done.code == 0, done.err
    assert launcher.run("recipe", "check", tmp_path / "recipe.yaml").code == 0
    again = launcher.run("init", corpus, "-o", tmp_path / "recipe.yaml")
    assert (again.code, "--force" in again.err) == (2, True)
    schema = json.loads(launcher.run("recipe", "schema").out)
    assert "sources" in schema["properties"]
