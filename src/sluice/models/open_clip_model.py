"""Models of `open_clip`: a folder, an architecture with a checkpoint, or one with a tag of published weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from sluice.errors import SluiceError
from sluice.models.base import Fit, Identity, Interpolation, Preprocess
from sluice.models.config import OpenClipConfig
from sluice.models.digest import check_hash, content_hash
from sluice.models.extras import optional
from sluice.models.offline import Say, cached, missing, network
from sluice.models.probe import check_preprocess
from sluice.models.torch_encoder import TorchEncoder, Towers

_EXTRA: Final = ("a model of open_clip", "open-clip")
_FITS: Final[Mapping[str, Fit]] = {"shortest": "crop", "longest": "pad", "squash": "stretch"}
_WEIGHTS: Final = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # on the hub, in open_clip's order


class OpenClipModel(TorchEncoder):
    """An encoder by `open_clip`, its weights in a file whose hash is known before it is loaded."""

    def __init__(self, config: OpenClipConfig, say: Say) -> None:
        library: Any = optional("open_clip", *_EXTRA)
        found = _find(library, config, say)
        torch: Any = optional("torch", *_EXTRA)
        torch.set_num_threads(config.threads)
        with network(config.download):
            tokenizer = _called(found.name, library.get_tokenizer, found.source)
            parts: dict[str, Path | bytes] = {
                "architecture": json.dumps(found.architecture, sort_keys=True).encode(),
                "weights": found.weights,
                "tokenizer": _tokenizer_bytes(tokenizer),
            }
            parts["preprocess"] = json.dumps(found.preprocess, sort_keys=True).encode()
            digest = check_hash(content_hash(parts), config.hash, found.name)
            model = _called(found.name, library.create_model, found.source, **found.options, require_pretrained=True)
        identity = Identity(found.name, found.revision, digest, config.languages)
        towers = Towers(model, tokenizer, model.encode_image, tokenizer, model.encode_text)
        prepared = _preprocess(model.visual.preprocess_cfg, found.name)
        super().__init__(identity, prepared, towers, torch, config.device, config.batch)


@dataclass(frozen=True)
class _Found:
    """A model whose parts all lie on this machine."""

    name: str
    revision: str
    source: str  # what open_clip takes for its name
    architecture: dict[str, Any]
    weights: Path
    preprocess: dict[str, Any]  # how its weights want images prepared; empty: as open_clip's defaults say
    options: dict[str, Any]


def _find(library: Any, config: OpenClipConfig, say: Say) -> _Found:
    if config.name is None:
        folder = Path(config.path or "")
        return _folder(folder, folder.resolve().name, "local")
    if config.name.startswith("hf-hub:"):
        return _hub_folder(config.name.removeprefix("hf-hub:"), config.download, say)
    architecture: dict[str, Any] | None = library.get_model_config(config.name)
    if architecture is None:
        raise SluiceError(f"open_clip knows no architecture {config.name!r}: see open_clip.list_models()")
    prepared, tags = _prepared(library, config.name, config.pretrained)
    _check_activation(library, config, architecture)
    if config.path is not None:
        weights, revision = Path(config.path), Path(config.path).name
        if config.pretrained is None and tags:
            raise SluiceError(
                f"{config.path}: a checkpoint does not say how images are prepared, and open_clip's default is not how "
                f"{config.name} was trained: say pretrained: too, one of {', '.join(tags)}, whose way is taken"
            )
    else:
        revision = str(config.pretrained)
        weights = _published(library, config.name, revision, config.download, say)
    if not weights.is_file():
        raise SluiceError(f"{weights}: there is no such checkpoint")
    options: dict[str, Any] = {"pretrained": str(weights.resolve())}
    if prepared:
        options["force_preprocess_cfg"] = prepared
    return _Found(config.name, revision, config.name, architecture, weights, prepared, options)


def _folder(folder: Path, name: str, revision: str) -> _Found:
    file = folder / "open_clip_config.json"
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        architecture, prepared = fields["model_cfg"], fields.get("preprocess_cfg", {})
    except FileNotFoundError as error:
        raise SluiceError(f"{folder}: is no folder of open_clip: it has no open_clip_config.json") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SluiceError(f"{file}: is no configuration of open_clip: {type(error).__name__}: {error}") from error
    weights = next((folder / one for one in _WEIGHTS if (folder / one).is_file()), None)
    if weights is None:
        raise SluiceError(f"{folder}: has no weights: {' or '.join(_WEIGHTS)}")
    return _Found(name, revision, f"local-dir:{folder}", architecture, weights, prepared, {})


def _hub_folder(name: str, download: bool, say: Say) -> _Found:
    config = cached(name, "open_clip_config.json", None)
    if config is None or not any((config.parent / one).is_file() for one in _WEIGHTS):
        if not download:
            raise missing(f"hf-hub:{name}", f"`hf download {name}`")
        say(f"Downloading {name} from the Hugging Face hub.")
        hub = optional("huggingface_hub", *_EXTRA)
        try:
            names: list[str] = hub.list_repo_files(name)
            weights = next((one for one in _WEIGHTS if one in names), "")
            patterns = [*(one for one in names if one.endswith((".json", ".txt", ".model"))), weights]
            config = Path(hub.snapshot_download(name, allow_patterns=patterns)) / "open_clip_config.json"
        except Exception as error:  # the hub's client raises its own, its HTTP library's and plain OSErrors
            raise SluiceError(f"{name} cannot be downloaded: {type(error).__name__}: {error}") from error
    return _folder(config.parent, f"hf-hub:{name}", config.parent.name)


def _prepared(library: Any, name: str, tag: str | None) -> tuple[dict[str, Any], list[str]]:
    """How the weights of a tag want images prepared; without one, the tags whose way is not open_clip's default."""
    keys: tuple[str, ...] = ("mean", "std", "interpolation", "resize_mode")
    if tag is not None:
        published: dict[str, Any] = library.get_pretrained_cfg(name, tag)
        if not published:
            tags = ", ".join(library.list_pretrained_tags_by_model(name)) or "none"
            raise SluiceError(f"open_clip knows no weights {tag!r} of {name}: it knows {tags}")
        return {key: published[key] for key in keys if key in published}, []
    usual: Any = optional("open_clip.transform", *_EXTRA).PreprocessCfg()
    tags = [
        tag
        for tag in library.list_pretrained_tags_by_model(name)
        for published in [library.get_pretrained_cfg(name, tag)]
        if any(published.get(key, getattr(usual, key)) != getattr(usual, key) for key in keys)
    ]
    return {}, tags


