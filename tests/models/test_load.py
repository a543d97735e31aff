"""What a recipe may say of an encoder, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sluice.errors import SluiceError
from sluice.models import EncoderConfig, load_encoder
from sluice.models.config import BuiltinConfig, OnnxConfig, PrecomputedConfig, TransformersConfig

ADAPTER: TypeAdapter[Any] = TypeAdapter(EncoderConfig)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "builtin"},
        {"type": "onnx", "path": "models/small", "hash": "0" * 32, "batch": 64, "threads": 2, "device": "cuda:1"},
        {"type": "transformers", "name": "google/siglip2-base-patch16-224", "revision": "main", "download": True},
        {"type": "transformers", "path": "models/clip", "languages": ["en", "de"]},
        {"type": "open_clip", "path": "models/folder"},
        {"type": "open_clip", "name": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"},
        {"type": "open_clip", "name": "ViT-B-32", "path": "epoch_3.pt"},
        {"type": "open_clip", "name": "hf-hub:org/model"},
        {"type": "http", "url": "https://example.org/v1", "model": "m", "key_variable": "KEY", "images": "data_url"},
    ],
)
def test_what_the_page_shows_is_accepted_and_kept(fields: dict[str, Any]) -> None:
    config = ADAPTER.validate_python(fields)
    assert config.model_dump(include=set(fields), mode="json") == fields
    assert hash(config) == hash(ADAPTER.validate_python(fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "magic"}, "does not match any of the expected tags"),
        ({"type": "onnx"}, "path"),
        ({"type": "onnx", "path": "x", "hash": "abc"}, "hash"),
        ({"type": "onnx", "path": "x", "device": "gpu"}, "device"),
        ({"type": "onnx", "path": "x", "batch": 0}, "batch"),
        ({"type": "onnx", "path": "x", "bach": 1}, "bach"),
        ({"type": "transformers"}, "say either path"),
        ({"type": "transformers", "path": "x", "name": "y"}, "say either path"),
        ({"type": "open_clip"}, "say path"),
        ({"type": "open_clip", "path": "x", "pretrained": "y"}, "say path"),
        ({"type": "open_clip", "name": "ViT-B-32"}, "say where the weights of name: are"),
        ({"type": "open_clip", "name": "hf-hub:x/y", "pretrained": "z"}, "brings its own weights"),
        ({"type": "http", "url": "ftp://x", "model": "m"}, "url"),
        ({"type": "http", "url": "https://x", "model": "m", "key": "sk-1"}, "key"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(fields)


def test_precomputed_vectors_say_where_they_are() -> None:
    with pytest.raises(ValidationError, match="say image: or text:"):
        PrecomputedConfig(type="precomputed", path="x", key="url", name="m")


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(SluiceError, match="no/such/folder: there is no such folder"):
        load_encoder(TransformersConfig(type="transformers", path="no/such/folder"))
    with pytest.raises(SluiceError, match="no/such/folder: is no model folder"):
        load_encoder(OnnxConfig(type="onnx", path="no/such/folder"))


def test_an_installation_without_the_built_in_encoder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.models.load.BUILTIN", "absent")
    with pytest.raises(SluiceError, match="lacks its built-in encoder: install it again"):
        load_encoder(BuiltinConfig(type="builtin"))
