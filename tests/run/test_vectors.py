"""03_quality_checked with vectors that are no model's of this machine: looked up in files, or asked of a service."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import sluice
from sluice.media.decode import decode
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.models.config import BuiltinConfig, PrecomputedConfig
from sluice.models.load import load_encoder
from sluice.models.precomputed import Precomputed
from sluice.run.conductor import run
from sluice.run.looking_up import looked_up
from sluice.run.recipe import load_recipe
from sluice.synth.generate import generate
from support.commands import cli
from support.embedding_api import EmbeddingApi, served
from support.recipes import RULES, write_recipe

STAGE = "03_quality_checked"
DIM = 256


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Nine samples of the drawn world, some with several captions."""
    home = tmp_path_factory.mktemp("vectors")
    folder = generate(tmp_path_factory.mktemp("drawn") / "world", 30, 11).folder
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text().split("\n") if line]
    truth = {row["key"]: row["defect"] for row in pq.read_table(folder / "truth.parquet").to_pylist()}
    lines = [line for line in lines if truth[line["path"]] is None][:9]
    assert {len(line["captions"]) > 1 for line in lines} == {True, False}
    for number, line in enumerate(lines):
        line |= {"uid": 1000 + number, "source_url": f"https://photos.example/{number}"}
        (home / line["path"]).parent.mkdir(exist_ok=True)
        shutil.copy(folder / line["path"], home / line["path"])
    (home / "few.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return home, lines


def recipe_over(home, world, encoder, **changes):
    source = {"type": "table", "path": str(world[0] / "few.jsonl"), "name": "world"}
    quality = {"encoder": encoder, "reject": {"misaligned": "alignment < 0.515"}}
    fields = {
        "sources": [source],
        "unit": 4,
        "filter": {"reject": {"tiny": RULES["tiny"]}},
        "pack": [{"format": "webdataset"}],
    }
    return write_recipe(home / "recipe.yaml", world[0], **{**fields, "quality": quality, **changes})


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(BuiltinConfig(type="builtin"))


@pytest.fixture(scope="module")
def by_model(tmp_path_factory, world):
    """The rows of a run in which the built-in encoder looks: what every other run is to come to."""
    path = recipe_over(tmp_path_factory.mktemp("model"), world, {"type": "builtin"})
    assert cli("run", path).code == 0
    return rows_of(path.parent / "run")


def rows_of(folder):
    rows = pq.read_table(folder / STAGE / "rows.parquet").to_pylist()
    return {(row["key"], row["text"]): row for row in rows}


NAMES = {
    "key": lambda line: line["path"],
    "file": lambda line: line["path"].rpartition("/")[2],
    "url": lambda line: line["source_url"],
    "meta.uid": lambda line: line["uid"],
    "id": lambda line: sluice.table.ids.sample_id("world", line["path"]),
}


def write_vectors(folder, world, encoder, by="key", without=()):
    """A row a key: the image's vector under the sample's name, those of several texts under `name#item`."""
    rows = []
    for line in world[1]:
        if line["path"] in without:
            continue
        name = str(NAMES[by](line))
        data = (world[0] / line["path"]).read_bytes()
        image = encoder.encode_images([decode(data, read_header(data, Limits()), None, "rgb", Limits())])[0]
        texts = encoder.encode_texts(line["captions"])
        if len(texts) == 1:
            rows.append({"name": name, "image": image, "text": texts[0]})
        else:
            rows.append({"name": name, "image": image, "text": None})
            rows += [{"name": f"{name}#{at}", "image": None, "text": text} for at, text in enumerate(texts, 1)]
    kind = pa.list_(pa.float32(), DIM)
    schema = pa.schema([("name", pa.string()), ("image", kind), ("text", kind)])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "vectors.parquet", row_group_size=5)


def precomputed(by="key", **changes):
    where = {"path": "vectors*.parquet", "key": "name", "by": by, "image": "image", "text": "text"}
    return {"type": "precomputed", "name": "the built-in one", **where, **changes}


@pytest.mark.parametrize("by", NAMES)
def test_vectors_from_files_give_the_rows_that_their_model_would_give(tmp_path, world, encoder, by_model, inline, by):
    write_vectors(tmp_path, world, encoder, by)
    path = recipe_over(tmp_path, world, precomputed(by))
    if by == "key":  # in worker processes once
        done = cli("run", path)
        assert done.code == 0, done.err
    else:
        run(load_recipe(path))
    rows = rows_of(tmp_path / "run")
    assert rows.keys() == by_model.keys()
    for place, row in rows.items():
        assert row["alignment"] == pytest.approx(by_model[place]["alignment"], abs=0.02)  # of a whole decoding
    record = json.loads((tmp_path / "run" / STAGE / "stage.json").read_text())
    lock = yaml.safe_load((tmp_path / "run" / "recipe.lock.yaml").read_text())
    assert record["failed"] == 0 and record["encoder"]["hash"] == lock["vectors"]
    assert record["encoder"]["name"] == "the built-in one"


