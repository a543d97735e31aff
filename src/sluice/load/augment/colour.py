"""Changes of colour: pixels to pixels, uint8 (height, width, 3); a factor of 1 and a hue of 0 change nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from sluice.load.augment.example import Pixels


def brightness(pixels: Pixels, factor: float) -> Pixels:
    """Towards black (below 1) or away from it."""
    return _enhanced(ImageEnhance.Brightness, pixels, factor)


def contrast(pixels: Pixels, factor: float) -> Pixels:
    """Towards the mean gray (below 1) or away from it."""
    return _enhanced(ImageEnhance.Contrast, pixels, factor)


def saturation(pixels: Pixels, factor: float) -> Pixels:
    """Towards gray (below 1) or away from it."""
    return _enhanced(ImageEnhance.Color, pixels, factor)


def sharpness(pixels: Pixels, factor: float) -> Pixels:
    """Towards a smoothed image (below 1) or away from it."""
    return _enhanced(ImageEnhance.Sharpness, pixels, factor)


def hue(pixels: Pixels, turn: float) -> Pixels:
    """Turned by a share of the colour circle; gray stays gray.

    >>> hue(np.full((1, 1, 3), (255, 0, 0), np.uint8), 0.5)[0, 0].tolist()
    [0, 252, 255]
    """
    steps = round(turn * 256) % 256
    if steps == 0:
        return pixels
    bands = np.array(Image.fromarray(pixels).convert("HSV"))
    bands[..., 0] += np.uint8(steps)  # wraps around, as a circle does
    return np.asarray(Image.fromarray(bands, "HSV").convert("RGB"))


def posterized(pixels: Pixels, bits: int) -> Pixels:
    """Only the first `bits` of each level, 1 to 8."""
    return pixels & np.uint8(0xFF << (8 - bits) & 0xFF)


def solarized(pixels: Pixels, threshold: float) -> Pixels:
    """Levels from `threshold` on turned over."""
    return np.where(pixels >= threshold, ~pixels, pixels)


def stretched(pixels: Pixels) -> Pixels:
    """Each band from 0 to 255."""
    return np.asarray(ImageOps.autocontrast(Image.fromarray(pixels)))


def equalized(pixels: Pixels) -> Pixels:
    """Each band with its levels spread evenly."""
    return np.asarray(ImageOps.equalize(Image.fromarray(pixels)))


def _enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance], pixels: Pixels, factor: float) -> Pixels:
    return np.asarray(kind(Image.fromarray(pixels)).enhance(factor)) if factor != 1 else pixels
