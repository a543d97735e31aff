"""Gray thumbnails of a few pixels, filtered as Pillow's LANCZOS filters: in C, or by matrix products in NumPy.

An image is filtered along its rows first; only as many columns as a thumbnail has are left for the second pass.
NumPy takes five times as long, Pillow's loops fifteen times on an image of 300 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.native.calling import NUMBER, POINTER, SIZE, address, bound
from sluice.table.memory import kept

Size: TypeAlias = tuple[int, int]  # width, height
Levels: TypeAlias = npt.NDArray[np.float32]  # whole numbers from 0 to 255

_LOBES: Final = 3  # of the Lanczos window
_BLOCK: Final = 16  # numbers that the kernel takes at once: filters are so many or a multiple, zeros at their end
# Weights are whole numbers of 2**-15: 255 times the sum of a filter's magnitudes (1.6 at most) stays below 2**24 of
# these, so single precision adds products with pixels without rounding, in whatever order BLAS likes.
_ONE: Final = 2**15
_KEPT_BELOW: Final = 512  # px: images of 256 px and more come decoded at less than twice that


def thumbnails(pixels: npt.NDArray[np.uint8], sizes: Sequence[Size]) -> list[Levels]:
    """A gray image at each of the `sizes`.

    >>> small, flat = thumbnails(np.full((40, 60), 200, np.uint8), [(32, 32), (9, 8)])
    >>> flat.shape, flat.min(), flat.max()
    ((8, 9), np.float32(200.0), np.float32(200.0))
    """
    kernel = _kernel()
    if kernel is None or not pixels.flags.c_contiguous:
        return _by_products(pixels, sizes)
    height, width = pixels.shape
    made: list[Levels] = []
    for wide, high in sizes:
        across, down = _filters(width, wide), _filters(height, high)
        if across.weights.itemsize > 2 or down.weights.itemsize > 2:
            made += _by_products(pixels, [(wide, high)])
            continue
        small = np.empty((high, wide), np.float32)
        if kernel(address(pixels), width, height, *across.handed, wide, *down.handed, high, address(small)):
            raise MemoryError(f"no memory for a thumbnail of {width} x {height} px")
        made.append(small)
    return made


_FILTERS: Final = (POINTER, POINTER, POINTER, SIZE)  # weights, first, end, how many
_kernel: Final = bound("thumbnail", POINTER, SIZE, SIZE, *_FILTERS, *_FILTERS, POINTER, gives=NUMBER)


def _by_products(pixels: npt.NDArray[np.uint8], sizes: Sequence[Size]) -> list[Levels]:
    """The kernel's twin: the same bits by matrix products, all sizes along the rows in one."""
    height, width = pixels.shape
    across = _below_each_other(width, [wide for wide, _ in sizes])
    down = _below_each_other(height, [high for _, high in sizes])
    columns = _levels(pixels.astype(np.float32) @ across.T)
    made: list[Levels] = []
    left = top = 0
    for wide, high in sizes:
        made.append(_levels(down[top : top + high] @ columns[:, left : left + wide]))
        left, top = left + wide, top + high
    return made


def _levels(sums: Levels) -> Levels:
    """Sums of weighted pixels as pixels again, rounded and clipped as Pillow does after each of its two passes."""
    sums += 0.5
    np.floor(sums, out=sums)
    np.maximum(sums, 0, out=sums)
    return np.minimum(sums, 255, out=sums)


def _below_each_other(size: int, wanted: Sequence[int]) -> Levels:
    """The filters of several thumbnails, whose weights add up to 1 in each row."""
    whole = np.empty((sum(wanted), size), np.float32)
    top = 0
    for one in wanted:
        np.multiply(_filters(size, one).weights[:, :size], np.float32(1 / _ONE), out=whole[top : top + one])
        top += one
    return whole


class _Filters(NamedTuple):
    """Filters as the kernel takes them: zeros at the end of each row, and between which columns it is not zero."""

    weights: npt.NDArray[np.signedinteger[Any]]
    first: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]
    handed: tuple[int, int, int]  # where the three lie


def _filters(size: int, wanted: int) -> _Filters:
    """The filters that make `wanted` pixels of `size`, in as few bytes as hold them; 10 KB for 32 of 160."""
    return _kept(size, wanted) if size < _KEPT_BELOW else _padded(_lanczos(size, wanted))


# For all sizes up to 512 px those of both perceptual hashes take 13 MB.
@lru_cache(maxsize=3 * _KEPT_BELOW)
def _kept(size: int, wanted: int) -> _Filters:
    return _padded(_lanczos(size, wanted))


kept(_kept.cache_clear)


def _padded(filters: npt.NDArray[np.signedinteger[Any]]) -> _Filters:
    wanted, size = filters.shape
    weights = np.zeros((wanted, -(-size // _BLOCK) * _BLOCK), filters.dtype)
    weights[:, :size] = filters
    used = np.count_nonzero(weights.reshape(wanted, -1, _BLOCK), axis=2) > 0  # blocks
    first = used.argmax(axis=1).astype(np.int32) * _BLOCK
    end = (used.shape[1] - used[:, ::-1].argmax(axis=1)).astype(np.int32) * _BLOCK
    return _Filters(weights, first, end, (address(weights), address(first), address(end)))


def _lanczos(size: int, wanted: int) -> npt.NDArray[np.signedinteger[Any]]:
    """The Lanczos filters that make `wanted` pixels of `size`: a row of whole numbers each, that add up to `_ONE`."""
    scale = size / wanted
    wide = max(scale, 1.0)
    rows = np.arange(wanted)
    centres = (rows + 0.5) * scale
    # Pillow's window begins and ends at the pixels nearest to three lobes from the centre; nothing is computed outside.
    first = np.maximum((centres - _LOBES * wide + 0.5).astype(int), 0)
    last = np.minimum((centres + _LOBES * wide + 0.5).astype(int), size)
    taps = int((last - first).max())
    at = first[:, None] + np.arange(taps)
    inside = at < last[:, None]
    away = (at + 0.5 - centres[:, None]) / wide
    inside &= abs(away) < _LOBES
    away *= np.pi
    away[away == 0] = 1e-20
    lobe = away / _LOBES
    weights = np.where(inside, np.sin(away) * np.sin(lobe) / (away * lobe), 0.0)
    whole = np.round(weights / weights.sum(axis=1, keepdims=True) * _ONE)
    whole[rows, whole.argmax(axis=1)] += _ONE - whole.sum(axis=1)  # a flat image stays flat
    spread = np.zeros((wanted, size + taps), np.int16 if np.abs(whole).max() < _ONE else np.int32)
    spread[rows[:, None], at] = whole
    return spread[:, :size].copy()
