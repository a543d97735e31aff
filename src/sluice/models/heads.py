"""A head: a small network over stored vectors, such as one for NSFW, watermarks or aesthetics.

It costs microseconds a vector and needs no image; but it means something for the vectors of the very encoder it was
trained on only, so it is bound to that encoder's hash.

A head is one file. Either `.npz`, layers in the order of their numbers, ReLU between them:

    weight_0 (dim, hidden)  bias_0 (hidden,)  weight_1 (hidden, 1)  bias_1 (1,)   # float; as many as you like
    head                                       # text: the JSON below

or `.onnx`, float32 (n, dim) to float32 (n,) or (n, outputs), the JSON under `head` in its metadata:

    {"format": "sluice-head/1", "name": "nsfw", "revision": "1", "encoder": "<32 hexadecimal digits>",
     "output": "linear" | "sigmoid" | "softmax", "column": 0}

`output` is what is done with the last layer's numbers, `column` which of them is the score.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.errors import SluiceError
from sluice.models.base import Identity
from sluice.models.digest import check_hash, content_hash
from sluice.models.extras import optional

FORMAT: Final = "sluice-head/1"
_BATCH: Final = 4096  # vectors at a time: 16 MB of hidden numbers for a layer of 1,024

Scores = npt.NDArray[np.float32]
_Network = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


class HeadConfig(BaseModel):
    """What a recipe may say of a head."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="The file, `.npz` or `.onnx`.")
    hash: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{32}$",
        description="The hash that the file must have; another stops the run. Default: any, recorded.",
    )


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["sluice-head/1"]
    name: str
    revision: str
    encoder: str = Field(pattern="^[0-9a-f]{32}$")
    output: Literal["linear", "sigmoid", "softmax"]
    column: int = Field(default=0, ge=0)


class Head:
    """A head, ready; `identity` is over its file, `encoder` the hash of the encoder whose vectors it reads."""

    def __init__(self, path: Path, *, hash: str | None = None) -> None:
        found = check_hash(content_hash({"head": path}), hash, str(path))
        if path.suffix == ".npz":
            manifest, network, dim, outputs = _npz(path)
        elif path.suffix == ".onnx":
            manifest, network, dim, outputs = _onnx(path)
        else:
            raise SluiceError(f"{path}: a head is a .npz or an .onnx file")
        if outputs is not None and manifest.column >= outputs:
            raise SluiceError(f"{path}: column {manifest.column} of {outputs}: the last layer has no such number")
        self.identity: Final = Identity(manifest.name, manifest.revision, found, None)
        self.encoder: Final = manifest.encoder
        self.dim: Final = dim
        self._path = path
        self._network = network
        self._manifest = manifest

    def score(self, vectors: npt.ArrayLike) -> Scores:
        """A number a row; NaN, which means unscored, where the vector is NaN."""
        rows = np.asarray(vectors, np.float32)
        if rows.ndim != 2 or (self.dim is not None and rows.shape[1] != self.dim):
            raise SluiceError(f"{self._path}: reads vectors of {self.dim} numbers, and got {rows.shape}")
        scores = np.full(len(rows), np.nan, np.float32)
        for start in range(0, len(rows), _BATCH):
            piece = rows[start : start + _BATCH]
            known = np.isfinite(piece).all(axis=1)
            if known.any():
                scores[start : start + _BATCH][known] = self._scored(piece[known])
        return scores

    def _scored(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        last = np.asarray(self._network(rows), np.float32).reshape(len(rows), -1)
        if self._manifest.column >= last.shape[1]:
            raise SluiceError(
                f"{self._path}: gives {last.shape[1]} numbers a vector, and column is {self._manifest.column}"
            )
        if self._manifest.output == "softmax":
            raised = np.exp(last - last.max(axis=1, keepdims=True))
            last = raised / raised.sum(axis=1, keepdims=True)
        chosen = last[:, self._manifest.column]
        if self._manifest.output == "sigmoid":
            chosen = 1 / (1 + np.exp(-np.clip(chosen, -80, 80)))  # beyond, float32 has 0 and 1 only
        return chosen.astype(np.float32)


def load_head(config: HeadConfig, encoder: Identity, base: Path = Path()) -> Head:
    """The head that `config` names, refused unless it was made for the vectors of `encoder`."""
    path = base / config.path
    head = Head(path, hash=config.hash)
    if head.encoder != encoder.hash:
        raise SluiceError(
            f"{path}: this head reads vectors of the encoder {head.encoder}, and these are of {encoder.name} "
            f"({encoder.hash}): its scores would mean nothing. Give a head that was trained on this encoder's vectors"
        )
    return head


_Loaded = tuple[_Manifest, _Network, int | None, int | None]


def _npz(path: Path) -> _Loaded:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise SluiceError(f"{path}: cannot be read as a .npz file of plain arrays: {error}") from error
    manifest = _manifest(path, str(arrays.pop("head", "")))
    count = len(arrays) // 2
    names = [f"{part}_{number}" for number in range(count) for part in ("weight", "bias")]
    if not count or sorted(names) != sorted(arrays):
        raise SluiceError(
            f"{path}: expected weight_0, bias_0, weight_1, ..., found {', '.join(sorted(arrays)) or 'none'}"
        )
    layers = [
        (arrays[f"weight_{number}"].astype(np.float32), arrays[f"bias_{number}"].astype(np.float32))
        for number in range(count)
    ]
    width: int | None = None
    for number, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or bias.shape != weight.shape[1:] or width not in (None, weight.shape[0]):
            raise SluiceError(
                f"{path}: layer {number}: a weight of {weight.shape} and a bias of {bias.shape} after {width} numbers"
            )
        width = weight.shape[1]

    def network(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        for number, (weight, bias) in enumerate(layers):
            rows = rows @ weight + bias
            if number < len(layers) - 1:
                rows = np.maximum(rows, 0)
        return rows

    return manifest, network, layers[0][0].shape[0], width


def _onnx(path: Path) -> _Loaded:
    runtime: Any = optional("onnxruntime", "a head in ONNX", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        session: Any = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises half a dozen unrelated types
        raise SluiceError(f"{path}: onnxruntime cannot load it: {error}") from error
    manifest = _manifest(path, session.get_modelmeta().custom_metadata_map.get("head", ""))
    entry = session.get_inputs()[0]
    dim = entry.shape[-1] if isinstance(entry.shape[-1], int) else None
    output = session.get_outputs()[0].name

    def network(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return session.run([output], {entry.name: rows})[0]

    return manifest, network, dim, None


def _manifest(path: Path, text: str) -> _Manifest:
    if not text:
        raise SluiceError(
            f"{path}: holds no `head`: it does not say which encoder it belongs to (the format is {FORMAT})"
        )
    try:
        return _Manifest.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise SluiceError(f"{path}: head: {'.'.join(map(str, first['loc']))}: {first['msg']} ({FORMAT})") from error
    except ValueError as error:
        raise SluiceError(f"{path}: head: is no JSON: {error}") from error
