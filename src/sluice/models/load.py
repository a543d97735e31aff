"""From what a recipe says of an encoder to the encoder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from sluice.errors import SluiceError
from sluice.models.base import Encoder
from sluice.models.config import (
    BuiltinConfig,
    EncoderConfig,
    OnnxConfig,
    OpenClipConfig,
    PrecomputedConfig,
    TransformersConfig,
)
from sluice.models.offline import Say, say
from sluice.models.precomputed import Precomputed

BUILTIN: Final = "builtin"  # the folder beside this file


def load_encoder(config: EncoderConfig, say: Say = say) -> Encoder:
    """The encoder that `config` names, ready. What is downloaded, if anything may be, is told to `say` before."""
    if isinstance(config, BuiltinConfig | OnnxConfig):
        from sluice.models.onnx_pair import OnnxPair

        return OnnxPair(
            builtin_folder() if isinstance(config, BuiltinConfig) else Path(config.path),
            hash=config.hash,
            languages=config.languages,
            device=config.device,
            batch=config.batch,
            threads=config.threads,
        )
    if isinstance(config, TransformersConfig):
        return _transformers(config, say)
    if isinstance(config, OpenClipConfig):
        from sluice.models.open_clip_model import OpenClipModel

        return OpenClipModel(config, say)
    from sluice.models.http_service import HttpService

    return HttpService(config)


def load_precomputed(config: PrecomputedConfig) -> Precomputed:
    """The table of vectors that `config` names: it looks up, and encodes nothing."""
    return Precomputed(config)


def _transformers(config: TransformersConfig, say: Say) -> Encoder:
    from sluice.models.transformers_model import TransformersModel, find_on_hub

    if config.path is not None:
        folder, revision = Path(config.path), "local"
        if not folder.is_dir():
            raise SluiceError(f"{folder}: there is no such folder")
    else:
        folder, revision = find_on_hub(config.name or "", config.revision, config.download, say)
    return TransformersModel(
        folder,
        name=config.name,
        revision=revision,
        hash=config.hash,
        languages=config.languages,
        device=config.device,
        batch=config.batch,
        threads=config.threads,
    )


def builtin_folder() -> Path:
    """Where the encoder that comes with the package lies."""
    folder = Path(str(files("sluice.models").joinpath(BUILTIN)))
    if not (folder / "encoder.json").is_file():
        raise SluiceError(f"{folder}: this installation of Sluice lacks its built-in encoder: install it again")
    return folder
