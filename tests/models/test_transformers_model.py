"""Models of transformers, tiny and random but saved and loaded as real ones: the library itself is the oracle."""

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
from sluice.models.config import TransformersConfig
from sluice.models.load import load_encoder
from sluice.models.preprocess import tensor
from sluice.models.transformers_model import TransformersModel, find_on_hub, read_preprocess
from support.tiny_models import TEXTS, Pixels, save_transformers

_WHY = "needs the dependency group `models`: pip install --group models"
torch: Any = pytest.importorskip("torch", reason=_WHY)
hf: Any = pytest.importorskip("transformers", reason=_WHY)

FAMILIES = ("clip", "siglip", "altclip")


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_transformers(tmp_path_factory.mktemp("models") / family, family)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TransformersModel:
    return TransformersModel(folder, batch=4)


PROCESSORS: dict[str, Callable[[], Any]] = {
    "CLIP": hf.CLIPImageProcessorPil,
    "CLIP, a larger image than its crop": lambda: hf.CLIPImageProcessorPil(
        size={"shortest_edge": 73}, crop_size={"height": 56, "width": 64}
    ),
    "CLIP, a smaller image than its crop": lambda: hf.CLIPImageProcessorPil(
        size={"shortest_edge": 41}, crop_size={"height": 56, "width": 65}
    ),
    "CLIP of an odd size, bilinear": lambda: hf.CLIPImageProcessorPil(
        size={"shortest_edge": 63}, crop_size={"height": 63, "width": 63}, resample=2
    ),
    "SigLIP": hf.SiglipImageProcessorPil,
    "SigLIP 2 of a fixed size": lambda: hf.SiglipImageProcessorPil(size={"height": 64, "width": 64}, resample=2),
    "SigLIP, not square": lambda: hf.SiglipImageProcessorPil(size={"height": 48, "width": 80}),
    "Chinese CLIP": hf.ChineseCLIPImageProcessorPil,
    "ViT (CLIPSeg, dual encoders)": lambda: hf.ViTImageProcessorPil(size={"height": 64, "width": 64}),
    "BLIP": lambda: hf.BlipImageProcessorPil(size={"height": 64, "width": 64}),
    "values of -1 to 1 by another factor": lambda: hf.SiglipImageProcessorPil(
        size={"height": 40, "width": 40}, rescale_factor=1 / 127.5, image_mean=[1, 1, 1], image_std=[1, 1, 1]
    ),
    "not normalised": lambda: hf.SiglipImageProcessorPil(size={"height": 40, "width": 40}, do_normalize=False),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_tensors_are_those_of_the_librarys_own_processor(name: str, photos: list[Pixels]) -> None:
    processor = PROCESSORS[name]()
    preprocess = read_preprocess(json.loads(processor.to_json_string()), name)
    for photo in photos:
        theirs = processor(images=Image.fromarray(photo), return_tensors="np")["pixel_values"][0]
        ours = tensor([photo], preprocess)[0]
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1 / 255, photo.shape


def test_old_configurations_with_a_bare_number_mean_what_the_library_takes_them_for(
    tmp_path: Path, photos: list[Pixels]
) -> None:
    folder = save_transformers(tmp_path, "clip")
    old = {
        "crop_size": 32,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": 32,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(old))
    found = TransformersModel(folder).preprocess
    processor = hf.CLIPImageProcessorPil.from_pretrained(folder)
    theirs = processor(images=[Image.fromarray(photo) for photo in photos], return_tensors="np")["pixel_values"]
    assert np.abs(tensor(photos, found) - theirs).max() <= 1 / 255


def test_vectors_are_those_of_the_librarys_own_forward(
    folder: Path, encoder: TransformersModel, photos: list[Pixels], family: str
) -> None:
    model = hf.AutoModel.from_pretrained(folder).eval()
    processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    full: dict[str, Any] = {"padding": "max_length", "return_attention_mask": False}  # as SigLIP's own tokenizers
    how = full if family == "siglip" else {"padding": True}
    with torch.no_grad():
        pixels = processor(images=[Image.fromarray(photo) for photo in photos], return_tensors="pt")
        images = model.get_image_features(**pixels).pooler_output
        tokens = tokenizer(TEXTS, **how, truncation=True, max_length=16, return_tensors="pt")
        texts = model.get_text_features(**tokens).pooler_output
    for ours, theirs in ((encoder.encode_images(photos), images), (encoder.encode_texts(TEXTS), texts)):
        assert ours.dtype == np.float32
        assert np.abs(ours - torch.nn.functional.normalize(theirs, dim=-1).numpy()).max() < 1e-4
        assert np.abs(ours[:, None] - ours[None]).max() > 0.1, "the vectors tell nothing apart"


def test_a_tokenizer_that_states_no_length_is_cut_at_the_models(
    folder: Path, encoder: TransformersModel, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    file = copy / "tokenizer_config.json"
    fields = {key: value for key, value in json.loads(file.read_text()).items() if key != "model_max_length"}
    file.write_text(json.dumps(fields))
    assert np.abs(TransformersModel(copy).encode_texts(TEXTS) - encoder.encode_texts(TEXTS)).max() < 1e-6


def test_the_size_of_a_batch_does_not_matter(folder: Path, encoder: TransformersModel, photos: list[Pixels]) -> None:
    alone = TransformersModel(folder, batch=1)
    assert np.abs(alone.encode_images(photos) - encoder.encode_images(photos)).max() < 1e-5
    assert np.abs(alone.encode_texts(TEXTS) - encoder.encode_texts(TEXTS)).max() < 1e-5
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, encoder.dim)


def test_the_hash_is_of_the_contents_and_not_of_the_place(
    folder: Path, encoder: TransformersModel, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "README.md").write_text("about this model")
    assert TransformersModel(copy).identity.hash == encoder.identity.hash
    for name in ("model.safetensors", "tokenizer.json", "preprocessor_config.json"):
        changed = shutil.copytree(folder, tmp_path / name)
        data = bytearray((changed / name).read_bytes())
        at = len(data) - 3 if name == "model.safetensors" else data.rindex(b"}")
        data[at:at] = b" " if name != "model.safetensors" else b""
        if name == "model.safetensors":
            data[at] ^= 1
        (changed / name).write_bytes(bytes(data))
        assert TransformersModel(changed).identity.hash != encoder.identity.hash, name


def test_another_hash_than_the_one_asked_for_stops_before_loading(folder: Path) -> None:
    config = TransformersConfig(type="transformers", path=str(folder), hash="0" * 32)
    with pytest.raises(SluiceError, match=r"has the hash .* and 0+ was asked for"):
        load_encoder(config)
    right = TransformersModel(folder).identity.hash
    loaded = load_encoder(config.model_copy(update={"hash": right, "languages": ("en", "de")}))
    assert (loaded.identity.hash, loaded.identity.languages) == (right, ("en", "de"))


def test_a_model_that_lacks_weights_is_no_model(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    gone = sorted(name for name in weights if "fc1" in name)
    save_file({name: value for name, value in weights.items() if name not in gone}, copy / "model.safetensors")
    with pytest.raises(SluiceError, match=rf"lack {len(gone)} tensors of the model, \S+fc1\S+ among them"):
        TransformersModel(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "cannot read how images are prepared"),
        (lambda folder: (folder / "model.safetensors").unlink(), "AutoModel cannot load it"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no tensors"), "AutoModel cannot load it"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "AutoTokenizer cannot load it"),
        (lambda folder: _set(folder, "do_resize", False), "do_resize is off"),
        (lambda folder: _set(folder, "do_center_crop", False), "cuts nothing"),
        (lambda folder: _set(folder, "resample", 4), "resample 4 is not supported"),
        (lambda folder: _set(folder, "image_std", [1, 1, 0]), "std above 0"),
    ],
)
def test_a_broken_folder_says_what_is_wrong(
    change: Callable[[Path], object], message: str, tmp_path: Path, photos: list[Pixels]
) -> None:
    folder = save_transformers(tmp_path / "model", "clip")
    change(folder)
    with pytest.raises(SluiceError, match=message) as caught:
        TransformersModel(folder)
    assert str(folder) in str(caught.value)


def _set(folder: Path, field: str, value: object) -> None:
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))


