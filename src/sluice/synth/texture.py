"""Soft fields and fine grain: the noise from which backgrounds are made, cheap enough for 2,000 pictures.

Colours are planar, (3, height, width): NumPy then works on whole rows of floats, ten times faster than on triples.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

# float32 in fact: NumPy's own types widen a product with a Python float, which does not happen
Plane: TypeAlias = npt.NDArray[np.floating]  # (height, width)
Colour: TypeAlias = npt.NDArray[np.floating]  # (3, height, width), or (3, 1, 1) for a single colour; 0 to 255

_ATLAS_SIDE: Final = 1024
_ZERO: Final = np.float32(128)  # the atlas is 8-bit: this is 0,
_UNIT: Final = np.float32(40)  # and this 1
_OCTAVES: Final = ((1.0, 0.85), (2.1, 0.47), (4.3, 0.26), (9.1, 0.145))  # scale, weight: together of unit spread
_SINGLE_THREAD: Final = 250_000  # multiplications; OpenBLAS uses one thread up to 262,144


def field(rng: np.random.Generator, height: int, width: int, cells: float, stretch: float = 1.0) -> Plane:
    """A smooth random field of unit spread, about `cells` bumps over the shorter side, `stretch` times wider than tall.

    It carries the low frequencies in which unrelated pictures differ: perceptual hashes read nothing else.
    """
    return stretched(_knots(rng, height, width, cells, stretch), height, width)


def clouds(
    rng: np.random.Generator, height: int, width: int, cells: float, stretch: float = 1.0, octaves: int = 3
) -> Plane:
    """Fields at up to four scales, each finer one weaker: clouds, stone, trodden sand."""
    down: list[Plane] = []
    across: list[Plane] = []
    for octave, weight in _OCTAVES[:octaves]:
        knots = _knots(rng, height, width, cells * octave, stretch) * np.float32(weight)
        down.append(_weights(knots.shape[0], height) @ knots)
        across.append(_weights(knots.shape[1], width).T)
    return _product(np.hstack(down), np.vstack(across))  # the sum of four products, as one


def _knots(rng: np.random.Generator, height: int, width: int, cells: float, stretch: float) -> Plane:
    short = min(height, width)
    rows = max(2, round(cells * height / short) + 1)
    columns = max(2, round(cells * width / short / stretch) + 1)
    return rng.standard_normal((rows, columns), dtype=np.float32)


def grain(
    rng: np.random.Generator, height: int, width: int, blur: float = 0.0, stretch: tuple[float, float] = (1, 1)
) -> Plane:
    """Fine noise of unit spread, cut from a fixed atlas at a random place; `stretch` (down, across) is at least 1."""
    rows, columns = min(_ATLAS_SIDE, int(height / stretch[0])), min(_ATLAS_SIDE, int(width / stretch[1]))
    top = int(rng.integers(_ATLAS_SIDE - rows + 1))
    left = int(rng.integers(_ATLAS_SIDE - columns + 1))
    cut = _atlas(blur).crop((left, top, left + columns, top + rows))
    if rng.random() < 0.5:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if cut.size != (width, height):
        cut = cut.resize((width, height), Image.Resampling.BILINEAR)
    noise = np.array(cut, dtype=np.float32)
    noise -= _ZERO
    noise *= 1 / _UNIT
    return noise


def stretched(plane: Plane, height: int, width: int) -> Plane:
    """A small `plane` enlarged to (height, width) by cubic interpolation.

    >>> stretched(np.ones((3, 4), np.float32), 20, 30).round(4).min().item()
    1.0
    """
    return _product(_weights(plane.shape[0], height) @ plane, _weights(plane.shape[1], width).T)


def _product(down: Plane, across: Plane) -> Plane:
    """The matrix product, in blocks that BLAS does not share out among threads.

    Sharing costs more than products of this size, and no bit may depend on how many cores there are.
    """
    block = max(1, _SINGLE_THREAD // across.size)
    product = np.empty((down.shape[0], across.shape[1]), dtype=np.float32)
    for row in range(0, len(down), block):
        np.matmul(down[row : row + block], across, out=product[row : row + block])
    return product


@lru_cache(maxsize=512)
def _weights(knots: int, points: int) -> Plane:
    """(points, knots): how much of each knot each point takes; Catmull-Rom, the end knots repeated."""
    place = np.arange(points, dtype=np.float32) * np.float32((knots - 1) / max(points - 1, 1))
    base = place.astype(np.int32)
    t = place - base
    square = t * t
    cube = square * t
    taps = (2 * square - t - cube, 2 - 5 * square + 3 * cube, t + 4 * square - 3 * cube, cube - square)
    weights = np.zeros((points, knots), dtype=np.float32)
    rows = np.arange(points)
    for offset, tap in enumerate(taps, -1):
        weights[rows, np.clip(base + offset, 0, knots - 1)] += tap
    weights *= np.float32(0.5)
    return weights


def soften(mask: Image.Image, radius: float) -> Image.Image:
    """`mask` blurred by a Gaussian of `radius` px."""
    return mask.filter(ImageFilter.GaussianBlur(radius))


def smoothstep(plane: Plane, low: float, high: float) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((plane - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (np.float32(3) - np.float32(2) * t)


def mix(one: Colour | Plane, other: Colour | Plane, share: Plane) -> Colour:
    """`one` where `share` is 0, `other` where it is 1; either may be a single colour."""
    mixed = np.empty((3, *share.shape), dtype=np.float32)
    for band in range(3):  # one band fits the cache, three do not
        mixed[band] = (other[band] - one[band]) * share
        mixed[band] += one[band]
    return mixed


@cache
def _atlas(blur: float) -> Image.Image:
    noise = np.random.default_rng(20_240_607).standard_normal((_ATLAS_SIDE, _ATLAS_SIDE), dtype=np.float32)
    if blur:
        eight = Image.fromarray(np.clip(noise * _UNIT + _ZERO, 0, 255).astype(np.uint8))
        noise = np.asarray(soften(eight, blur), dtype=np.float32)
        noise = (noise - noise.mean()) / noise.std()
    return Image.fromarray(np.clip(noise * _UNIT + _ZERO, 0, 255).astype(np.uint8))
