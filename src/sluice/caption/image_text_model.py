"""A model of `transformers` that makes texts from images: how each family is asked, and what its tokens say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.caption.base import SCALE, CaptionKind
from sluice.caption.batches import OutOfMemoryError
from sluice.caption.config import PromptConfig, TransformersConfig
from sluice.caption.prompts import PROMPTS
from sluice.errors import RecipeError, SluiceError
from sluice.models.digest import check_hash, content_hash
from sluice.models.extras import optional
from sluice.models.offline import network
from sluice.models.transformers_model import file_names, first_line, has_safetensors, load_class, model_files

_EXTRA: Final = ("a captioner of transformers", "transformers")
_FLORENCE: Final[dict[CaptionKind, str]] = {
    "short": "<CAPTION>",
    "dense": "<MORE_DETAILED_CAPTION>",
    "ocr": "<OCR>",
    "grounded": "<OD>",
}


@dataclass(frozen=True)
class Said:
    """What a model said of an image: `text`, `boxes` (label; left, top, right, bottom in [0, 1000]) or a failure."""

    fields: Mapping[str, Any]
    tokens_in: int
    tokens_out: int


class ImageTextModel:
    """A model from a folder that `save_pretrained` wrote. No code in it is run."""

    def __init__(self, config: TransformersConfig, folder: Path) -> None:
        files = {file: folder / file for file in model_files(file_names(folder))}
        if "config.json" not in files:
            raise SluiceError(f"{folder}: is no model of transformers: it has no config.json")
        self.hash: Final = check_hash(content_hash(files), config.hash, str(folder))
        self._config = config
        with network(False):  # everything is in the folder; what is not, is an error
            self._torch = optional("torch", *_EXTRA)
            self._image: Any = optional("PIL.Image", *_EXTRA)
            self._torch.set_num_threads(config.threads)
            self._processor: Any = load_class("AutoProcessor", folder)
            self._model: Any = _model(folder, has_safetensors(files))
        self._dtype = getattr(self._torch, config.dtype)
        self._model.to(config.device, self._dtype).eval()
        self._tokenizer: Any = getattr(self._processor, "tokenizer", self._processor)
        if not self._model.config.is_encoder_decoder:
            self._tokenizer.padding_side = "left"  # a model that goes on with its prompt must find its end at the end
        self._family = str(self._model.config.model_type)
        homes = (self._processor, self._tokenizer)
        self._chat = any(getattr(home, "chat_template", None) for home in homes)
        self._pad = _pad(self._model, self._tokenizer)
        self._stops = _stops(self._model, self._tokenizer) | {self._pad}

    def prompt(self) -> PromptConfig | None:
        """What it is asked, in the way that its family takes; None where it is given the image alone."""
        config = self._config
        if config.prompt is not None:
            return config.prompt
        if self._family == "florence2" and config.kind in _FLORENCE:
            return PromptConfig(name=f"florence-2 {config.kind}", text=_FLORENCE[config.kind])
        if self._chat:
            return PROMPTS[config.kind]
        if config.kind == "short":
            return None
        raise RecipeError(
            f"captioner {config.name}: {self._family} takes no instructions for {config.kind}: say kind: short, or "
            "prompt: with a text that makes it write what is wanted"
        )

    def say(self, pixels: list[npt.NDArray[np.uint8]], prompts: list[str | None]) -> list[Said]:
        """What it says of each image. `OutOfMemoryError` where that is too many at a time."""
        images = [self._image.fromarray(one) for one in pixels]
        try:
            inputs = self._inputs(images, prompts).to(self._config.device, self._dtype)
            if self._config.temperature > 0:
                self._torch.manual_seed(self._config.seed)
            with self._torch.inference_mode():
                out = self._model.generate(**inputs, **_how_to_generate(self._config))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if self._config.device.startswith("cuda"):
                self._torch.cuda.empty_cache()
            raise OutOfMemoryError(first_line(error)) from None
        asked, mask = inputs.get("input_ids"), inputs.get("attention_mask")
        if asked is not None and out.shape[1] > asked.shape[1] and self._torch.equal(out[:, : asked.shape[1]], asked):
            out = out[:, asked.shape[1] :]  # a model that goes on with its prompt gives it back
        return [
            Said(
                self._fields(row, prompts[place], images[place].size),
                0 if asked is None or mask is None else int(mask[place].sum()),
                sum(token != self._pad for token in row),
            )
            for place, row in enumerate(out.tolist())
        ]

    def _inputs(self, images: list[Any], prompts: list[str | None]) -> Any:
        if prompts[0] is None:
            return self._processor(images=images, return_tensors="pt")
        texts = [self._templated(prompt or "") for prompt in prompts]
        listed = [[image] for image in images] if self._chat else images
        return self._processor(images=listed, text=texts, padding=True, return_tensors="pt")

    def _templated(self, prompt: str) -> str:
        if not self._chat:
            return prompt
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )

    def _fields(self, row: list[int], prompt: str | None, size: tuple[int, int]) -> dict[str, Any]:
        if row[-1] not in self._stops:
            message = f"the caption is cut at {self._config.max_tokens} tokens: raise max_tokens"
            return {"kind": "cut", "message": message}
        if self._family == "florence2" and prompt in ("<OD>", "<DENSE_REGION_CAPTION>"):
            text = self._tokenizer.decode(row, skip_special_tokens=False)
            found = self._processor.post_process_generation(text, task=prompt, image_size=size)[prompt]
            return boxed(found["labels"], found["bboxes"], size)
        return {"text": self._tokenizer.decode(row, skip_special_tokens=True)}


def boxed(labels: list[str], boxes: list[list[float]], size: tuple[int, int]) -> dict[str, Any]:
    """Florence-2's boxes, in px of an image of `size`, in [0, 1000].

    >>> boxed(["dog"], [[64, 0, 320, 240]], (640, 480))
    {'boxes': [['dog', [100, 0, 500, 500]]]}
    >>> boxed([], [], (640, 480))["kind"]
    'empty'
    """
    found: list[list[Any]] = []
    for label, (left, top, right, bottom) in zip(labels, boxes, strict=True):
        scaled = [round(SCALE * at / side) for at, side in zip((left, top, right, bottom), cycle(size), strict=False)]
        within = [min(max(at, 0), SCALE) for at in scaled]
        if label.strip() and within[0] < within[2] and within[1] < within[3]:
            found.append([label.strip(), within])
    return {"boxes": found} if found else {"kind": "empty", "message": "the model found nothing with a box"}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, or the machine, said that memory ran out; each device has words of its own for it.

    >>> is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."))
    True
    """
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in text for words in ("out of memory", "can't allocate memory", "not enough memory"))
    )


