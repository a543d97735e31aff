"""The training itself: it learns, it is reproducible, what it exports is what it trained. Needs torch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'sluice[train]'")
pytest.importorskip("onnx", reason="exporting needs onnx: pip install 'sluice[train]'")
ort = pytest.importorskip("onnxruntime", reason="running a model needs onnxruntime: pip install 'sluice[train]'")

from sluice.errors import RunError  # noqa: E402 - after the check for torch
from sluice.models.hashed_words import tokens  # noqa: E402
from sluice.train.batches import normalised  # noqa: E402
from sluice.train.drawn import Drawn, draw  # noqa: E402
from sluice.train.encoder import RECIPES, Recipe, Trained, in_groups, recipe, train  # noqa: E402
from sluice.train.export import export, rounded  # noqa: E402
from sluice.train.score import Towers  # noqa: E402

TINY = replace(RECIPES["builtin"], pictures=48, looking=6, steps=10, batch=12, false=2, warm=2)


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw(TINY.pictures, 3, TINY.shape.side, workers=1)


@pytest.fixture(scope="module")
def trained(drawn: Drawn) -> Trained:
    return train(TINY, 3, drawn=drawn)


def test_a_tiny_training_lowers_the_loss(trained: Trained) -> None:
    looking, both = trained.losses[: TINY.looking], trained.losses[TINY.looking :]
    assert looking[-1] < 0.8 * looking[0]
    assert np.mean(both[-3:]) < 0.9 * both[0]


def test_equal_seeds_give_equal_weights_to_the_bit(trained: Trained, drawn: Drawn) -> None:
    again = train(TINY, 3, drawn=drawn)
    assert again.losses == trained.losses
    for one, other in ((trained.image, again.image), (trained.text, again.text)):
        for name, weight in one.state_dict().items():
            assert torch.equal(weight, other.state_dict()[name]), name


def test_another_seed_gives_other_weights(trained: Trained, drawn: Drawn) -> None:
    other = train(replace(TINY, looking=1, steps=1), 4, drawn=drawn)
    assert not torch.equal(other.image.queries, trained.image.queries)


def test_the_exported_pair_says_what_torch_says_within_a_ten_thousandth(trained: Trained, tmp_path: Path) -> None:
    export(trained, tmp_path, "test")
    towers, rng = Towers(tmp_path), np.random.default_rng(0)
    squares = rng.integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    texts = ["a red ball", "两朵黄色的花在草地上", "", "Ein Würfel links von drei Sternen"]
    with torch.no_grad():
        seen = rounded(trained.image)(torch.from_numpy(normalised(squares))).numpy()
        said = rounded(trained.text)(torch.from_numpy(tokens(texts, TINY.words))).numpy()
    for ours, theirs in ((towers.images(list(squares)), seen), (towers.texts(texts), said)):
        assert np.abs(ours - theirs / np.linalg.norm(theirs, axis=1, keepdims=True)).max() < 1e-4


def test_rounding_the_weights_changes_no_cosine_by_a_hundredth(trained: Trained, drawn: Drawn) -> None:
    pixels = torch.from_numpy(normalised(drawn.pixels[:8]))
    with torch.no_grad():
        both = [
            torch.nn.functional.normalize(tower(pixels), dim=-1) for tower in (trained.image, rounded(trained.image))
        ]
    assert float((both[0] * both[1]).sum(1).min()) > 0.99


def test_exporting_twice_gives_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export(trained, tmp_path / name, "test")
    for file in ("image.onnx", "text.onnx", "encoder.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_encoder_json_says_how_to_preprocess(trained: Trained, tmp_path: Path) -> None:
    export(trained, tmp_path, "r7")
    said = json.loads((tmp_path / "encoder.json").read_text("utf-8"))
    assert (said["format"], said["revision"], said["dim"]) == ("sluice-encoder/1", "r7", TINY.shape.dim)
    assert said["preprocess"]["fit"] == "pad" and said["tokenizer"]["type"] == "hashed-words"


def test_captions_run_in_groups_are_what_they_are_alone(trained: Trained) -> None:
    texts = [
        "a ball",
        "two large red striped balls and a cone on a piece of cloth",
        "un pré",
        "草地上",
        "Bild",
        "x y z",
    ]
    ids = torch.from_numpy(tokens(texts, TINY.words))
    with torch.no_grad():
        together, alone = in_groups(trained.text, ids), torch.cat([trained.text(row[None]) for row in ids])
    assert float((together - alone).abs().max()) < 1e-4


def test_the_number_of_processes_does_not_change_the_pictures() -> None:
    one, two = draw(300, 9, 32, workers=1), draw(300, 9, 32, workers=2)
    assert (one.pixels == two.pixels).all() and one.scenes == two.scenes


def test_minutes_shorten_the_recipe_in_proportion() -> None:
    whole = RECIPES["builtin"]
    tenth = recipe("builtin", whole.minutes / 10)
    assert (tenth.steps, tenth.looking) == (round(whole.steps / 10), round(whole.looking / 10))
    assert isinstance(recipe("builtin"), Recipe)


@pytest.mark.parametrize(("name", "minutes", "says"), [("clip", None, "builtin"), ("builtin", 0, "minutes")])
def test_a_recipe_that_cannot_be_is_refused(name: str, minutes: float | None, says: str) -> None:
    with pytest.raises(RunError, match=says):
        recipe(name, minutes)
