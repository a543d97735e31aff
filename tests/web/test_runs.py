"""A whole run over the web: from a list to shards, the failures of a class fetched again, a sample taken down."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sluice.run.conductor import run
from sluice.run.ledger import Run
from sluice.run.recipe import load_recipe
from sluice.run.retrying import forget
from sluice.run.takedown import record
from support.bad_web import jpeg
from support.folders import differing, tree_digest

RECIPE = {
    "unit": 4,
    "measures": ["image.header", "image.content_hash", "rights.optout"],
    "filter": {"reject": {"tiny": "min_side < 8"}, "duplicates": {"near": None}},
    "pack": [{"format": "webdataset", "shard_samples": 8}],
}


def packed(folder: Path) -> set[str]:
    return set(pq.read_table(folder / "04_final/manifest.parquet", columns=["sha256"]).column("sha256").to_pylist())


def sha(number: int) -> str:
    return hashlib.sha256(jpeg(number)).hexdigest()


def test_from_a_list_to_shards_and_again_what_failed_of_a_class(web, fetching):
    work = fetching(tries=1, recipe=RECIPE)
    web.broken |= {"/ok/3.jpg"}
    paths = [*(f"/ok/{number}.jpg" for number in range(8)), "/status/404", "/noai-other/9.jpg"]
    recipe = work.write([web.url(path) for path in paths])
    folder = run(load_recipe(recipe))
    assert packed(folder) == {sha(number) for number in (0, 1, 2, 4, 5, 6, 7, 9)}
    robots = pq.read_table(folder / "01_filtered/rows.parquet", columns=["robots"]).column("robots").to_pylist()
    assert [said for said in robots if said] == ["otherbot:noai"]
    before = tree_digest(folder)
    web.asked.clear()
    run(load_recipe(recipe))
    assert web.asked == [] and differing(before, tree_digest(folder)) == []

    forgotten = forget(Run.open(folder), "http_5xx")
    assert forgotten.failures["00_raw"] == 1
    web.broken.clear()
    run(load_recipe(recipe), again=True)
    assert web.paths() == ["/ok/3.jpg"]
    assert packed(folder) == {sha(number) for number in (*range(8), 9)}


def test_what_is_taken_down_leaves_the_stores_and_is_not_fetched_again(web, fetching):
    work = fetching(recipe=RECIPE)
    urls = [web.url(f"/ok/{number}.jpg") for number in range(5)]
    folder = run(load_recipe(work.write(urls)))
    samples = pq.read_table(folder / "00_raw/samples").to_pylist()
    [gone] = [sample["id"] for sample in samples if sample["source_url"] == urls[2]]
    record(work.layout, {gone: "url"})
    stored = b"".join(tar.read_bytes() for tar in work.stores.glob("*.tar"))
    assert jpeg(2) not in stored and all(jpeg(number) in stored for number in (0, 1, 3, 4))
    for path in work.layout.fetched.rglob("*.parquet"):
        assert urls[2] not in str(pq.read_table(path).to_pylist())
    web.asked.clear()
    run(load_recipe(work.write_recipe()))
    assert web.asked == [], "the same list is fetched"
    assert packed(folder) == {sha(number) for number in (0, 1, 3, 4)}
    rows = work.of(*reversed(urls))
    assert web.paths() == [] and [row["failure_class"] for row in rows] == [None, None, "optout", None, None]


def test_bytes_that_another_sample_points_to_stay(web, fetching):
    work = fetching(recipe=RECIPE)
    work.write([web.url("/same/1.jpg"), web.url("/same/2.jpg")])
    work.ingest()
    first, second = (sample["id"] for sample in pq.read_table(work.layout.root / "00_raw/samples").to_pylist())
    record(work.layout, {first: "id"})
    assert jpeg(0) in next(work.stores.glob("*.tar")).read_bytes()
    record(work.layout, {second: "id"})
    assert jpeg(0) not in next(work.stores.glob("*.tar")).read_bytes()


@pytest.mark.parametrize("listed", ["list.csv", "*.csv"])
def test_two_sources_of_one_name_are_told_apart_before_anything_is_fetched(web, fetching, listed):
    from sluice.errors import RecipeError

    work = fetching(source={"name": "list"}, recipe=RECIPE)
    path = work.write([web.url("/ok/1.jpg")])
    text = path.read_text().replace("sources:\n", f"sources:\n- {{type: urls, path: '{listed}', name: list}}\n")
    path.write_text(text)
    with pytest.raises(RecipeError, match="two sources of URLs are called 'list'"):
        run(load_recipe(path))
    assert web.asked == []
