"""Where to cut: windows drawn as RandomResizedCrop draws them, among those that leave the relevant part whole."""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.load.augment.moving import Size, Window

Draws: TypeAlias = npt.NDArray[np.float64]  # from 0 to below 1
Union: TypeAlias = tuple[float, float, float, float] | None

_TRIES: Final = 10  # as torchvision
_BITS: Final = 24


def draw_window(
    image: Size, scale: tuple[float, float], ratio: tuple[float, float], keep: Union, draws: Draws
) -> Window:
    """A window of a share of the image's area in `scale` and of a width / height in `ratio`, around `keep`.

    Where no try fits, the first is enlarged until it holds `keep`, then towards `ratio`, at the limit to the whole
    image; without anything to keep it is the largest in the middle, as torchvision has it. Reads 22 draws.

    >>> draw_window((100, 80), (0.1, 0.2), (1.0, 1.0), (10.0, 10.0, 70.0, 20.0), np.full(22, 0.5))
    (10, 5, 70, 65)
    """
    width, height = image
    held = _outward(keep, image)
    first: Size | None = None
    for one, other in draws[: 2 * _TRIES].reshape(_TRIES, 2).tolist():
        area = width * height * (scale[0] + (scale[1] - scale[0]) * one)
        shape = log_uniform(*ratio, other)
        size = max(1, round(math.sqrt(area * shape))), max(1, round(math.sqrt(area / shape)))
        first = first or size
        if _fits(size, held, image):
            return _placed(size, held, image, draws[2 * _TRIES :])
    if held is None:
        size = _widest(image, ratio)
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        return left, top, left + size[0], top + size[1]
    return _placed(_enlarged(first or image, held, image, ratio), held, image, draws[2 * _TRIES :])


def middle_window(image: Size, size: Size, keep: Union) -> Window:
    """The window of the shape of `size` in the middle, moved and enlarged as little as `keep` asks.

    It reaches past an image that is smaller.

    >>> middle_window((100, 100), (40, 40), None), middle_window((100, 100), (40, 40), (0.0, 40.0, 50.0, 50.0))
    ((30, 30, 70, 70), (0, 25, 50, 75))
    """
    held = _outward(keep, image) or (0, 0, 0, 0)
    times = max(1.0, (held[2] - held[0]) / size[0], (held[3] - held[1]) / size[1])
    edges: list[tuple[int, int]] = []
    for length, side, low, high in zip(size, image, held[:2], held[2:], strict=True):
        span = math.ceil(length * times)
        start = (side - span) // 2
        if keep is not None:
            start = min(max(start, high - span), low)
        if span <= side:
            start = min(max(start, 0), side - span)
        edges.append((start, start + span))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def log_uniform(low: float, high: float, draw: float) -> float:
    """From `low` to `high`, each factor as likely; by square roots alone, which every platform rounds alike.

    >>> log_uniform(1.0, 16.0, 0.0), log_uniform(1.0, 16.0, 0.5), log_uniform(1.0, 16.0, 0.75)
    (1.0, 4.0, 8.0)
    """
    value, root = low, high / low
    for _ in range(_BITS):
        root, draw = math.sqrt(root), draw * 2
        if draw >= 1:
            value, draw = value * root, draw - 1
    return value


def _outward(keep: Union, image: Size) -> Window | None:
    """The whole px that `keep` touches."""
    if keep is None:
        return None
    left, top = max(0, math.floor(keep[0])), max(0, math.floor(keep[1]))
    return left, top, min(image[0], math.ceil(keep[2])), min(image[1], math.ceil(keep[3]))


def _fits(size: Size, held: Window | None, image: Size) -> bool:
    least = (1, 1) if held is None else (held[2] - held[0], held[3] - held[1])
    return all(low <= length <= side for low, length, side in zip(least, size, image, strict=True))


def _placed(size: Size, held: Window | None, image: Size, draws: Draws) -> Window:
    """A window of `size` at one of the places where it holds `held`, each as likely."""
    starts: list[int] = []
    for axis, draw in enumerate(draws[:2].tolist()):
        low, high = 0, image[axis] - size[axis]
        if held is not None:
            low, high = max(low, held[axis + 2] - size[axis]), min(high, held[axis])
        starts.append(low + int(draw * (high - low + 1)))
    return starts[0], starts[1], starts[0] + size[0], starts[1] + size[1]


def _enlarged(size: Size, held: Window, image: Size, ratio: tuple[float, float]) -> Size:
    width = max(min(size[0], image[0]), held[2] - held[0])
    height = max(min(size[1], image[1]), held[3] - held[1])
    if width < ratio[0] * height:
        width = min(image[0], math.ceil(ratio[0] * height))
    elif width > ratio[1] * height:
        height = min(image[1], math.ceil(width / ratio[1]))
    return width, height


def _widest(image: Size, ratio: tuple[float, float]) -> Size:
    width, height = image
    if width < ratio[0] * height:
        return width, max(1, min(height, round(width / ratio[0])))
    if width > ratio[1] * height:
        return max(1, min(width, round(height * ratio[1]))), height
    return image
