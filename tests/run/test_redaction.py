"""Boxes covered while packing: those bytes alone change, and the run tells which, why, and what was there before."""

import hashlib
import io
import json
import random
import shutil
import signal
import tarfile
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import sluice
from sluice.errors import RecipeError
from sluice.pack.verify import verify
from sluice.run.gate.gating import gate
from sluice.run.ledger import Run
from sluice.run.retrying import forget
from sluice.run.takedown_command import Request, take_down
from sluice.run.verifying import verify_run
from support.classifier import Service
from support.commands import events, wait_for
from support.corpus import encoded, picture
from support.folders import differing, tree_digest
from support.recipes import QUICK_MEASURES, write_recipe

FIELD = {"type": "field", "field": "faces"}
PLUGIN = """
from sluice.models.detector import detector

@detector("test.corner", version=1)
def corner(images, *, share=0.25):
    return [[(0, 0, image.shape[1] * share, image.shape[0] * share)] for image in images]
"""


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Images: with a face, with none, of which nobody says anything, with a box that is none, and one of a GIF."""
    folder = tmp_path_factory.mktemp("album")
    faces = {"a.jpg": [[10, 20, 60, 80]], "b.png": [[5, 5, 40, 50], [70, 10, 120, 60]], "c.jpg": [], "d.jpg": None}
    faces |= {"e.jpg": [[1, 2, 3]], "f.gif": [[5, 5, 40, 50]]}
    lines = []
    for number, (name, boxes) in enumerate(faces.items()):
        form = {"jpg": "JPEG", "png": "PNG", "gif": "GIF"}[name[2:]]
        (folder / name).write_bytes(encoded(picture(number), form))
        told = {"path": name, "caption": f"a picture number {number} of things"}
        lines.append(told if boxes is None else {**told, "faces": boxes})
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def recipe_over(folder, album, redact, **changes):
    source = {"type": "table", "path": str(album / "list.jsonl"), "name": "album"}
    fields = {"sources": [source], "unit": 4, "filter": {}, "measures": list(QUICK_MEASURES), "split": {"train": 1}}
    fields["pack"] = [{"format": "webdataset", "shard_samples": 2}, {"format": "parquet", "shard_samples": 2}]
    fields["gate"] = {"max_pii": None, "safety": {}}
    return write_recipe(folder / "recipe.yaml", album, **{**fields, "redact": redact, **changes})


def packed_images(run, album):
    """Bytes of each packed image, by key, from the tar shards; those of the Parquet shards are the same."""
    found = {}
    for path in sorted(run.layout.final.glob("webdataset/*/*.tar")):
        with tarfile.open(path) as tar:
            data = {member.name: tar.extractfile(member).read() for member in tar}
        for name, held in data.items():
            if name.endswith(".json"):
                document = json.loads(held)
                found[document["key"]] = data[document["images"][0]["file"]]
    originals = {hashlib.sha256(path.read_bytes()).hexdigest() for path in album.iterdir()}
    for path in run.layout.final.glob("parquet/*/*.parquet"):
        for row in pq.read_table(path).to_pylist():
            assert row["image"]["bytes"] == found[row["key"]]
            assert (row["sha256_before"] is None) == (row["sha256"] in originals)
    return found


def test_boxes_of_the_source_are_covered_and_nothing_else_is_touched(tmp_path, album, inline):
    run = sluice.run(recipe_over(tmp_path, album, {"boxes": FIELD}))
    packed = packed_images(run, album)
    assert packed.keys() == {"a.jpg", "b.png", "c.jpg"}
    assert packed["c.jpg"] == (album / "c.jpg").read_bytes()
    before, now = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        for data in ((album / "b.png").read_bytes(), packed["b.png"])
    )
    assert (
        before.shape == now.shape
        and (before[70:, :] == now[70:, :]).all()
        and (before[10:40, 10:35] != now[10:40, 10:35]).any()
    )
    rows = {run.why(row["id"]).key: row for row in pq.read_table(run.layout.redactions).to_pylist()}
    assert rows.keys() == {"a.jpg", "b.png"}
    for key, row in rows.items():
        assert row["sha256_before"] == hashlib.sha256((album / key).read_bytes()).hexdigest()
        assert row["sha256"] == hashlib.sha256(packed[key]).hexdigest()
    manifest = {row["key"]: row["sha256"] for row in pq.read_table(run.layout.manifest).to_pylist()}
    assert manifest["a.jpg"] == rows["a.jpg"]["sha256"]
    assert verify_run(run.layout).fine and "redactions.parquet" in (run.layout.final / "SHA256SUMS").read_text()


def test_what_cannot_be_covered_fails_and_what_nobody_knows_of_is_held(tmp_path, album, inline):
    run = sluice.run(recipe_over(tmp_path, album, {"boxes": FIELD}))
    verdicts = {run.why(row["id"]).key: row for row in pq.read_table(run.layout.verdicts("04_final")).to_pylist()}
    assert verdicts["d.jpg"]["verdict"] == "held" and verdicts["d.jpg"]["rules"] == ["redact"]
    assert verdicts["e.jpg"]["verdict"] == verdicts["f.gif"]["verdict"] == "failed"
    assert "no box of four numbers" in str(run.why("e.jpg")) and "GIF cannot be redacted" in str(run.why("f.gif"))
    run = sluice.run(recipe_over(tmp_path, album, {"boxes": FIELD, "null": "pass", "method": "fill"}))
    packed = packed_images(run, album)
    assert packed["d.jpg"] == (album / "d.jpg").read_bytes()
    inside = np.asarray(Image.open(io.BytesIO(packed["b.png"])).convert("RGB"))[10:45, 10:35]
    assert inside.std(axis=(0, 1)).max() < 1


def test_the_run_tells_of_it(tmp_path, album, inline):
    run = sluice.run(recipe_over(tmp_path, album, {"boxes": FIELD}))
    story = str(run.why("b.png"))
    assert "item 0 was written anew: 2 boxes covered (blur), found by boxes.faces@" in story and "before," in story
    checks = {check.check: check for check in gate(run).checks}
    assert checks["redaction"].value.startswith("2 samples") and checks["checksums"].state == "go"
    card = (run.layout.final / "DATASET_CARD.md").read_text()
    assert "In 2 images parts were covered" in card and "byte for byte" in card
    assert not verify(run.layout.final).problems
    path = run.layout.redactions
    pq.write_table(pq.read_table(path).slice(1), path)
    assert any("has boxes to cover" in problem for problem in verify_run(run.layout).problems)
    assert {c.check: c for c in gate(run, fast=True).checks}["redaction"].state == "no-go"


def test_a_takedown_keeps_what_is_covered_and_forgets_where_the_faces_were(tmp_path, album, inline):

    run = sluice.run(recipe_over(tmp_path, album, {"boxes": FIELD}))
    before = packed_images(run, album)
    gone = run.why("a.jpg").id
    (tmp_path / "hashes.txt").write_text(hashlib.sha256(before["a.jpg"]).hexdigest() + "\n")  # as it was packed
    assert take_down(run, Request(hash=tmp_path / "hashes.txt")).matched == 1
    run = Run.open(run.layout.root)
    assert packed_images(run, album) == {key: data for key, data in before.items() if key != "a.jpg"}
    assert [row["sha256"] for row in pq.read_table(run.layout.redactions).to_pylist()] == [
        hashlib.sha256(before["b.png"]).hexdigest()
    ]
    assert verify_run(run.layout).fine
    boxes = [row for path in run.layout.root.glob("boxes/*/*") for row in pq.read_table(path).to_pylist()]
    assert next(row for row in boxes if row["id"] == gone)["boxes"] is None


def test_a_plugin_sees_pixels_and_its_boxes_are_of_the_image_itself(tmp_path, album, inline):
    (tmp_path / "corner.py").write_text(PLUGIN)
    redact = {"boxes": {"type": "plugin", "function": "test.corner", "params": {"share": 0.5}, "max_side": 64}}
    run = sluice.run(recipe_over(tmp_path, album, redact, plugins=["corner.py"]))
    rows = pq.read_table(run.layout.redactions).to_pylist()
    assert len(rows) == 5
    for row in rows:
        image = Image.open(album / run.why(row["id"]).key)
        assert row["boxes"] == [pytest.approx([0, 0, image.width / 2, image.height / 2], abs=0.01)]
    assert "detector test.corner" in {c.check: c for c in gate(run, fast=True).checks}["models"].details
    wrong = recipe_over(tmp_path, album, {"boxes": {"type": "plugin", "function": "test.comer"}}, plugins=["corner.py"])
    with pytest.raises(RecipeError, match=r"did you mean test\.corner"):
        sluice.run(wrong)


def test_a_service_that_fails_costs_the_sample_until_it_is_tried_again(tmp_path, album, inline):
    service = Service()
    found = lambda body: (200, {"results": [{"boxes": [[4, 4, 30, 30]]}]})  # noqa: E731
    service.script = [lambda body: (400, {"error": {"message": "no"}}), *[found] * 20]
    redact = {"boxes": {"type": "http", "url": service.url, "model": "m", "revision": "1"}}
    path = recipe_over(tmp_path, album, redact)
    run = sluice.run(path)
    failed = [row for row in pq.read_table(run.layout.verdicts("04_final")).to_pylist() if row["verdict"] == "failed"]
    assert {row["rules"][0] for row in failed} == {"api", "decode"}, "one was refused, the GIF cannot be covered"
    assert len(service.requests) == 6
    assert forget(run, "api").anything
    run = sluice.run(path)
    assert len(packed_images(run, album)) == 5 and verify_run(run.layout).fine
    service.close()


def test_without_the_section_nothing_changes(tmp_path, album, inline):
    run = sluice.run(recipe_over(tmp_path, album, {"boxes": FIELD}))
    run = sluice.run(recipe_over(tmp_path, album, None))
    assert not run.layout.redactions.exists() and verify_run(run.layout).fine
    again = sluice.run(recipe_over(tmp_path / "plain", album, None))
    assert differing(tree_digest(run.layout.final), tree_digest(again.layout.final)) == []


def test_two_workers_and_a_killed_run_give_the_same_bytes(tmp_path, album, inline, launcher):
    (tmp_path / "corner.py").write_text(PLUGIN)
    redact = {"boxes": {"type": "plugin", "function": "test.corner"}}
    plain = sluice.run(recipe_over(tmp_path, album, redact, plugins=["corner.py"])).layout.root
    shutil.copytree(tmp_path / "run", tmp_path / "undisturbed")
    path = recipe_over(tmp_path, album, redact, plugins=["corner.py"], engine={"workers": 2})
    told = [event["event"] for event in events(plain)]
    shutil.rmtree(tmp_path / "run")
    command = launcher.start("run", path)
    wait_for(command, tmp_path / "run", told.index("packing"))
    time.sleep(random.Random(0).random() * 0.05)
    command.kill(signal.SIGKILL)
    command.wait()
    assert launcher.run("run", path).code == 0
    ignored = ("recipe.lock.yaml", "report.html")
    assert differing(tree_digest(tmp_path / "undisturbed", ignored), tree_digest(tmp_path / "run", ignored)) == []
