"""Models of `transformers` with features of images and of texts: CLIP, SigLIP, SigLIP 2, multilingual ones."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from sluice.errors import SluiceError
from sluice.models.base import Identity, Interpolation, Pixels, Preprocess
from sluice.models.digest import check_hash, content_hash
from sluice.models.extras import optional
from sluice.models.offline import Say, cached, missing, network
from sluice.models.probe import check_preprocess
from sluice.models.torch_encoder import TorchEncoder, Towers

_EXTRA: Final = ("a model of transformers", "transformers")
_RESAMPLE: Final[Mapping[int, Interpolation]] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's
_SMALL_FILES: Final = re.compile(r"[^/]+\.(json|txt|model|spm|jinja)")
_WEIGHTS: Final = (re.compile(r"[^/]+\.safetensors"), re.compile(r"pytorch_model[^/]*\.bin"))


class TransformersModel(TorchEncoder):
    """An encoder from a folder that `save_pretrained` wrote, or the hub's copy of one. No code in it is run."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str | None = None,
        revision: str = "local",
        hash: str | None = None,
        languages: tuple[str, ...] | None = None,
        device: str = "cpu",
        batch: int = 32,
        threads: int = 1,
    ) -> None:
        files = {file: folder / file for file in model_files(file_names(folder))}
        if "config.json" not in files:
            raise SluiceError(f"{folder}: is no model of transformers: it has no config.json")
        found = check_hash(content_hash(files), hash, str(folder))
        with network(False):  # everything is in the folder; what is not, is an error
            torch: Any = optional("torch", *_EXTRA)
            torch.set_num_threads(threads)
            preprocess = _preprocess(folder)
            model: Any = _model(folder, has_safetensors(files))
            tokenizer: Any = load_class("AutoTokenizer", folder)
        if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
            raise SluiceError(f"{folder}: {type(model).__name__} has no features of images and texts to compare")
        self.tokenizing: Final = _how_to_tokenize(model.config, tokenizer)
        towers = Towers(
            model,
            tokenizer,
            image=lambda pixels: _features(model.get_image_features(pixel_values=pixels)),
            tokens=lambda texts: tokenizer(texts, return_tensors="pt", **self.tokenizing),
            text=lambda tokens: _features(model.get_text_features(**tokens)),
        )
        identity = Identity(name or folder.resolve().name, revision, found, languages)
        super().__init__(identity, preprocess, towers, torch, device, batch)


def model_files(names: Iterable[str]) -> list[str]:
    """Of the files of a model those that make it: configuration, tokenizer and one form of the weights.

    >>> model_files(["README.md", "config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"])
    ['config.json', 'model.safetensors']
    """
    names = sorted(names)
    weights = next((found for form in _WEIGHTS if (found := [one for one in names if form.fullmatch(one)])), [])
    return [one for one in names if _SMALL_FILES.fullmatch(one)] + weights


