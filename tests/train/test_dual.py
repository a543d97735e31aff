"""The two towers as one module: its loss is InfoNCE, it learns, it says what it cannot take. Needs torch."""

# pyright: reportMissingImports=false

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'sluice[train]'")

from sluice.errors import MissingExtraError, RunError  # noqa: E402 - after the check for torch
from sluice.load.decode import Pair  # noqa: E402
from sluice.models.hashed_words import tokens  # noqa: E402
from sluice.models.load import builtin_folder  # noqa: E402
from sluice.train.batches import normalised  # noqa: E402
from sluice.train.dual import DualEncoder  # noqa: E402
from sluice.train.encoder import info_nce  # noqa: E402


def pairs(count: int) -> list[Pair]:
    """Squares of one colour each, and captions that name it."""
    names = ("red", "green", "blue")
    squares = [np.full((96, 96, 3), 40, np.uint8) for _ in range(count)]
    for at, square in enumerate(squares):
        square[:, :, at % 3] = 100 + at // 3 * 50
    return [Pair(square, f"{names[at % 3]} {at // 3}") for at, square in enumerate(squares)]


@pytest.mark.parametrize("each", [1, 3])
def test_the_loss_is_the_log_likelihood_of_the_true_pairs(each: int) -> None:
    drawn = np.random.default_rng(1)
    cosines, scale = drawn.uniform(-1, 1, (5, 5 * each)), 7.0
    of_pictures = np.exp(scale * cosines) / np.exp(scale * cosines).sum(1, keepdims=True)
    true = np.exp(scale * cosines[:, ::each])
    of_captions = true / true.sum(0, keepdims=True)
    at = np.arange(5)
    expected = -np.log(of_pictures[at, at * each]).mean() - np.log(of_captions[at, at]).mean()
    assert float(info_nce(torch.from_numpy(cosines), torch.tensor(scale))) == pytest.approx(expected)


def test_it_learns_which_caption_belongs_to_which_picture() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # two that share busy cores wait for each other
    model = DualEncoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses: list[float] = []
    for _ in range(12):
        loss = model.loss(pairs(6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_built_in_one_says_what_the_package_s_encoder_says() -> None:
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name, reason=f"needs {name}: pip install 'sluice[train]'")
    from sluice.train.score import Towers

    model, towers = DualEncoder.builtin(), Towers(builtin_folder())
    squares = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), dtype=np.uint8)
    texts = ["a red ball", "两朵黄色的花在草地上", "Ein Würfel links von drei Sternen"]
    with torch.no_grad():
        seen, said = model(torch.from_numpy(normalised(squares)), torch.from_numpy(tokens(texts, model.recipe.words)))
    assert np.abs(towers.images(list(squares)) - seen.numpy()).max() < 1e-4
    assert np.abs(towers.texts(texts) - said.numpy()).max() < 1e-4


def test_what_has_no_caption_or_was_bad_is_left_out_and_a_wrong_batch_is_told() -> None:
    torch.manual_seed(0)
    model, bare = DualEncoder().eval(), Pair(np.zeros((96, 96, 3), np.uint8), None)
    with torch.no_grad():
        assert float(model.loss([None, *pairs(3), bare])) == float(model.loss(pairs(3)))
    for wrong in ([], [None], [bare]):
        with pytest.raises(RunError, match="without any image that has a caption"):
            model.loss(wrong)
    with pytest.raises(RunError, match=r"decode=Pixels\(96, 'pad'\)"):
        model.loss([Pair(np.zeros((64, 64, 3), np.uint8), "a ball")])


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dual", "encoder", "towers"):
        monkeypatch.delitem(sys.modules, f"sluice.train.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sluice\[train\]'"):
        importlib.import_module("sluice.train.dual")
