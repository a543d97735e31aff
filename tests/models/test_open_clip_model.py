"""Models of open_clip, tiny and random but saved and loaded as real ones: the library itself is the oracle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sluice.errors import SluiceError
from sluice.models.config import OpenClipConfig
from sluice.models.load import load_encoder
from sluice.models.open_clip_model import OpenClipModel
from sluice.models.preprocess import tensor
from support.tiny_models import TEXTS, Pixels, save_open_clip

_WHY = "needs the dependency group `models`: pip install --group models"
torch: Any = pytest.importorskip("torch", reason=_WHY)
open_clip: Any = pytest.importorskip("open_clip", reason=_WHY)

WAYS: dict[str, dict[str, Any]] = {
    "shorter side, then cut": {},
    "shorter side, then cut, odd and bilinear": {"size": 40, "interpolation": "bilinear"},
    "longer side, then filled": {"resize_mode": "longest", "fill_color": 127, "mean": [0.5] * 3, "std": [0.5] * 3},
    "stretched": {"resize_mode": "squash", "interpolation": "bilinear"},
    "not square, cut": {"size": [32, 48]},
    "not square, filled": {"size": [48, 32], "resize_mode": "longest"},
    "not square, stretched": {"size": [24, 40], "resize_mode": "squash"},
}


def _load(folder: Path, **options: Any) -> OpenClipModel:
    loaded = load_encoder(OpenClipConfig(type="open_clip", path=str(folder), **options))
    assert isinstance(loaded, OpenClipModel)
    return loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_open_clip(tmp_path_factory.mktemp("open_clip") / "tiny")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OpenClipModel:
    return _load(folder, batch=4)


@pytest.mark.parametrize("way", WAYS)
def test_tensors_are_those_of_the_librarys_own_transform(way: str, tmp_path: Path, photos: list[Pixels]) -> None:
    folder = save_open_clip(tmp_path, **dict(WAYS[way]))
    preprocess = _load(folder).preprocess
    _, _, theirs = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    compared = 0
    for photo in photos:
        try:
            expected = theirs(Image.fromarray(photo)).numpy()
        except ValueError as error:  # of a banner whose shorter side it rounds to nothing
            assert "must be > 0" in str(error)
            continue
        compared += 1
        assert np.abs(tensor([photo], preprocess)[0] - expected).max() <= 1 / 255, photo.shape
    assert compared >= len(photos) - 2


def test_vectors_are_those_of_the_librarys_own_forward(
    folder: Path, encoder: OpenClipModel, photos: list[Pixels]
) -> None:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.no_grad():
        model.eval()
        pixels = torch.stack([transform(Image.fromarray(photo)) for photo in photos])
        images = model.encode_image(pixels, normalize=True).numpy()
        texts = model.encode_text(tokenizer(TEXTS), normalize=True).numpy()
    for ours, theirs in ((encoder.encode_images(photos), images), (encoder.encode_texts(TEXTS), texts)):
        assert np.abs(ours - theirs).max() < 1e-4
        assert np.abs(ours[:, None] - ours[None]).max() > 0.1, "the vectors tell nothing apart"


def test_the_size_of_a_batch_does_not_matter(folder: Path, encoder: OpenClipModel, photos: list[Pixels]) -> None:
    alone = _load(folder, batch=1)
    assert np.abs(alone.encode_images(photos) - encoder.encode_images(photos)).max() < 1e-5
    assert np.abs(alone.encode_texts(TEXTS) - encoder.encode_texts(TEXTS)).max() < 1e-5
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, encoder.dim)


def test_the_hash_is_of_the_contents_and_not_of_the_place(folder: Path, encoder: OpenClipModel, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert _load(copy, hash=encoder.identity.hash).identity.hash == encoder.identity.hash
    weights = copy / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(bytes(data))
    assert _load(copy).identity.hash != encoder.identity.hash
    with pytest.raises(SluiceError, match=f"and {encoder.identity.hash} was asked for"):
        _load(copy, hash=encoder.identity.hash)
    other = save_open_clip(tmp_path / "other", mean=[0.4, 0.4, 0.4])
    assert (other / weights.name).read_bytes() == (folder / weights.name).read_bytes()
    assert _load(other).identity.hash != encoder.identity.hash


@pytest.fixture
def architecture(folder: Path, tmp_path: Path) -> str:
    """The tiny architecture under a name that open_clip knows, as a user adds one."""
    fields = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny-clip.json").write_text(json.dumps(fields))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    return "tiny-clip"


def test_an_architecture_with_a_checkpoint_gives_the_same_vectors_as_its_folder(
    architecture: str, folder: Path, encoder: OpenClipModel, tmp_path: Path, photos: list[Pixels]
) -> None:
    from safetensors.torch import load_file

    checkpoint = tmp_path / "epoch_3.pt"
    torch.save({"state_dict": load_file(folder / "open_clip_model.safetensors")}, checkpoint)
    config = OpenClipConfig(type="open_clip", name=architecture, path=str(checkpoint))
    loaded = load_encoder(config)
    assert (loaded.identity.name, loaded.identity.revision) == ("tiny-clip", "epoch_3.pt")
    assert np.abs(loaded.encode_images(photos) - encoder.encode_images(photos)).max() < 1e-6
    with pytest.raises(SluiceError, match="there is no such checkpoint"):
        load_encoder(config.model_copy(update={"path": str(tmp_path / "absent.pt")}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "ViT-B-23", "pretrained": "openai"}, "knows no architecture 'ViT-B-23'"),
        ({"name": "ViT-B-32-quickgelu", "pretrained": "nobody"}, "knows no weights 'nobody' of ViT-B-32.*openai"),
        ({"name": "ViT-B-32", "pretrained": "openai"}, r"trained with QuickGELU.*Write name: ViT-B-32-quickgelu"),
        ({"name": "ViT-B-16-SigLIP", "path": "weights.pt"}, "say pretrained: too, one of webli"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    fields: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SluiceError, match=message):
        load_encoder(OpenClipConfig.model_validate({"type": "open_clip", **fields}))


@pytest.mark.parametrize(
    ("fields", "command"),
    [
        ({"name": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"}, "hf download laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ({"name": "hf-hub:org/model"}, "hf download org/model"),
    ],
)
def test_what_is_not_on_this_machine_is_not_downloaded_unasked(
    fields: dict[str, str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("something was asked of the network")

    monkeypatch.setattr("socket.socket.connect", reached)
    said: list[str] = []
    with pytest.raises(SluiceError, match=f"run `{command}`, or write download: true"):
        load_encoder(OpenClipConfig.model_validate({"type": "open_clip", **fields}), said.append)
    assert said == []
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == []


def test_a_published_tag_in_the_hubs_cache_is_loaded_from_there_and_prepared_as_published(
    architecture: str,
    folder: Path,
    encoder: OpenClipModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = tmp_path / "hub" / "models--org--tiny" / "snapshots" / "c0ffee"
    kept.mkdir(parents=True)
    shutil.copy(folder / "open_clip_model.safetensors", kept)
    (kept.parents[1] / "refs").mkdir()
    (kept.parents[1] / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    tags = {"tag": {"hf_hub": "org/tiny/", "url": "", "mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, architecture, tags)
    loaded = load_encoder(OpenClipConfig(type="open_clip", name=architecture, pretrained="tag"))
    assert (loaded.preprocess.fit, loaded.preprocess.mean) == ("stretch", (0.5, 0.5, 0.5))
    assert (loaded.identity.revision, loaded.identity.hash != encoder.identity.hash) == ("tag", True)
    bare = {"type": "open_clip", "name": architecture, "path": str(kept / "open_clip_model.safetensors")}
    with pytest.raises(SluiceError, match="say pretrained: too, one of tag"):
        load_encoder(OpenClipConfig.model_validate(bare))
    same = load_encoder(OpenClipConfig.model_validate({**bare, "pretrained": "tag"}))
    assert (same.identity.hash, same.preprocess) == (loaded.identity.hash, loaded.preprocess)


def test_a_model_of_the_hub_in_its_cache_is_loaded_from_there_and_named_by_its_commit(
    folder: Path, encoder: OpenClipModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "models--org--tiny"
    shutil.copytree(folder, kept / "snapshots" / "c0ffee")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    loaded = load_encoder(OpenClipConfig(type="open_clip", name="hf-hub:org/tiny"))
    assert (loaded.identity.name, loaded.identity.revision) == ("hf-hub:org/tiny", "c0ffee")
    assert loaded.identity.hash == encoder.identity.hash


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "hf-hub:org/model"}, "Downloading org/model from the Hugging Face hub."),
        (
            {"name": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"},
            "Downloading the weights laion2b_s34b_b79k of ViT-B-32 from laion/CLIP-ViT-B-32-laion2B-s34B-b79K.",
        ),
    ],
)
def test_a_download_is_said_first_and_its_failure_is_one_sentence(
    fields: dict[str, str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # as on a machine without a network
    said: list[str] = []
    with pytest.raises(SluiceError, match=r"cannot be downloaded|cannot load it"):
        load_encoder(OpenClipConfig.model_validate({"type": "open_clip", "download": True, **fields}), said.append)
    assert said == [sentence]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "open_clip_config.json").unlink(), "has no open_clip_config.json"),
        (lambda folder: (folder / "open_clip_config.json").write_text("{}"), "is no configuration of open_clip"),
        (lambda folder: (folder / "open_clip_model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "open_clip_model.safetensors").write_bytes(b"x"), "open_clip cannot load it"),
    ],
)
def test_a_broken_folder_says_what_is_wrong(change: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    folder = save_open_clip(tmp_path / "model")
    change(folder)
    with pytest.raises(SluiceError, match=message) as caught:
        _load(folder)
    assert "model" in str(caught.value)
