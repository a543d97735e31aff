"""The built-in encoder in the formats of transformers and open_clip.

Neither library knows its architecture. But both let a program add one, and then load, prepare, batch and hash it as any
other: what is tested is that our adapters take it as it is. A folder alone would not do: it holds no code, and ours
never run code that lies in a model's folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import open_clip.hf_configs
import timm
import torch
import transformers as hf
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from sluice.models.hashed_words import HashedWords, tokens
from sluice.train.restore import restored
from sluice.train.towers import ImageTower, Shape, TextTower

KIND = "sluice-builtin"
WORDS = HashedWords(length=Shape().length, buckets=Shape().buckets, characters=(1,))  # as its encoder.json says


class WordsTokenizer(hf.PreTrainedTokenizer):
    """Hashed words, whose numbers are their tokens."""

    model_input_names: ClassVar = ["input_ids", "attention_mask"]

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"pad_token": "0", **options})

    @property
    def vocab_size(self) -> int:
        return Shape().buckets + 1

    def get_vocab(self) -> dict[str, int]:
        return {str(number): number for number in range(self.vocab_size)}

    def tokenize(self, text: str, **_: Any) -> list[str]:
        numbers = tokens([text], WORDS)[0]
        return [str(number) for number in numbers if number]

    def _convert_token_to_id(self, token: str) -> int:
        return int(token)

    def _convert_id_to_token(self, index: int) -> str:
        return str(index)

    def save_vocabulary(self, *_: Any, **__: Any) -> tuple[str, ...]:
        return ()


class WordsConfig(hf.PretrainedConfig):
    model_type = KIND
    hidden_size = Shape().dim
    max_position_embeddings = Shape().length
    pad_token_id = 0


class Towers(hf.PreTrainedModel):
    """Both towers as transformers wants a model with features of images and texts."""

    config_class = WordsConfig

    def __init__(self, config: WordsConfig) -> None:
        super().__init__(config)
        self.image, self.text = ImageTower(Shape()), TextTower(Shape())
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """They are loaded."""

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        return self.image(pixel_values)

    def get_text_features(self, input_ids: Tensor, **_: Any) -> Tensor:
        short = Shape().length - input_ids.shape[1]  # of a text without words, all places count
        return self.text(nn.functional.pad(input_ids, (0, short)))


class WordsTextConfig(WordsConfig):
    model_type = f"{KIND}-text"


class TextAlone(hf.PreTrainedModel):
    """The text tower as open_clip wants one of transformers: its vector is the state of a first, only token."""

    config_class = WordsTextConfig

    def __init__(self, config: WordsTextConfig, add_pooling_layer: bool = False) -> None:
        super().__init__(config)
        self.text = TextTower(Shape())
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """They are loaded."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self.text(input_ids)[:, None])


def sluice_builtin_image(pretrained: bool = False, num_classes: int = 0, **_: Any) -> ImageTower:
    """The image tower as timm makes models."""
    return ImageTower(Shape())


def _known() -> None:
    """Make both libraries know the classes above."""
    hf.AutoConfig.register(KIND, WordsConfig, exist_ok=True)
    hf.AutoModel.register(WordsConfig, Towers, exist_ok=True)
    hf.AutoTokenizer.register(WordsConfig, slow_tokenizer_class=WordsTokenizer, exist_ok=True)
    hf.AutoConfig.register(f"{KIND}-text", WordsTextConfig, exist_ok=True)
    hf.AutoModel.register(WordsTextConfig, TextAlone, exist_ok=True)
    hf.AutoTokenizer.register(WordsTextConfig, slow_tokenizer_class=WordsTokenizer, exist_ok=True)
    names = {"width": "hidden_size", "context_length": "max_position_embeddings"}
    open_clip.hf_configs.arch_dict[f"{KIND}-text"] = {"config_names": names, "pooler": "cls_last_hidden_state_pooler"}
    if not timm.is_model(sluice_builtin_image.__name__):
        sys.modules[__name__].__dict__.setdefault("__all__", [])
        timm.models.register_model(sluice_builtin_image)


def as_transformers(builtin: Path, folder: Path) -> Path:
    """The built-in encoder as `save_pretrained` writes a model. Its padding with grey has no equal: it stretches."""
    _known()
    fields = json.loads((builtin / "encoder.json").read_text())["preprocess"]
    model = Towers(WordsConfig())
    image, text = restored(builtin)
    model.image.load_state_dict(image.state_dict())
    model.text.load_state_dict(text.state_dict())
    model.save_pretrained(folder)
    WordsTokenizer(model_max_length=Shape().length).save_pretrained(folder)
    hf.SiglipImageProcessorPil(
        size={"height": fields["height"], "width": fields["width"]},
        resample=2,
        image_mean=fields["mean"],
        image_std=fields["std"],
    ).save_pretrained(folder)
    return folder


def as_open_clip(builtin: Path, folder: Path) -> Path:
    """The built-in encoder as a folder of open_clip, prepared as it is here, padding and grey included."""
    _known()
    fields = json.loads((builtin / "encoder.json").read_text())["preprocess"]
    WordsTextConfig().save_pretrained(folder)
    WordsTokenizer(model_max_length=Shape().length).save_pretrained(folder)
    text = {
        "hf_model_name": str(folder),
        "hf_tokenizer_name": str(folder),
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "hf_proj_type": None,
        "context_length": Shape().length,
    }
    vision = {"timm_model_name": sluice_builtin_image.__name__, "timm_pool": "", "timm_proj": ""}
    vision["image_size"] = Shape().side
    model = {"embed_dim": Shape().dim, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    prepared = {"resize_mode": "longest", "interpolation": "bilinear", "fill_color": fields["fill"][0]}
    prepared |= {"mean": fields["mean"], "std": fields["std"]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": prepared}))
    made = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    image, words = restored(builtin)
    made.visual.trunk.load_state_dict(image.state_dict())
    made.text.transformer.text.load_state_dict(words.state_dict())
    save_file(
        {name: value.contiguous() for name, value in made.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    assert torch.is_tensor(made.logit_scale)
    return folder