def test_a_sample_without_a_vector_fails_with_its_key_and_is_looked_up_again_once_the_files_have_it(
    tmp_path, world, encoder, inline
):
    lacking = [world[1][2]["path"], world[1][5]["path"]]
    write_vectors(tmp_path, world, encoder, without=lacking)
    path = recipe_over(tmp_path, world, precomputed())
    folder = run(load_recipe(path))
    first = json.loads((folder / STAGE / "stage.json").read_text())
    assert (first["in"], first["failed"]) == (9, 2)
    failures = pq.read_table(folder / STAGE / "failures.parquet").to_pylist()
    assert {failure["class"] for failure in failures} == {"model"}
    for key in lacking:
        sample = sluice.table.ids.sample_id("world", key)
        said = [failure["message"] for failure in failures if failure["id"] == sample]
        assert any(f"the vectors of the built-in one have none under '{key}" in one for one in said)
        assert "have none under" in str(sluice.Run.open(folder).why(sample))
    manifest = pq.read_table(folder / "04_final" / "manifest.parquet").column("key").to_pylist()
    assert not set(manifest) & set(lacking)
    write_vectors(tmp_path, world, encoder)
    run(load_recipe(path))
    second = json.loads((folder / STAGE / "stage.json").read_text())
    assert second["failed"] == 0 and second["encoder"]["hash"] != first["encoder"]["hash"]
    assert second["encoder"]["store"] != first["encoder"]["store"]


def test_a_sample_without_the_name_that_is_looked_for_fails_and_says_which(tmp_path, world, encoder, inline):
    write_vectors(tmp_path, world, encoder)
    folder = run(load_recipe(recipe_over(tmp_path, world, precomputed("meta.uuid"))))
    failures = pq.read_table(folder / STAGE / "failures.parquet").column("message").to_pylist()
    assert json.loads((folder / STAGE / "stage.json").read_text())["failed"] == 9
    assert all("its sample has no meta.uuid" in failure for failure in failures)


def test_vectors_of_images_alone_serve_where_nothing_asks_how_a_text_fits(tmp_path, world, encoder, inline):
    write_vectors(tmp_path, world, encoder)
    only = precomputed(text=None)
    with pytest.raises(sluice.RecipeError, match=r"recipe.yaml:\d+: quality.encoder: the vectors are of images only"):
        run(load_recipe(recipe_over(tmp_path, world, only)))
    folder = run(load_recipe(recipe_over(tmp_path, world, only, quality={"encoder": only})))
    rows = rows_of(folder)
    assert {row["unaligned"] for row in rows.values()} == {"nobody has computed a vector of it"}
    assert json.loads((folder / STAGE / "stage.json").read_text())["kept"] == 9


def test_files_that_are_not_there_or_not_those_that_are_meant_stop_the_run_before_it_reads_a_sample(
    tmp_path, world, encoder, inline
):
    with pytest.raises(sluice.SluiceError, match=r"vectors\*.parquet: there are no such Parquet files"):
        run(load_recipe(recipe_over(tmp_path, world, precomputed())))
    write_vectors(tmp_path, world, encoder)
    with pytest.raises(sluice.SluiceError, match=f"and {'0' * 32} was asked for"):
        run(load_recipe(recipe_over(tmp_path, world, precomputed(hash="0" * 32))))
    assert not list((tmp_path / "run" / "00_raw").glob("*"))


def test_a_service_gives_the_rows_that_the_model_behind_it_would_give(tmp_path, world, encoder, by_model, inline):
    api = EmbeddingApi(served(encoder))
    try:
        side = encoder.preprocess.width
        told = {"images": "data_url", "size": side, "fit": "pad", "interpolation": "bilinear", "fill": 128, "batch": 3}
        service = {"type": "http", "url": api.url, "model": "builtin", "revision": "1", **told}
        run(load_recipe(recipe_over(tmp_path, world, service)))
    finally:
        api.close()
    rows = rows_of(tmp_path / "run")
    assert rows.keys() == by_model.keys()
    for place, row in rows.items():
        assert row["alignment"] == pytest.approx(by_model[place]["alignment"], abs=0.02)
    assert any(str(item).startswith("data:image/") for request in api.requests for item in request["input"])
    assert json.loads((tmp_path / "run" / STAGE / "stage.json").read_text())["encoder"]["name"] == "builtin"


def test_a_generated_caption_has_no_vector_and_takes_none_of_another_text(tmp_path):
    keys = {"id": ["a", "b"], "key": ["one", "two"]}
    kind = pa.list_(pa.float32(), 2)
    vectors = {"image": pa.array([[1, 0], [0, 1]], kind), "text": pa.array([[1, 0], None], kind)}
    pq.write_table(pa.table({"name": keys["key"], **vectors}), tmp_path / "vectors.parquet")
    config = PrecomputedConfig.model_validate(precomputed(path=str(tmp_path / "vectors.parquet")))
    raw = pa.table({"id": ["a", "a", "b", "b"], "item": [0, 1, 0, 1], "kind": ["image", "text"] * 2})
    generated = pa.table({"id": ["a"], "item": [2], "kind": ["text"]})
    found = looked_up(Precomputed(config), config, pa.concat_tables([raw, generated]), pa.table(keys), raw)
    rows = {(row["id"], row["item"]): row for row in found.to_pylist()}
    assert rows.keys() == {("a", 0), ("b", 0), ("a", 1), ("b", 1)}
    assert [rows["a", 1]["vector"], rows["b", 0]["vector"]] == [[1, 0], [0, 1]]
    assert rows["b", 1]["vector"] is None and "none under 'two'" in rows["b", 1]["error"]