def _published(library: Any, name: str, tag: str, download: bool, say: Say) -> Path:
    """The checkpoint of a tag, from the caches of the hub or of open_clip; downloaded only if told to."""
    entry: dict[str, Any] = library.get_pretrained_cfg(name, tag)
    repository, _, file = str(entry.get("hf_hub", "")).rpartition("/")
    if repository:
        names = [file] if file else list(_WEIGHTS)
        names = [f"{Path(one).stem}.safetensors" if Path(one).suffix == ".bin" else one for one in names] + names
        have = next((found for one in names if (found := cached(repository, one, None))), None)
        command = f"`hf download {repository}{f' {file}' if file else ''}`"
    else:
        kept = Path("~/.cache/clip").expanduser() / Path(str(entry["url"])).name
        have = kept if kept.is_file() else None
        command = f"`curl --create-dirs -Lo {kept} {entry['url']}`"
    if have is not None:
        return have
    if not download:
        raise missing(f"{name} with the weights {tag}", command)
    say(f"Downloading the weights {tag} of {name} from {repository or entry['url']}.")
    fetch: Any = optional("open_clip.pretrained", *_EXTRA).download_pretrained
    return Path(_called(f"{name} {tag}", fetch, entry))


def _check_activation(library: Any, config: OpenClipConfig, architecture: Mapping[str, Any]) -> None:
    """Weights trained with QuickGELU run with another activation too, and give other vectors: open_clip only warns."""
    if config.pretrained is None:
        return
    quick = bool(library.get_pretrained_cfg(config.name, config.pretrained).get("quick_gelu", False))
    if quick != bool(architecture.get("quick_gelu", False)):
        other = f"{config.name}-quickgelu" if quick else str(config.name).removesuffix("-quickgelu")
        raise SluiceError(
            f"the weights {config.pretrained} were trained {'with' if quick else 'without'} QuickGELU, and "
            f"{config.name} is {'without' if quick else 'with'}: the vectors would be wrong. Write name: {other}"
        )


def _preprocess(fields: Mapping[str, Any], name: str) -> Preprocess:
    """What open_clip set for this model, tried against its own transform."""
    transform: Any = optional("open_clip.transform", *_EXTRA)
    theirs: Callable[[Image.Image], Any] = transform.image_transform_v2(
        transform.PreprocessCfg(**fields), is_train=False
    )
    side: Any = fields["size"]
    height, width = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
    method: Interpolation = "bilinear" if fields["interpolation"] == "bilinear" else "bicubic"
    fill = int(fields["fill_color"])
    try:
        ours = Preprocess(
            width=width,
            height=height,
            fit=_FITS[fields["resize_mode"]],
            interpolation=method,
            mean=_three(fields["mean"]),
            std=_three(fields["std"]),
            fill=(fill, fill, fill),
        )
    except (TypeError, ValueError) as error:
        raise SluiceError(f"{name}: preprocess_cfg: {error}") from error
    return check_preprocess(ours, lambda image: theirs(Image.fromarray(image)).numpy(), name)


def _three(value: Any) -> tuple[float, float, float]:
    red, green, blue = [value] * 3 if isinstance(value, int | float) else value
    return float(red), float(green), float(blue)


def _tokenizer_bytes(tokenizer: Any) -> Path | bytes:
    """What a tokenizer is made of: all of a fast one's state, or the file of merges that open_clip's own reads."""
    inner: Any = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        merges: str = optional("open_clip.tokenizer", *_EXTRA).default_bpe()
        return Path(merges)
    if hasattr(inner, "backend_tokenizer"):
        return str(inner.backend_tokenizer.to_str()).encode()
    return json.dumps(inner.get_vocab(), sort_keys=True).encode()


def _called(what: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        return function(*arguments, **options)
    except SluiceError:
        raise
    except Exception as error:  # open_clip, torch and the hub raise what they like
        raise SluiceError(f"{what}: open_clip cannot load it: {type(error).__name__}: {error}") from error
