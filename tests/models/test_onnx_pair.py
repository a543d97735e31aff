"""The folder of two towers: run by onnxruntime, checked by hash, broken in every way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.errors import SluiceError
from sluice.models.config import BuiltinConfig, OnnxConfig
from sluice.models.hashed_words import HashedWords, tokens
from sluice.models.load import load_encoder
from sluice.models.onnx_pair import OnnxPair
from sluice.models.preprocess import tensor
from support.tiny_models import TEXTS, Pixels, save_onnx_pair, word_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_onnx_pair(tmp_path_factory.mktemp("onnx") / "pair")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OnnxPair:
    return OnnxPair(folder, batch=4)


def test_vectors_are_those_of_the_towers_worked_out_by_hand(
    folder: Path, encoder: OnnxPair, photos: list[Pixels]
) -> None:
    import onnx
    from onnx import numpy_helper

    weights = {
        one.name: numpy_helper.to_array(one)
        for tower in ("image", "text")
        for one in onnx.load(folder / f"{tower}.onnx").graph.initializer
    }
    images = tensor(photos, encoder.preprocess).reshape(len(photos), -1) @ weights["weights"]
    tokenizer = word_tokenizer()
    ids = [tokenizer.encode(text).ids for text in TEXTS]
    ids = [one if len(one) <= 6 else [*one[:5], 2] for one in ids]  # of a text that is cut the end stays
    texts = np.stack([weights["table"][one + [0] * (6 - len(one))].sum(0) for one in ids])
    for ours, theirs in ((encoder.encode_images(photos), images), (encoder.encode_texts(TEXTS), texts)):
        assert np.abs(ours - theirs / np.linalg.norm(theirs, axis=1, keepdims=True)).max() < 1e-5


def test_it_says_who_it_is(encoder: OnnxPair) -> None:
    assert (encoder.identity.name, encoder.identity.languages, encoder.dim) == ("two matrices", ("en", "de"), 8)
    assert encoder.preprocess.distorts(64, 48)


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_the_size_of_a_batch_does_not_matter(batch: int, folder: Path, encoder: OnnxPair, photos: list[Pixels]) -> None:
    other = OnnxPair(folder, batch=batch, threads=2)
    assert np.abs(other.encode_images(photos) - encoder.encode_images(photos)).max() < 1e-6
    assert np.abs(other.encode_texts(TEXTS) - encoder.encode_texts(TEXTS)).max() < 1e-6
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 8)


def test_a_session_has_as_many_threads_as_asked(folder: Path) -> None:
    one = OnnxPair(folder, threads=3)
    assert one._image.get_session_options().intra_op_num_threads == 3  # type: ignore[attr-defined]


def test_every_file_counts_for_the_hash_and_documents_do_not(folder: Path, encoder: OnnxPair, tmp_path: Path) -> None:
    for name in ("image.onnx", "text.onnx", "tokenizer.json", "encoder.json"):
        copy = shutil.copytree(folder, tmp_path / name)
        if name.endswith(".onnx"):
            import onnx

            model = onnx.load(copy / name)
            weights = max(model.graph.initializer, key=lambda one: len(one.raw_data))
            weights.raw_data = weights.raw_data[:-1] + bytes([weights.raw_data[-1] ^ 1])
            onnx.save(model, copy / name)
        else:
            (copy / name).write_text((copy / name).read_text() + "\n")
        assert OnnxPair(copy).identity.hash != encoder.identity.hash, name
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "CARD.md").write_text("what it was trained on")
    assert OnnxPair(copy, hash=encoder.identity.hash).identity.hash == encoder.identity.hash


def test_a_model_with_another_hash_is_not_even_loaded(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    right = OnnxPair(copy).identity.hash
    (copy / "image.onnx").write_bytes(b"hostile")
    config = OnnxConfig(type="onnx", path=str(copy), hash=right)
    with pytest.raises(SluiceError, match=f"and {right} was asked for"):
        load_encoder(config)


def _edit(**changes: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        fields = json.loads((folder / "encoder.json").read_text())
        (folder / "encoder.json").write_text(json.dumps({**fields, **changes}))

    return edit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "encoder.json").unlink(), "is no model folder: it has no encoder.json"),
        (lambda folder: (folder / "encoder.json").write_text("{"), r"encoder.json: cannot be read"),
        (lambda folder: (folder / "encoder.json").write_text("[]"), r"encoder.json: the whole"),
        (_edit(format="other/1"), r"encoder.json: format: .*sluice-encoder/1"),
        (_edit(dim=0), "encoder.json: dim"),
        (_edit(extra=1), "encoder.json: extra"),
        (_edit(preprocess={"width": 8}), r"encoder.json: preprocess.height"),
        (
            _edit(
                preprocess={
                    **{"width": 8, "height": 8, "fit": "crop", "interpolation": "bicubic"},
                    **{"mean": [0, 0, 0], "std": [0, 1, 1]},
                }
            ),
            "preprocess: .*std above 0",
        ),
        (_edit(image={"file": "../image.onnx", "input": "x", "output": "y"}), "image.file: .*without a path"),
        (_edit(tokenizer={"type": "magic"}), "tokenizer: .*hashed-words"),
        (lambda folder: (folder / "text.onnx").write_bytes(b"x"), "text.onnx: onnxruntime cannot load it"),
        (lambda folder: (folder / "image.onnx").unlink(), "image.onnx: onnxruntime cannot load it"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json: .*cannot load it"),
    ],
)
def test_a_broken_folder_says_what_is_wrong(change: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    folder = save_onnx_pair(tmp_path / "model")
    change(folder)
    with pytest.raises(SluiceError, match=message) as caught:
        OnnxPair(folder)
    assert str(folder) in str(caught.value)


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    for device in ("cuda", "mps"):
        with pytest.raises(SluiceError, match=f"device {device}"):
            OnnxPair(folder, device=device)


def test_the_tokenizer_without_a_vocabulary_is_taken_by_its_settings(tmp_path: Path) -> None:
    folder = save_onnx_pair(tmp_path / "model", tokenizer={"type": "hashed-words", "length": 6, "buckets": 13})
    encoder = OnnxPair(folder)
    expected = tokens(TEXTS, HashedWords(length=6, buckets=13))
    assert np.array_equal(encoder._tokens(TEXTS), expected)
    assert encoder.encode_texts(TEXTS).shape == (len(TEXTS), 8)
    for field, value in (("colour", 1), ("length", "long")):
        with pytest.raises(SluiceError, match=rf"(?s)encoder.json: tokenizer: .*{field}"):
            OnnxPair(save_onnx_pair(tmp_path / "other", tokenizer={"type": "hashed-words", field: value}))


def test_the_built_in_encoder_loads_and_tells_what_it_knows() -> None:
    encoder = load_encoder(BuiltinConfig(type="builtin"))
    assert encoder.identity.world
    assert encoder.encode_texts(["a red ball"]).shape == (1, encoder.dim)