def _model(folder: Path, safe: bool) -> Any:
    """The model with all its weights: a folder that lacks some would be filled up with random ones."""
    model, report = load_class("AutoModelForImageTextToText", folder, use_safetensors=safe, output_loading_info=True)
    if lacking := sorted(report["missing_keys"]):
        raise SluiceError(f"{folder}: the weights lack {len(lacking)} tensors of the model, {lacking[0]} among them")
    return model


def _how_to_generate(config: TransformersConfig) -> dict[str, Any]:
    drawn: dict[str, Any] = {"temperature": config.temperature} if config.temperature > 0 else {}
    return {
        "max_new_tokens": config.max_tokens,
        "num_beams": config.beams,
        "do_sample": config.temperature > 0,
        "forced_eos_token_id": None,  # Florence-2's: it would make a caption that is cut look whole
        **drawn,
    }


def _ids(value: object) -> set[int]:
    if isinstance(value, int):
        return {value}
    return {one for one in value if isinstance(one, int)} if isinstance(value, list | tuple) else set()


def _stops(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end a text; BLIP's is the separator of its BERT."""
    text = getattr(model.config, "text_config", model.config)
    homes = ((model.generation_config, "eos_token_id"), (text, "eos_token_id"), (tokenizer, "eos_token_id"))
    found = set[int]().union(*(_ids(getattr(home, name, None)) for home, name in homes))
    if str(model.config.model_type) == "blip":
        found |= _ids(getattr(text, "sep_token_id", None))
    return found


def _pad(model: Any, tokenizer: Any) -> int:
    text = getattr(model.config, "text_config", model.config)
    for home in (tokenizer, model.generation_config, text):
        if isinstance(pad := getattr(home, "pad_token_id", None), int):
            return pad
    return -1
