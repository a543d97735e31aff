"""Semantic duplicates as a step of 03_quality_checked, over vectors from files: found, told, decided again, resumed."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sluice
from sluice.run.embedding import UnitVectors
from support.commands import cli
from support.corpus import encoded, picture
from support.folders import differing, tree_digest
from support.recipes import write_recipe

STAGE = "03_quality_checked"
SAMPLES, DIM = 40, 24
TEXT = {"n": 4, "jaccard": 0.7}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """40 images with vectors around eight directions: sample n is of direction n % 8, the later the farther off."""
    folder = tmp_path_factory.mktemp("semantic")
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((8, DIM))
    lines, rows = [], []
    for n in range(SAMPLES):
        (folder / f"{n:02d}.jpg").write_bytes(encoded(picture(30 * n), quality=90))
        lines.append(json.dumps({"image": f"{n:02d}.jpg", "captions": [f"caption number {n * n} of a picture {n}"]}))
        image = directions[n % 8] + 0.01 * (n // 8) * rng.standard_normal(DIM)
        rows.append({"name": f"{n:02d}.jpg", "image": image.tolist(), "text": rng.standard_normal(DIM).tolist()})
    (folder / "captions.jsonl").write_text("\n".join(lines))
    kind = pa.list_(pa.float32(), DIM)
    schema = pa.schema([("name", pa.string()), ("image", kind), ("text", kind)])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "vectors.parquet")
    return folder


def recipe_over(path, source, duplicates, reject=None, **changes):
    encoder = {"type": "precomputed", "name": "directions", "path": str(source / "vectors.parquet"), "key": "name"}
    encoder |= {"by": "key", "image": "image", "text": "text"}
    fields = {
        "sources": [{"type": "table", "path": str(source / "captions.jsonl"), "name": "pairs"}],
        "unit": 7,
        "filter": {"reject": {}, "duplicates": {"boilerplate": None, "near": None}},
        "quality": {"encoder": encoder, "reject": reject or {}, "duplicates": duplicates},
        "split": {"train": 1.0},
        **changes,
    }
    return write_recipe(path, source, **fields)


def verdicts_of(run):
    return pq.read_table(run.layout.verdicts(STAGE)).to_pylist()


def stored(run, of="image"):
    """By place among the samples, their vectors as they are stored, in double precision, of length 1."""
    rows = pq.read_table(run.layout.rows_of(STAGE))
    store = json.loads(run.layout.stage_file(STAGE).read_text())["encoder"]["store"]
    found = []
    for unit in sorted(set(rows.column("unit").to_pylist())):
        mine = rows.filter(pa.compute.equal(rows.column("unit"), unit))
        found.append(UnitVectors(run.layout, store, unit).of(mine.column("id"), mine.column(f"{of}_item")))
    vectors = np.concatenate(found).astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_of_samples_with_nearly_the_same_vector_the_best_is_kept(tmp_path, source, inline):
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", source, {"cosine": 0.99, "keep": "characters desc, key"}))
    vectors, rows = stored(run), verdicts_of(run)
    ids = [row["id"] for row in rows]
    table = pq.read_table(run.layout.rows_of(STAGE)).to_pylist()
    best_first = sorted(range(SAMPLES), key=lambda n: (-table[n]["characters"], table[n]["key"]))
    kept, keeper = [], {}
    for n in best_first:
        by = next((other for other in kept if vectors[n] @ vectors[other] >= 0.99), None)
        if by is None:
            kept.append(n)
        else:
            keeper[n] = by
    assert 8 <= len(kept) < 30
    assert {n for n, row in enumerate(rows) if row["verdict"] == "kept"} == set(kept)
    for n, by in keeper.items():
        assert rows[n]["rules"] == ["semantic_duplicate"]
        said = json.loads(rows[n]["reasons"][0]["values"])
        assert said["keeper"] == ids[by]
        assert said["similarity"] == pytest.approx(vectors[n] @ vectors[by], abs=2e-4)
    record = json.loads(run.layout.stage_file(STAGE).read_text())
    assert record["rules"]["semantic_duplicate"] == {"samples": len(keeper), "alone": len(keeper)}
    assert record["alike"]["members"] == len(keeper)
    n = next(iter(keeper))
    told = str(run.why(ids[n]))
    assert "semantic_duplicate (item 0): rejected: alike 0.99" in told
    assert f"to {ids[keeper[n]]}, which was kept" in told
    assert not list(run.layout.root.rglob("*.partial"))


def test_what_if_knows_semantic_duplicates_without_comparing_again(tmp_path, source, inline):
    asked = {"cosine": 0.99, "keep": "key"}
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", source, asked))
    foretold = run.what_if(["first: alignment < 0 AND key < '10'"]).after
    again = recipe_over(tmp_path / "again.yaml", source, asked, {"first": "alignment < 0 AND key < '10'"}, run="again")
    verdicts = [row["verdict"] for row in verdicts_of(sluice.run(again))]
    assert foretold == {name: verdicts.count(name) for name in ("kept", "rejected", "held", "failed")}


def test_the_partitions_change_nothing(tmp_path, source, inline):
    found = [
        verdicts_of(sluice.run(recipe_over(tmp_path / name / "recipe.yaml", source, {"cosine": 0.98, **more})))
        for name, more in (("one", {}), ("two", {"partitions": 5}))
    ]
    assert found[0] == found[1]


def test_texts_can_be_compared_by_their_vectors(tmp_path, source, inline):
    run = sluice.run(recipe_over(tmp_path / "recipe.yaml", source, {"of": "text", "cosine": 0.5, "keep": "key"}))
    vectors = stored(run, "text")
    near = np.triu(vectors @ vectors.T >= 0.5, 1)
    gone = sum(row["rules"] == ["semantic_duplicate"] for row in verdicts_of(run))
    assert near.any() and gone > 0
    kept = [n for n, row in enumerate(verdicts_of(run)) if row["verdict"] == "kept"]
    assert not near[np.ix_(kept, kept)].any(), "no two that are kept are alike"


def test_what_cannot_be_compared_is_told_before_anything_is_read(tmp_path, source):
    path = recipe_over(tmp_path / "recipe.yaml", source, {"cosine": 1.2})
    assert "quality.duplicates.cosine" in cli("run", path).err
    path = recipe_over(tmp_path / "recipe.yaml", source, {"keep": "sharpnes desc"})
    assert "quality.duplicates.keep" in cli("run", path).err
    path = recipe_over(tmp_path / "recipe.yaml", source, {})
    path.write_text(path.read_text().replace("    image: image\n", ""))
    said = cli("run", path).err
    assert "quality.duplicates.of: the encoder's files hold no vectors of images" in said
    assert not (tmp_path / "run" / "00_raw").exists()


def test_killed_at_any_step_it_ends_in_the_same_bytes(tmp_path, source, launcher):
    filters = {"reject": {}, "duplicates": {"boilerplate": None, "near": None, "text": TEXT}}
    path = recipe_over(tmp_path / "recipe.yaml", source, {"cosine": 0.99}, unit=20, filter=filters)
    run = tmp_path / "run"
    assert launcher.run("run", path, inline=True).code == 0
    undisturbed = tree_digest(run)
    shutil.rmtree(run)
    crashes = 0
    while (ended := launcher.run("run", path, inline=True, crash_at=9)).code == -9:
        crashes += 1
        assert crashes < 100, "no progress: what one run commits the next does again"
    assert ended.code == 0, ended.err
    assert crashes > 4
    assert differing(undisturbed, tree_digest(run)) == []
    assert not list(run.rglob("*.partial"))
