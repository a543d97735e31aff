"""A bad sample costs that sample: planted images that kill, hang or break a measure, and measures that break a run."""

import shutil

import pyarrow.parquet as pq
import pytest

from support.commands import events
from support.corpus import encoded, picture
from support.folders import differing, tree_digest
from support.recipes import QUICK_MEASURES, write_recipe

PLANTED = {
    7: (b"SEGFAULT", "crash", "SIGSEGV"),
    23: (b"HANG", "timeout", "longer than 2 s"),
    24: (b"RAISE", "crash", "ValueError: I do not like this one"),
    38: (b"EAT", "crash", "MemoryError"),
}
NO_HASH = {"duplicates": {"near": None}}
TWICE = """
own_again = measure("own.two", version=1, reads=data(), writes={"own": pa.int32()})(own)
"""
PLUGIN = """
import pyarrow as pa
from sluice import data, measure

@measure("own.measure", version=1, reads=data(), writes={"own": pa.int32()})
def own(batch):
    %s
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """40 images, a few of which say after their end what is to be done about them."""
    folder = tmp_path_factory.mktemp("planted") / "images"
    folder.mkdir()
    for number in range(40):
        word = PLANTED.get(number, (b"",))[0]
        (folder / f"{number:02d}.jpg").write_bytes(encoded(picture(number), "JPEG") + word)
        (folder / f"{number:02d}.txt").write_text(f"a caption of picture number {number}")
    return folder


def write(folder, planted, **changes):
    shutil.copy(__file__.replace("test_poison", "plugins"), folder / "plugins.py")
    measures = [*QUICK_MEASURES, "bad.nerves"]
    changes = {"plugins": ["./plugins.py"], "measures": measures, "limits": {"seconds": 2}, "filter": {}, **changes}
    return write_recipe(folder / "recipe.yaml", planted, **changes)


@pytest.mark.slow
def test_every_other_sample_comes_out(tmp_path, planted, launcher):
    recipe = write(tmp_path, planted, unit=20, engine={"workers": 2})
    done = launcher.run("run", recipe)
    assert done.code == 0, done.err
    run = tmp_path / "run"
    failures = pq.read_table(run / "01_filtered" / "failures.parquet").to_pylist()
    keys = {row["id"]: row["key"] for unit in run.glob("00_raw/samples/*") for row in pq.read_table(unit).to_pylist()}
    found = {keys[row["id"]]: row for row in failures}
    assert len(failures) == len(found) == len(PLANTED)
    for number, (_, failure_class, message) in PLANTED.items():
        row = next(row for key, row in found.items() if key.startswith(f"{number:02d}"))
        assert row["class"] == failure_class
        assert message in row["message"]
    manifest = pq.read_table(run / "04_final" / "manifest.parquet", filters=[("format", "=", "parquet")])
    assert manifest.num_rows == 40 - len(PLANTED)
    digest = tree_digest(run, ["recipe.lock.yaml"])
    shutil.rmtree(run)
    assert launcher.run("run", write(tmp_path, planted, unit=20)).code == 0
    assert differing(digest, tree_digest(run, ["recipe.lock.yaml"])) == [], "one worker finds the same poison as two"


COUNTING = """
import os, signal
from pathlib import Path
import pyarrow as pa
from sluice import data, measure

@measure("own.measure", version=1, reads=data(), writes={"own": pa.int32()})
def own(batch):
    with (Path(__file__).parent / "looked").open("a") as log:
        log.write(f"{len(batch)} ")
    for image in batch.bytes:
        if image.endswith(b"KILL ME"):
            os.kill(os.getpid(), signal.SIGSEGV)
    return {"own": [len(image) for image in batch.bytes]}
