"""What an encoder is: images and texts in, vectors of length 1 in one space out, and who it is that says so.

How images are prepared is part of who it is: the same weights behind another crop are another encoder, with
another calibration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from sluice.errors import SampleFailure

Vectors: TypeAlias = npt.NDArray[np.float32]
"""(n, dim). Each row has length 1, or is NaN throughout where the model gave nothing that has a direction."""
Pixels: TypeAlias = npt.NDArray[np.uint8]
"""(height, width, 3), sRGB."""

Fit = Literal["crop", "pad", "stretch"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

_SAME_ASPECT: Final = 0.01

T = TypeVar("T")


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes a tensor of `width` x `height` px, read from the model's own configuration.

    `crop`: the shorter side is scaled to `resize` (else so that the tensor is just covered), then the centre is cut.
    `pad`: the longer side is scaled to fit, and the rest is `fill`. `stretch`: both sides are scaled, shapes change.
    """

    width: int
    height: int
    fit: Fit
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill: tuple[int, int, int] = (0, 0, 0)  # of padding, 0-255, before normalising
    order: Literal["rgb", "bgr"] = "rgb"
    resize: int | None = None  # px of the shorter side before a crop, where it differs from the tensor's
    centre: Literal["nearest", "floor"] = (
        "nearest"  # where a crop begins if an odd number of px is cut: libraries differ
    )

    def __post_init__(self) -> None:
        if min(self.width, self.height, 1 if self.resize is None else self.resize) < 1:
            raise ValueError("width, height and resize are at least 1 px")
        if not all(math.isfinite(value) for value in self.mean + self.std) or min(self.std) <= 0:
            raise ValueError(f"mean and std are finite numbers, std above 0: {self.mean}, {self.std}")

    def distorts(self, width: int, height: int) -> bool:
        """Whether an image of this size would have its aspect changed by more than 1%.

        >>> square = Preprocess(224, 224, "stretch", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        >>> square.distorts(640, 480), square.distorts(480, 481)
        (True, False)
        """
        if self.fit != "stretch":
            return False
        change = (width * self.height) / (height * self.width)
        return max(change, 1 / change) > 1 + _SAME_ASPECT


@dataclass(frozen=True)
class Identity:
    """Which model it is. Two with the same hash give the same vectors; the names are for people."""

    name: str
    revision: str
    hash: str  # 32 hexadecimal digits over the weights, the tokenizer and the configuration
    languages: tuple[str, ...] | None  # BCP 47, those it knows; None: not stated
    world: str | None = None  # a sentence, where it knows a small world only


class Encoder(Protocol):
    """One space for images and texts. Batches of any size; the size changes the time, not the vectors."""

    @property
    def identity(self) -> Identity: ...
    @property
    def preprocess(self) -> Preprocess: ...
    @property
    def dim(self) -> int: ...

    def encode_images(self, images: Sequence[Pixels]) -> Vectors:
        """A row an image; NaN where the model gave none."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """A row a text; NaN where the model gave none."""
        ...


def unit(vectors: npt.ArrayLike) -> Vectors:
    """The rows scaled to length 1; a row that is zero or not finite has no direction and becomes NaN.

    >>> unit([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6000000238418579, 0.800000011920929], [nan, nan]]
    """
    rows = np.asarray(vectors, np.float32)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)
        usable = np.isfinite(lengths) & (lengths > 0)
        return np.where(usable, rows / np.where(usable, lengths, 1), np.nan).astype(np.float32)


def in_batches(items: Sequence[T], size: int, dim: int, encode: Callable[[Sequence[T]], npt.ArrayLike]) -> Vectors:
    """`encode` over `items`, `size` at a time: (n, dim), checked, rows of length 1."""
    out = np.empty((len(items), dim), np.float32)
    for start in range(0, len(items), size):
        piece = items[start : start + size]
        vectors = np.asarray(encode(piece), np.float32)
        if vectors.shape != (len(piece), dim):
            raise SampleFailure(
                "model", f"the model gave an array of shape {vectors.shape} where {(len(piece), dim)} was due"
            )
        out[start : start + len(piece)] = unit(vectors)
    return out
