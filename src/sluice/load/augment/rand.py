"""The 14 changes of RandAugment, with the magnitudes of torchvision: 0 to 30, of which 30 is the strongest."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from sluice.load.augment import colour
from sluice.load.augment.example import Example
from sluice.load.augment.moving import Matrix, hulls, transformed

MOVING: Final = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_BY_FACTOR: Final = {
    "brightness": colour.brightness,
    "color": colour.saturation,
    "contrast": colour.contrast,
    "sharpness": colour.sharpness,
}
_OF_LEVELS: Final = ("posterize", "solarize", "auto_contrast", "equalize")
OPERATIONS: Final = ("identity", *MOVING, *_BY_FACTOR, *_OF_LEVELS)

_STRONGEST: Final = 30
_EDGE: Final = 1e-6  # px


def strength(name: str, magnitude: int, width: int, height: int) -> float:
    """What `magnitude` means for a change: a slope, px, degrees, a factor's distance from 1, bits or a level.

    >>> strength("rotate", 30, 100, 100), strength("posterize", 15, 100, 100), strength("solarize", 0, 100, 100)
    (30.0, 6.0, 255.0)
    """
    share = magnitude / _STRONGEST
    match name:
        case "shear_x" | "shear_y":
            return 0.3 * share
        case "translate_x":
            return float(int(150 / 331 * width * share))
        case "translate_y":
            return float(int(150 / 331 * height * share))
        case "rotate":
            return 30.0 * share
        case "posterize":
            return float(8 - round(4 * share))
        case "solarize":
            return 255.0 * (1 - share)
        case _:
            return 0.9 * share


def varied(example: Example, name: str, strength: float, sign: int, visible: float) -> Example:
    """The example after the change `name`; the same where it would move a relevant box past the edge."""
    if name in MOVING:
        matrix = _matrix(name, sign * strength, example.width, example.height)
        return transformed(example, matrix, visible) if strength and _keeps(example, matrix) else example
    pixels = example.pixels
    if name in _BY_FACTOR:
        pixels = _BY_FACTOR[name](pixels, 1 + sign * strength)
    elif name == "posterize":
        pixels = colour.posterized(pixels, int(strength))
    elif name == "solarize":
        pixels = colour.solarized(pixels, strength)
    elif name == "auto_contrast":
        pixels = colour.stretched(pixels)
    elif name == "equalize":
        pixels = colour.equalized(pixels)
    return replace(example, pixels=pixels)


def _matrix(name: str, by: float, width: int, height: int) -> Matrix:
    """Where a px goes; shears keep the first row or column in place, turns the middle."""
    match name:
        case "shear_x":
            return 1, by, 0, 0, 1, 0
        case "shear_y":
            return 1, 0, 0, by, 1, 0
        case "translate_x":
            return 1, 0, by, 0, 1, 0
        case "translate_y":
            return 1, 0, 0, 0, 1, by
        case _:
            sine, cosine = math.sin(math.radians(by)), math.cos(math.radians(by))
            x, y = width / 2, height / 2
            return cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y


def _keeps(example: Example, matrix: Matrix) -> bool:
    moved = hulls(example.boxes[example.relevant], matrix)
    frame = np.array([example.width, example.height])
    return bool((moved[:, :2] >= -_EDGE).all() and (moved[:, 2:] <= frame + _EDGE).all())