"""


@pytest.mark.slow
def test_a_death_costs_the_batch_in_hand_not_the_unit(tmp_path, launcher):
    images = tmp_path / "images"
    images.mkdir()
    poison = {f"{number:03d}" for number in (20, 70, 71, 150)}
    for number in range(160):
        word = b"KILL ME" if f"{number:03d}" in poison else b""
        (images / f"{number:03d}.jpg").write_bytes(encoded(picture(number), "JPEG") + word)
        (images / f"{number:03d}.txt").write_text(f"a caption of picture number {number}")
    (tmp_path / "mine.py").write_text(COUNTING)
    changes = {"unit": 160, "filter": NO_HASH}
    recipe = write_recipe(
        tmp_path / "recipe.yaml", images, plugins=["mine.py"], measures=[*QUICK_MEASURES, "own.measure"], **changes
    )
    assert launcher.run("run", recipe).code == 0
    (told,) = (event for event in events(tmp_path / "run") if event["event"] == "unit_measured")
    assert len(told["deaths"]) <= 2 * len(poison)
    looked = sum(map(int, (tmp_path / "looked").read_text().split()))
    assert looked <= 160 + 16 * len(told["deaths"]) + 16, (
        "rows looked at again: of the batch in hand, and the first batch"
    )

    plain = write_recipe(tmp_path / "plain" / "recipe.yaml", images, **changes)
    assert launcher.run("run", plain).code == 0
    unit = "00_raw/samples/unit-00000.parquet"
    keys = {row["id"]: row["key"][:3] for row in pq.read_table(tmp_path / "run" / unit).to_pylist()}
    tables = sorted((tmp_path / "plain" / "run" / "01_filtered" / "measures").rglob("*.parquet"))
    assert len(tables) == len(QUICK_MEASURES)
    for path in tables:
        undisturbed = pq.read_table(path).to_pylist()
        found = pq.read_table(tmp_path / path.relative_to(tmp_path / "plain")).to_pylist()
        image = path.parent.name.startswith("image")
        spared = [row for row in undisturbed if not image or keys[row["id"]] not in poison]
        assert [row for row in found if not image or keys[row["id"]] not in poison] == spared
        assert len(found) == len(undisturbed) == 160


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('return {"own": [1]}', "measure own.measure returned 1 values of 'own' for"),
        ('return {"other": [1] * len(batch)}', "measure own.measure returned columns ['other'] but declares ['own']"),
        ("return {}", "measure own.measure returned columns [] but declares ['own']"),
        ('return {"own": batch.gray}', "measure own.measure looked at `gray` but declares only: bytes"),
        ('return {"own": ["three"] * len(batch)}', "own.measure"),
        ('return {"own": [2**40] * len(batch)}', "own.measure"),
        ("return None", "own.measure"),
    ],
)
def test_a_measure_that_breaks_its_word_ends_the_run_with_a_sentence(tmp_path, planted, launcher, body, complaint):
    (tmp_path / "mine.py").write_text(PLUGIN % body)
    recipe = write_recipe(
        tmp_path / "recipe.yaml",
        planted,
        plugins=["mine.py"],
        measures=["own.measure"],
        filter=NO_HASH,
    )
    done = launcher.run("run", recipe)
    assert (done.code, done.out) == (2, ""), done.err
    assert complaint in done.err
    assert "Traceback" not in done.err
    (tmp_path / "mine.py").write_text(PLUGIN % 'return {"own": [len(x) for x in batch.bytes]}')
    assert launcher.run("run", recipe).code == 0


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import no_such_module_at_all", "mine.py does not import: ModuleNotFoundError"),
        ("def broken(:", "mine.py does not import: SyntaxError"),
        ('raise RuntimeError("not today")', "mine.py does not import: RuntimeError: not today"),
        (PLUGIN % "pass" + TWICE, "measures own.measure and own.two both write the column 'own'"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_before_anything_is_read(tmp_path, launcher, source, complaint):
    (tmp_path / "mine.py").write_text(source)
    (tmp_path / "fine.py").write_text("")
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path / "none", plugins=["fine.py", "mine.py"], measures=None)
    line = recipe.read_text().splitlines().index("- mine.py") + 1
    done = launcher.run("run", recipe)
    assert done.code == 2
    assert f"recipe.yaml:{line}: plugins[1]: {complaint}" in done.err
    assert not (tmp_path / "run").exists()


def test_a_second_process_on_the_same_run_is_told_who_has_it(tmp_path, planted, launcher):
    recipe = write(tmp_path, planted)
    first = launcher.start("run", recipe)  # it hangs on one image: long enough
    while not (tmp_path / "run" / "recipe.lock.yaml").is_file():
        assert not first.ended()
    second = launcher.run("run", recipe)
    assert second.code == 2
    assert f"process {first.pid} is working in this run" in second.err
    status = launcher.run("status", tmp_path / "run")
    assert (status.code, "working now" in status.out) == (0, True), status.err
    first.kill()
    first.wait()
    assert "nobody is working in it" in launcher.run("status", tmp_path / "run").out
