"""What a sample becomes for training, without augmentation: its first image at one size, and its best caption."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sluice.errors import RecipeError, SampleFailure
from sluice.load.reading import Sample
from sluice.media.decode import decode_padded
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.media.resize import resize

Fit = Literal["crop", "pad"]

_GRAY: Final = 127  # what lies beside an image that was padded


class Pair(NamedTuple):
    """An image, uint8 (height, width, 3), and its caption."""

    image: npt.NDArray[np.uint8]
    caption: str | None


@dataclass(frozen=True)
class Pixels:
    """Decode to `side` x `side` px: the middle square (`crop`) or the whole on gray (`pad`); never distorted.

    A JPEG is decoded at the smallest scale of its own that serves.
    """

    side: int = 224
    fit: Fit = "crop"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.side < 1 or self.fit not in ("crop", "pad"):
            raise RecipeError(
                f"pixels want a side from 1 on and a fit of crop or pad, not {self.side} and {self.fit!r}"
            )

    def __call__(self, sample: Sample) -> Pair:
        """The pair of `sample`; SampleFailure where there is no image or it cannot be decoded."""
        if not sample.images:
            raise SampleFailure("decode", "a sample without an image")
        data = sample.images[0]
        header = read_header(data, self.limits)
        longer, shorter = max(header.width, header.height), max(1, min(header.width, header.height))
        least = -(-self.side * longer // shorter) if self.fit == "crop" else self.side
        pixels = decode_padded(data, header, min(longer, least), "rgb", self.limits)
        return Pair(self._cropped(pixels) if self.fit == "crop" else self._padded(pixels), sample.caption)

    def _cropped(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        square = min(width, height)
        left, top = (width - square) / 2, (height - square) / 2
        return resize(pixels, (self.side, self.side), (left, top, left + square, top + square))

    def _padded(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        scale = self.side / max(pixels.shape[:2])
        height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
        whole = np.full((self.side, self.side, 3), _GRAY, np.uint8)
        left, top = (self.side - width) // 2, (self.side - height) // 2
        whole[top : top + height, left : left + width] = resize(pixels, (width, height))
        return whole
