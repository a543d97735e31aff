"""One model in several formats: whichever adapter loads it, the vectors are the same within 1e-4."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sluice
from sluice.models.base import Encoder
from sluice.models.config import (
    BuiltinConfig,
    OpenClipConfig,
    PrecomputedConfig,
    ServiceConfig,
    TransformersConfig,
)
from sluice.models.load import load_encoder, load_precomputed
from sluice.models.onnx_pair import OnnxPair
from support.embedding_api import EmbeddingApi, served
from support.tiny_models import TEXTS, Pixels, save_open_clip, save_transformers

BUILTIN = Path(sluice.__file__).parent / "models" / "builtin"
NEAR = 1e-4
SAID = [*TEXTS, "A red ball left of a blue cube.", "Zwei rote Bälle", "红球和蓝色的方块"]


def _needs(*packages: str) -> pytest.MarkDecorator:
    lacking = [name for name in packages if find_spec(name) is None]
    return pytest.mark.skipif(
        bool(lacking), reason=f"without {', '.join(lacking)}: needs the dependency group `models`"
    )


@pytest.fixture(scope="module")
def builtin() -> Encoder:
    return load_encoder(BuiltinConfig(type="builtin"))


def _alike(ours: Encoder, theirs: Encoder, photos: Sequence[Pixels], texts: Sequence[str]) -> None:
    for one, other in (
        (ours.encode_images(photos), theirs.encode_images(photos)),
        (ours.encode_texts(texts), theirs.encode_texts(texts)),
    ):
        assert np.abs(one - other).max() < NEAR
        assert np.abs(one[:, None] - one[None]).max() > 0.1, "the vectors tell nothing apart"


@pytest.mark.parametrize("form", ["parquet", "npz", "npy"])
def test_the_built_in_encoder_as_precomputed_vectors(
    form: str, builtin: Encoder, tmp_path: Path, photos: list[Pixels]
) -> None:
    images, texts = builtin.encode_images(photos[: len(SAID)]), builtin.encode_texts(SAID)
    table: dict[str, Any] = {"key": [str(number) for number in range(len(SAID))]}
    if form == "parquet":
        kind = pa.list_(pa.float32(), builtin.dim)
        table |= {"image": pa.array(list(images), kind), "text": pa.array(list(texts), kind)}
    elif form == "npz":
        np.savez(tmp_path / "all.npz", image=images, text=texts)
    else:
        np.save(tmp_path / "all.image.npy", images)
        np.save(tmp_path / "all.text.npy", texts)
    pq.write_table(pa.table(table), tmp_path / "all.parquet")
    ending = ".npy" if form == "npy" else ""
    told = {"image": f"image{ending}", "text": f"text{ending}", "name": "sluice-builtin"}
    path = str(tmp_path / "all.parquet")
    found = load_precomputed(PrecomputedConfig(type="precomputed", path=path, key="key", **told))
    assert found.dim == builtin.dim
    assert np.abs(found.image_vectors(table["key"]).vectors - images).max() < NEAR
    assert np.abs(found.text_vectors(table["key"]).vectors - texts).max() < NEAR


def test_the_built_in_encoder_behind_a_service(builtin: Encoder, photos: list[Pixels]) -> None:
    api = EmbeddingApi(served(builtin))
    try:
        prepared = builtin.preprocess
        config = ServiceConfig(
            type="http",
            url=api.url,
            model="sluice-builtin",
            images="data_url",
            size=prepared.width,
            fit="pad",
            interpolation="bilinear",
            fill=prepared.fill[0],
        )
        _alike(load_encoder(config), builtin, photos, SAID)
    finally:
        api.close()


@_needs("torch", "onnx")
def test_the_built_in_encoder_as_torch_modules(builtin: Encoder, photos: list[Pixels]) -> None:
    import torch

    from sluice.models.base import unit
    from sluice.models.preprocess import tensor
    from sluice.train.restore import restored

    image, text = restored(BUILTIN)
    assert isinstance(builtin, OnnxPair)
    with torch.inference_mode():
        images = unit(image(torch.from_numpy(tensor(photos, builtin.preprocess))).numpy())
        texts = unit(text(torch.from_numpy(builtin._tokens(SAID))).numpy())
    assert np.abs(images - builtin.encode_images(photos)).max() < NEAR
    assert np.abs(texts - builtin.encode_texts(SAID)).max() < NEAR


@_needs("torch", "onnx", "transformers", "open_clip", "timm")
def test_the_built_in_encoder_as_a_model_of_open_clip(builtin: Encoder, tmp_path: Path, photos: list[Pixels]) -> None:
    from support.converted import as_open_clip

    as_open_clip(BUILTIN, tmp_path)
    shown = [
        photo for photo in photos if max(photo.shape[:2]) < 20 * min(photo.shape[:2])
    ]  # it rounds others to nothing
    _alike(load_encoder(OpenClipConfig(type="open_clip", path=str(tmp_path))), builtin, shown, SAID)


@_needs("torch", "onnx", "transformers", "open_clip", "timm")
def test_the_built_in_encoder_as_a_model_of_transformers_sees_square_pictures_alike(
    builtin: Encoder, tmp_path: Path, photos: list[Pixels]
) -> None:
    from support.converted import as_transformers

    as_transformers(BUILTIN, tmp_path)
    squares = [photo[: min(photo.shape[:2]), : min(photo.shape[:2])] for photo in photos]
    _alike(load_encoder(TransformersConfig(type="transformers", path=str(tmp_path))), builtin, squares, SAID)


@_needs("torch", "onnx", "transformers", "onnxscript")
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_model_of_transformers_as_two_towers_in_onnx(family: Any, tmp_path: Path, photos: list[Pixels]) -> None:
    from support.to_onnx import save_as_onnx

    folder = save_transformers(tmp_path / "original", family)
    original = load_encoder(TransformersConfig(type="transformers", path=str(folder)))
    _alike(OnnxPair(save_as_onnx(original, tmp_path / "pair"), batch=4), original, photos, TEXTS)


@_needs("torch", "onnx", "open_clip", "onnxscript")
def test_a_model_of_open_clip_as_two_towers_in_onnx(tmp_path: Path, photos: list[Pixels]) -> None:
    from support.to_onnx import save_as_onnx

    original = load_encoder(OpenClipConfig(type="open_clip", path=str(save_open_clip(tmp_path / "original"))))
    _alike(OnnxPair(save_as_onnx(original, tmp_path / "pair"), batch=4), original, photos, SAID)