def find_on_hub(name: str, revision: str | None, download: bool, say: Say) -> tuple[Path, str]:
    """The folder of a model by its name, and the commit that it is. Downloads only if told to, and says so first."""
    config = cached(name, "config.json", revision)
    if config is not None and any(form.fullmatch(file) for form in _WEIGHTS for file in file_names(config.parent)):
        return config.parent, config.parent.name
    wish = f"{name} (revision {revision})" if revision else name
    if not download:
        raise missing(wish, f"`hf download {name}{f' --revision {revision}' if revision else ''}`")
    hub = optional("huggingface_hub", *_EXTRA)
    say(f"Downloading {wish} from the Hugging Face hub.")
    try:
        wanted = model_files(hub.list_repo_files(name, revision=revision))
        folder = Path(hub.snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises its own, its HTTP library's and plain OSErrors
        raise SluiceError(f"{wish} cannot be downloaded: {type(error).__name__}: {error}") from error
    return folder, folder.name


def read_preprocess(fields: Mapping[str, Any], what: str) -> Preprocess:
    """What the fields of a `preprocessor_config.json`, defaults filled in, say of an image."""
    if not fields.get("do_resize", True):
        raise SluiceError(f"{what}: do_resize is off: its tensors have no fixed size")
    size, crop = _sides(fields.get("size"), what), None
    if fields.get("do_center_crop"):
        crop = _sides(fields.get("crop_size"), what)
    fit: Literal["crop", "stretch"] = "stretch"
    resize: int | None = None
    if isinstance(size, int):
        if not isinstance(crop, tuple):
            raise SluiceError(f"{what}: scales the shorter side and cuts nothing: its tensors have no fixed size")
        fit, resize, sides = "crop", size, crop
    elif crop is None or crop == size:
        sides = size
    else:
        raise SluiceError(f"{what}: stretches to {size} and then cuts to {crop}, which is not supported")
    resample = fields.get("resample")
    method = 2 if resample is None else int(resample)
    if method not in _RESAMPLE:
        raise SluiceError(f"{what}: resample {method} is not supported")
    factor = float(fields.get("rescale_factor", 1 / 255)) if fields.get("do_rescale", True) else 1.0
    levels = 255 * factor  # (x * factor - mean) / std, said of x / 255
    try:
        normal = fields.get("do_normalize", True)
        mean, std = (_three(fields[key]) for key in ("image_mean", "image_std")) if normal else (_three(0), _three(1))
        return Preprocess(
            width=sides[1],
            height=sides[0],
            fit=fit,
            interpolation=_RESAMPLE[method],
            mean=(mean[0] / levels, mean[1] / levels, mean[2] / levels),
            std=(std[0] / levels, std[1] / levels, std[2] / levels),
            order="bgr" if fields.get("do_flip_channel_order") else "rgb",
            resize=None if resize == sides[0] == sides[1] else resize,
            centre="floor",
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise SluiceError(f"{what}: says no usable image_mean and image_std: {first_line(error)}") from error


def _preprocess(folder: Path) -> Preprocess:
    what = f"{folder}/preprocessor_config.json"
    factory: Any = optional("transformers", *_EXTRA, "AutoImageProcessor")
    try:
        processor: Any = factory.from_pretrained(str(folder), local_files_only=True, **_pillow())
    except Exception as error:  # as many types as there are processors
        raise SluiceError(f"{what}: transformers cannot read how images are prepared: {first_line(error)}") from error
    if "NaFlex" in type(processor).__name__ or type(processor).__name__.startswith("Siglip2"):
        raise SluiceError(f"{what}: NaFlex (patches of varying count) is not supported: take a SigLIP 2 of fixed size")
    fields: dict[str, Any] = json.loads(processor.to_json_string())

    def reference(image: Pixels) -> npt.ArrayLike:
        return np.asarray(
            processor(images=image, return_tensors="np", input_data_format="channels_last")["pixel_values"]
        )[0]

    return check_preprocess(read_preprocess(fields, what), reference, what)


def _pillow() -> dict[str, object]:
    """How to ask for the processor that works in Pillow: torchvision's filters give other pixels."""
    if importlib.util.find_spec("transformers.image_processing_backends") is not None:
        return {"backend": "pil"}
    return {"use_fast": False}  # before transformers had backends


def _model(folder: Path, safe: bool) -> Any:
    """The model with all its weights: a folder that lacks some would be filled up with random ones."""
    model, report = load_class("AutoModel", folder, use_safetensors=safe, output_loading_info=True)
    if lacking := sorted(report["missing_keys"]):
        raise SluiceError(f"{folder}: the weights lack {len(lacking)} tensors of the model, {lacking[0]} among them")
    return model


def load_class(name: str, folder: Path, **options: object) -> Any:
    """What the class `name` of transformers loads from `folder`, and from nowhere else; no code in it is run."""
    factory: Any = optional("transformers", *_EXTRA, name)
    logging: Any = optional("transformers.utils.logging", *_EXTRA)
    bars: bool = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # it would be drawn over the run's own
    try:
        return factory.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False, **options)
    except Exception as error:  # as many types as there are models
        raise SluiceError(f"{folder}: {name} cannot load it: {first_line(error)}") from error
    finally:
        if bars:
            logging.enable_progress_bar()


def _how_to_tokenize(config: Any, tokenizer: Any) -> dict[str, object]:
    """SigLIP was trained on texts padded to the full length; the others are told by a mask where a text ends.

    transformers' own conversions of SigLIP turn the mask off in the tokenizer; a tokenizer that still gives one would
    change the vectors.
    """
    text: Any = getattr(config, "text_config", config)
    longest: int = min(
        int(tokenizer.model_max_length),  # absurdly large where a tokenizer states none
        int(getattr(text, "max_position_embeddings", 1 << 30)) - _reserved(text),
    )
    if longest >= 1 << 30:
        raise SluiceError(
            f"{config.model_type}: neither tokenizer_config.json nor config.json says how long a text may be"
        )
    siglip = str(config.model_type).startswith("siglip")
    padding: dict[str, object] = (
        {"padding": "max_length", "return_attention_mask": False} if siglip else {"padding": True}
    )
    return {**padding, "truncation": True, "max_length": longest}


def _reserved(text: Any) -> int:
    """Positions of RoBERTa's kind, which AltCLIP is of, begin after that of padding."""
    kind = str(getattr(text, "model_type", ""))
    return int(text.pad_token_id) + 1 if "roberta" in kind or "altclip" in kind else 0


def _features(features: Any) -> Any:
    """A tensor; since transformers 5 in the `pooler_output` of a larger answer."""
    return getattr(features, "pooler_output", features)


def file_names(folder: Path) -> list[str]:
    """The names of the files in `folder`."""
    try:
        return [file.name for file in folder.iterdir() if file.is_file()]
    except OSError as error:
        raise SluiceError(f"{folder}: cannot be read: {error.strerror or error}") from error


def has_safetensors(files: Iterable[str]) -> bool:
    """Whether the weights among `files` are in safetensors."""
    return any(_WEIGHTS[0].fullmatch(file) for file in files)


def _sides(size: object, what: str) -> int | tuple[int, int]:
    """The shorter side, or (height, width)."""
    if isinstance(size, int):
        return size
    if isinstance(size, Mapping):
        stated: dict[str, int] = {str(key): int(value) for key, value in size.items() if value is not None}
        if set(stated) == {"height", "width"}:
            return stated["height"], stated["width"]
        if set(stated) == {"shortest_edge"}:
            return stated["shortest_edge"]
    raise SluiceError(f"{what}: size {size!r} is not supported: shortest_edge, or height and width")


def _three(value: Any) -> tuple[float, float, float]:
    red, green, blue = [value] * 3 if isinstance(value, int | float) else value
    return float(red), float(green), float(blue)


def first_line(error: BaseException) -> str:
    """An error of a library in a line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
