"""Writing a trained encoder as a model folder: two ONNX towers, encoder.json, CARD.md.

Weights are rounded to float16 before anything is measured, stored as such, and widened when the file is loaded: what is
shipped is what was scored, half as large, and computes in float32.
"""

# torch and onnx are an extra: checked with or without them
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

import io
import json
import warnings
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from sluice.synth.scene import LANGUAGES
from sluice.table.commit import write_bytes
from sluice.train.batches import MEAN, STD
from sluice.train.drawn import FILL
from sluice.train.encoder import Trained

NAME: Final = "sluice-builtin"
WORLD: Final = "the drawn scenes of sluice.synth"
FORMAT: Final = "sluice-encoder/1"
_OPSET: Final = 18
_SMALL: Final = 64  # numbers: below this a weight is not worth halving


def rounded(tower: nn.Module) -> nn.Module:
    """The tower with every weight rounded to what float16 can say; in float32 still."""
    copy = deepcopy(tower).eval()
    with torch.no_grad():
        for one in (*copy.parameters(), *copy.buffers()):
            if one.is_floating_point():
                one.copy_(one.half().float())
    return copy


def export(trained: Trained, folder: Path, revision: str) -> None:
    """Write the model folder; `revision` says which training it is."""
    shape, words = trained.recipe.shape, trained.recipe.words
    folder.mkdir(parents=True, exist_ok=True)
    pixels = torch.zeros(2, 3, shape.side, shape.side)
    tokens = torch.ones(2, shape.length, dtype=torch.int64)
    write_bytes(folder / "image.onnx", _onnx(rounded(trained.image), pixels, "pixels"))
    write_bytes(folder / "text.onnx", _onnx(rounded(trained.text), tokens, "tokens"))
    said = {
        "format": FORMAT,
        "name": NAME,
        "revision": revision,
        "dim": shape.dim,
        "languages": list(LANGUAGES),
        "world": WORLD,
        "preprocess": {
            "width": shape.side,
            "height": shape.side,
            "fit": "pad",
            "interpolation": "bilinear",
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
            "fill": list(FILL),
            "order": "rgb",
            "resize": None,
        },
        "image": {"file": "image.onnx", "input": "pixels", "output": "vectors"},
        "text": {"file": "text.onnx", "input": "tokens", "output": "vectors"},
        "tokenizer": {"type": "hashed-words", **asdict(words)},
    }
    write_bytes(folder / "encoder.json", (json.dumps(said, indent=2) + "\n").encode())


def _onnx(tower: nn.Module, example: Tensor, name: str) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # the older exporter: the newer one needs onnxscript, and names its nodes by where the sources lie
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower, (example,), buffer, dynamo=False, opset_version=_OPSET, input_names=[name],
            output_names=["vectors"], dynamic_axes={name: {0: "n"}, "vectors": {0: "n"}},
        )  # fmt: skip
    model = onnx.load_from_string(buffer.getvalue())
    _halve(model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _halve(model: onnx.ModelProto) -> None:
    """Store the larger weights as float16, each with the cast that widens it again."""
    graph = model.graph
    casts: list[onnx.NodeProto] = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _SMALL:
            continue
        name = weight.name
        half = numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), f"{name}.half")
        weight.CopyFrom(half)
        casts.append(helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT))
    for place, cast in enumerate(casts):
        graph.node.insert(place, cast)
