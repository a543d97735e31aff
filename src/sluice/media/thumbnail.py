"""Gray thumbnails of a few pixels, filtered as Pillow's LANCZOS filters: by matrix products, all sizes at once.

Pillow's loops take three times as long on an image of 300 px. An image is filtered along its rows first, for all
sizes in one product; only as many columns as a thumbnail has are left for the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Size: TypeAlias = tuple[int, int]  # width, height
Levels: TypeAlias = npt.NDArray[np.float32]  # whole numbers from 0 to 255

_LOBES: Final = 3  # of the Lanczos window
# Weights are whole numbers of 2**-15: 255 times the sum of a filter's magnitudes (1.6 at most) stays below 2**24, so
# single precision adds products with pixels without rounding, in whatever order BLAS likes.
_ONE: Final = 2**15


def thumbnails(pixels: npt.NDArray[np.uint8], sizes: Sequence[Size]) -> list[Levels]:
    """A gray image at each of the `sizes`.

    >>> small, flat = thumbnails(np.full((40, 60), 200, np.uint8), [(32, 32), (9, 8)])
    >>> flat.shape, flat.min(), flat.max()
    ((8, 9), np.float32(200.0), np.float32(200.0))
    """
    height, width = pixels.shape
    across = _filters(width, tuple(wide for wide, _ in sizes)).astype(np.float32)
    down = _filters(height, tuple(high for _, high in sizes)).astype(np.float32)
    columns = _levels(pixels.astype(np.float32) @ across.T)
    made: list[Levels] = []
    left = top = 0
    for wide, high in sizes:
        made.append(_levels(down[top : top + high] @ columns[:, left : left + wide]))
        left, top = left + wide, top + high
    return made


def _levels(sums: Levels) -> Levels:
    """Sums of weighted pixels as pixels again, rounded and clipped as Pillow does after each of its two passes."""
    sums /= _ONE
    sums += 0.5
    np.floor(sums, out=sums)
    return np.clip(sums, 0, 255, out=sums)


# Images of 256 px and more come decoded at less than twice that: 512 widths and heights at most, 20 KB of filters each.
@lru_cache(maxsize=512)
def _filters(size: int, wanted: tuple[int, ...]) -> npt.NDArray[np.signedinteger[Any]]:
    """The filters of several thumbnails below each other, in as few bytes as hold them."""
    whole = np.concatenate([_lanczos(size, one) for one in wanted])
    return whole.astype(np.int16 if np.abs(whole).max() < _ONE else np.int32)


def _lanczos(size: int, wanted: int) -> npt.NDArray[np.float64]:
    """The Lanczos filters that make `wanted` pixels of `size`: a row of whole numbers each, that add up to `_ONE`."""
    scale = size / wanted
    wide = max(scale, 1.0)
    centres = (np.arange(wanted)[:, None] + 0.5) * scale
    at = (np.arange(size)[None] + 0.5 - centres) / wide
    # Pillow's window begins and ends at the pixels nearest to three lobes from the centre
    first = np.maximum((centres - _LOBES * wide + 0.5).astype(int), 0)
    last = np.minimum((centres + _LOBES * wide + 0.5).astype(int), size)
    inside = (np.arange(size)[None] >= first) & (np.arange(size)[None] < last) & (abs(at) < _LOBES)
    weights = np.where(inside, np.sinc(at) * np.sinc(at / _LOBES), 0.0)
    whole = np.round(weights / weights.sum(axis=1, keepdims=True) * _ONE)
    whole[np.arange(wanted), whole.argmax(axis=1)] += _ONE - whole.sum(axis=1)  # a flat image stays flat
    return whole
