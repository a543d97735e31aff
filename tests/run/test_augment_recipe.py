"""`augment` in a recipe: the pack holds the steps and the boxes, and the loader draws by them; no shard is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sluice
from sluice.errors import RecipeError
from sluice.pack.manifest import AUGMENT_FILE
from sluice.pack.verify import verify
from sluice.run.recipe import load_recipe
from support.folders import tree_digest
from support.recipes import write_recipe

PLUGIN = """
import json
import pyarrow as pa
import sluice

@sluice.measure("my.boxes", version=1, reads=sluice.sample(), writes={"boxes": pa.string()})
def boxes(batch):
    return {"boxes": [json.dumps(json.loads(meta or "{}").get("boxes")) for meta in batch.field("meta")]}
"""
STEPS = [{"type": "random_resized_crop", "size": 48}, {"type": "flip", "share": 0.5, "when_text": "rewrite"}]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Six pictures of a white square on noise, listed with the box of it, which a caption calls left or right."""
    folder = tmp_path / "album"
    folder.mkdir()
    lines = []
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 120, (80, 120, 3), dtype=np.uint8)
        left = 10 if number % 2 else 80
        pixels[20:50, left : left + 30] = 255
        Image.fromarray(pixels).save(folder / f"{number}.png")
        box = {"bbox": [left, 20, left + 30, 50], "label": "square", "relevant": True}
        caption = f"A white square on the {'left' if number % 2 else 'right'}."
        lines.append({"path": f"{number}.png", "caption": caption, "language": "en", "boxes": [box]})
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def carried_out(folder: Path, album: Path, **changes: Any) -> Any:
    (folder / "boxes.py").write_text(PLUGIN)
    fields: dict[str, Any] = {
        "sources": [{"type": "table", "path": str(album / "list.jsonl"), "name": "album"}],
        "plugins": ["boxes.py"],
        "measures": ["image.header", "my.boxes"],
        "filter": {"duplicates": {"near": None, "boilerplate": None}},
        "split": {"train": 1},
        "pack": [{"format": name, "columns": ["boxes"], "shard_samples": 4} for name in ("webdataset", "parquet")],
        "augment": STEPS,
    }
    return sluice.run(write_recipe(folder / "recipe.yaml", album, **{**fields, **changes}))


def test_a_recipe_declares_steps_and_the_loader_draws_by_what_the_pack_holds(
    tmp_path: Path, album: Path, inline: Any
) -> None:
    run = carried_out(tmp_path, album)
    final = run.layout.final
    assert AUGMENT_FILE in (final / "SHA256SUMS").read_text()
    assert verify(final).whole
    drawn: dict[str, list[Any]] = {}
    for format in ("webdataset", "parquet"):
        loader = sluice.Loader(run.layout.root, 2, seed=1, format=format, augment="recipe")
        drawn[format] = [value for _ in range(3) for batch in loader for value in batch.values]
    for one, other in zip(drawn["webdataset"], drawn["parquet"], strict=True):
        assert one.boxes.tolist() == other.boxes.tolist() and (one.pixels == other.pixels).all()
        assert one.texts == other.texts
    for one in drawn["webdataset"]:
        assert one.labels == ("square",) and one.seen[0] == pytest.approx(1)
        columns = np.flatnonzero((one.pixels.min(axis=2) > 200).any(axis=0))
        assert abs(columns[0] - one.boxes[0, 0]) < 2.5 and abs(columns[-1] + 1 - one.boxes[0, 2]) < 2.5
    captions = {(one.id, one.caption) for one in drawn["webdataset"]}
    turned = len(captions) - len({id for id, _ in captions})
    assert turned > 0  # some were seen both ways, each with the caption for it


def test_other_steps_touch_no_shard_and_none_leave_no_file(tmp_path: Path, album: Path, inline: Any) -> None:
    final = carried_out(tmp_path, album).layout.final
    state = sluice.Loader(final, 2).state_dict()
    before = tree_digest(final)
    carried_out(tmp_path, album, augment=[{"type": "flip"}])
    after = tree_digest(final)
    assert {name for name in before if before[name] != after.get(name)} >= {AUGMENT_FILE, "SHA256SUMS"}
    assert [name for name in before if "shard-" in name and before[name] != after[name]] == []
    sluice.Loader(final, 2).load_state_dict(state)  # the order is the same
    (final / AUGMENT_FILE).write_text("[]")
    assert [problem.shard for problem in verify(final).problems] == [AUGMENT_FILE]
    carried_out(tmp_path, album, augment=[])
    assert not (final / AUGMENT_FILE).exists() and verify(final).whole


def test_a_wrong_step_is_said_with_its_line(tmp_path: Path, album: Path) -> None:
    path = write_recipe(tmp_path / "recipe.yaml", album, augment=[{"type": "flip", "shar": 1}])
    with pytest.raises(RecipeError, match=r"recipe.yaml:\d+: augment\[0\].shar: there is no such field"):
        load_recipe(path)
