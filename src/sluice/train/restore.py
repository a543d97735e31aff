"""Reading an exported encoder back as torch modules: to train on from, or to carry into another library.

The export left three traces that are undone here: larger weights are halves behind a cast, a normalisation after a
convolution is folded into it, and what a matrix multiplies with is stored the other way round, without a name.
"""

# torch and onnx are an extra: checked with or without them
# pyright: reportMissingImports=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from sluice.errors import SluiceError
from sluice.train.towers import ImageTower, Shape, TextTower

_ONLY_TRAINING: Final = "cells."  # heads that are not exported
_HALF: Final = ".half"

Tower = TypeVar("Tower", bound=nn.Module)


def restored(folder: Path, shape: Shape | None = None) -> tuple[ImageTower, TextTower]:
    """The towers of the model folder that `sluice train encoder` wrote, ready to run; heads of training start anew."""
    shape = shape or Shape()
    return _filled(ImageTower(shape), folder / "image.onnx"), _filled(TextTower(shape), folder / "text.onnx")


def _filled(tower: Tower, file: Path) -> Tower:
    """The tower with the weights of `file`."""
    try:
        graph = onnx.load(file).graph
    except (OSError, ValueError) as error:
        raise SluiceError(f"{file}: cannot be read as ONNX: {error}") from error
    stored = {
        weight.name.removesuffix(_HALF): torch.from_numpy(numpy_helper.to_array(weight).copy()).float()
        for weight in graph.initializer
    }
    weights = {**stored, **dict(_multiplied(graph, stored)), **dict(_folded(tower, graph, stored))}
    own = tower.state_dict()
    lacking = [
        name
        for name, value in own.items()
        if not name.startswith(_ONLY_TRAINING) and (name not in weights or weights[name].shape != value.shape)
    ]
    if lacking:
        raise SluiceError(f"{file}: is no export of a {type(tower).__name__} of this shape: it lacks {lacking[0]}")
    tower.load_state_dict({name: weights.get(name, value) for name, value in own.items()})
    return tower.eval()


def _multiplied(graph: onnx.GraphProto, stored: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The weights of linear layers: named by the bias that is added to what they gave."""
    addends = {name: node.input for node in graph.node if node.op_type == "Add" for name in node.input}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in stored:
            bias = next((name for name in addends.get(node.output[0], ()) if name.endswith(".bias")), None)
            if bias is not None:
                yield f"{bias.removesuffix('.bias')}.weight", stored[node.input[1]].T


def _folded(tower: nn.Module, graph: onnx.GraphProto, stored: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Convolutions into which a normalisation went, in the order in which they stand in the tower."""
    named = tower.state_dict()
    convolutions = [node.input for node in graph.node if node.op_type == "Conv" and node.input[1] not in named]
    norms = [(name, part) for name, part in tower.named_modules() if isinstance(part, nn.BatchNorm2d)]
    for (name, norm), (_, weight, bias) in zip(norms, convolutions, strict=True):
        before, _, number = name.rpartition(".")
        yield f"{before}.{int(number) - 1}.weight", stored[weight]
        yield f"{name}.weight", torch.full_like(stored[bias], (1 + norm.eps) ** 0.5)
        yield f"{name}.bias", stored[bias]
        yield f"{name}.running_mean", torch.zeros_like(stored[bias])
        yield f"{name}.running_var", torch.ones_like(stored[bias])
        yield f"{name}.num_batches_tracked", torch.tensor(0)
