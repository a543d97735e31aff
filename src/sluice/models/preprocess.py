"""Images to a model's tensor as the model's own library would: Pillow's filters, the same roundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sluice.models.base import Pixels, Preprocess

_FILTERS: Final = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_WASTEFUL: Final = 1 << 24  # px of a scaled image most of which would be cut off: 48 MB


@dataclass(frozen=True)
class Placement:
    """An image scaled to `width` x `height` px, of which the tensor shows the part that begins at (`left`, `top`)."""

    width: int
    height: int
    left: int  # px; negative where padding stands before the image
    top: int


def tensor(images: Sequence[Pixels], preprocess: Preprocess) -> npt.NDArray[np.float32]:
    """(n, 3, height, width), normalised, channels in the model's order."""
    out = np.empty((len(images), 3, preprocess.height, preprocess.width), np.float32)
    scale = (1 / (255 * np.asarray(preprocess.std))).astype(np.float32)[:, None, None]
    shift = (np.asarray(preprocess.mean) / np.asarray(preprocess.std)).astype(np.float32)[:, None, None]
    for row, image in zip(out, images, strict=True):
        channels = fitted(image, preprocess).transpose(2, 0, 1)
        np.multiply(channels if preprocess.order == "rgb" else channels[::-1], scale, out=row)
        np.subtract(row, shift, out=row)
    return out


def fitted(image: Pixels, preprocess: Preprocess) -> Pixels:
    """What the model sees, uint8 (height, width, 3) in RGB: scaled, cut or padded, not yet normalised."""
    placed = placement(image.shape[1], image.shape[0], preprocess)
    shown = _scaled(image, placed, preprocess)
    if shown.shape[:2] == (preprocess.height, preprocess.width):
        return shown
    out = np.empty((preprocess.height, preprocess.width, 3), np.uint8)
    out[:] = preprocess.fill
    left, top = max(-placed.left, 0), max(-placed.top, 0)
    out[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return out


def placement(width: int, height: int, preprocess: Preprocess) -> Placement:
    """Where an image of `width` x `height` px goes.

    >>> clip = Preprocess(224, 224, "crop", "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    >>> placement(640, 427, clip)
    Placement(width=335, height=224, left=56, top=0)
    """
    wanted = preprocess.width, preprocess.height
    if preprocess.fit == "stretch":
        return Placement(*wanted, 0, 0)
    if preprocess.fit == "crop" and (preprocess.resize is not None or wanted[0] == wanted[1]):
        shorter = preprocess.resize or preprocess.width
        # As torchvision's Resize and transformers: the longer side is cut down to a whole number, not rounded.
        scaled = (shorter, shorter * height // width) if width <= height else (shorter * width // height, shorter)
    else:  # as open_clip's ResizeKeepRatio
        ratios = width / wanted[0], height / wanted[1]
        ratio = min(ratios) if preprocess.fit == "crop" else max(ratios)
        scaled = max(round(width / ratio), 1), max(round(height / ratio), 1)
    left, top = (_offset(have, want, preprocess.centre) for have, want in zip(scaled, wanted, strict=True))
    return Placement(*scaled, left, top)


def _offset(have: int, want: int, centre: str) -> int:
    spare = have - want
    if centre == "floor":
        return spare // 2
    return round(spare / 2) if spare >= 0 else -(-spare // 2)  # halves to even, as torchvision's CenterCrop


def _scaled(image: Pixels, placed: Placement, preprocess: Preprocess) -> Pixels:
    """The part of the scaled image that the tensor shows."""
    picture = _picture(image)
    method = _FILTERS[preprocess.interpolation]
    left, top = max(placed.left, 0), max(placed.top, 0)
    right = min(placed.left + preprocess.width, placed.width)
    bottom = min(placed.top + preprocess.height, placed.height)
    if placed.width * placed.height <= _WASTEFUL:
        scaled = np.asarray(picture.resize((placed.width, placed.height), method))
        return scaled[top:bottom, left:right, :3]
    # A banner of 60,000 x 10 px would be scaled to a gigabyte to be cut to 224 x 224. Only what is shown is worked
    # out; single pixels differ from the library's, whose two passes Pillow may do in the other order.
    across, down = picture.width / placed.width, picture.height / placed.height
    box = (left * across, top * down, right * across, bottom * down)
    return np.asarray(picture.resize((right - left, bottom - top), method, box=box))[:, :, :3]


def _picture(image: Pixels) -> Image.Image:
    """The image for Pillow; one that was decoded to four bytes a pixel as it lies, for that is Pillow's own form."""
    whole: Any = image.base
    if not isinstance(whole, np.ndarray) or whole.shape != (*image.shape[:2], 4) or not whole.flags.c_contiguous:
        return Image.fromarray(np.ascontiguousarray(image))
    if image.ctypes.data != whole.ctypes.data or image.strides != whole.strides:
        return Image.fromarray(np.ascontiguousarray(image))
    return Image.frombuffer("RGBX", (image.shape[1], image.shape[0]), whole, "raw", "RGBX", 0, 1)