def test_patches_of_varying_count_are_refused_and_say_what_to_take_instead(tmp_path: Path) -> None:
    folder = save_transformers(tmp_path, "siglip")
    hf.Siglip2ImageProcessorPil().save_pretrained(folder)
    with pytest.raises(SluiceError, match=r"NaFlex .* take a SigLIP 2 of fixed size"):
        TransformersModel(folder)


def test_a_model_without_both_features_is_refused(tmp_path: Path) -> None:
    folder = save_transformers(tmp_path, "clip")
    text = hf.CLIPConfig.from_pretrained(folder).text_config
    hf.CLIPTextModel(text).save_pretrained(folder)
    with pytest.raises(SluiceError, match="CLIPTextModel has no features of images and texts to compare"):
        TransformersModel(folder)


def test_a_name_that_is_not_on_this_machine_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _empty_cache(tmp_path, monkeypatch)
    said: list[str] = []
    with pytest.raises(SluiceError, match=r"run `hf download org/model --revision v1`, or write download: true"):
        load_encoder(TransformersConfig(type="transformers", name="org/model", revision="v1"), said.append)
    assert said == []


def test_a_name_in_the_hubs_cache_loads_without_a_network_and_is_named_by_its_commit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: TransformersModel
) -> None:
    cache = _empty_cache(tmp_path, monkeypatch)
    commit = "0123456789abcdef0123456789abcdef01234567"
    kept = cache / "models--org--model"
    shutil.copytree(folder, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    loaded = load_encoder(TransformersConfig(type="transformers", name="org/model"))
    assert (loaded.identity.name, loaded.identity.revision) == ("org/model", commit)
    assert loaded.identity.hash == encoder.identity.hash


def test_a_download_is_said_first_and_its_failure_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _empty_cache(tmp_path, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # as on a machine without a network
    said: list[str] = []
    with pytest.raises(SluiceError, match="org/model cannot be downloaded: OfflineModeIsEnabled"):
        find_on_hub("org/model", None, download=True, say=said.append)
    assert said == ["Downloading org/model from the Hugging Face hub."]


def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return cache
