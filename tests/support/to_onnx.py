"""A model of transformers or open_clip as a folder of two towers in ONNX."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from sluice.models.open_clip_model import OpenClipModel
from sluice.models.torch_encoder import TorchEncoder
from sluice.models.transformers_model import TransformersModel

_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # CLIP's


class _Tower(torch.nn.Module):
    """What `features` makes of what is given; `model` is held so that its weights are exported."""

    def __init__(self, model: Any, features: Any) -> None:
        super().__init__()
        self.model, self.features = model, features
        self.eval()

    def forward(self, given: Any) -> Any:
        return self.features(given)


def save_as_onnx(encoder: TorchEncoder, folder: Path) -> Path:
    """Both towers, `encoder.json` and a `tokenizer.json` of the package tokenizers."""
    folder.mkdir(parents=True)
    towers, side = encoder.towers, encoder.preprocess
    tokenizer, length, pad = _tokenizer(encoder)
    tokenizer.save(str(folder / "tokenizer.json"))
    pixels, tokens = torch.zeros(2, 3, side.height, side.width), torch.full((2, length), pad)
    tokens[:, :3] = torch.tensor(tokenizer.encode("a").ids[:3])
    text = towers.text if isinstance(encoder, OpenClipModel) else lambda given: towers.text({"input_ids": given})
    for name, tower, example, takes in (
        ("image", towers.image, pixels, "pixels"),
        ("text", text, tokens, "tokens"),
    ):
        torch.onnx.export(
            _Tower(towers.model, tower),
            (example,),
            str(folder / f"{name}.onnx"),
            input_names=[takes],
            output_names=["vectors"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    fields = {
        "format": "sluice-encoder/1",
        "name": encoder.identity.name,
        "revision": encoder.identity.revision,
        "dim": encoder.dim,
        "languages": None,
        "world": None,
        "preprocess": asdict(encoder.preprocess),
        "image": {"file": "image.onnx", "input": "pixels", "output": "vectors"},
        "text": {"file": "text.onnx", "input": "tokens", "output": "vectors"},
        "tokenizer": {"type": "tokenizers", "file": "tokenizer.json", "length": length, "pad": pad},
    }
    (folder / "encoder.json").write_text(json.dumps(fields))
    return folder


def _tokenizer(encoder: TorchEncoder) -> tuple[Tokenizer, int, int]:
    """The tokenizer, how long a text is for it, and what fills it up."""
    own = encoder.towers.tokenizer
    if isinstance(encoder, TransformersModel):
        return own.backend_tokenizer, int(own.model_max_length), int(own.pad_token_id)
    return _of_open_clip(own), int(own.context_length), 0


def _of_open_clip(own: Any) -> Tokenizer:
    """open_clip's own byte-pair tokenizer; what ftfy mends of a text beforehand, this one does not."""
    merges = [pair for pair, _ in sorted(own.bpe_ranks.items(), key=lambda pair: pair[1])]
    pairs = models.BPE(own.encoder, merges, end_of_word_suffix="</w>", continuing_subword_prefix="", fuse_unk=False)
    tokenizer = Tokenizer(pairs)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    ends = [("<start_of_text>", own.sot_token_id), ("<end_of_text>", own.eot_token_id)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start_of_text> $A <end_of_text>", special_tokens=ends
    )
    return tokenizer
