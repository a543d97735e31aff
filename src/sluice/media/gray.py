"""Gray from colour, and smaller gray from gray, in C: the same bits as Pillow, sooner.

Each function gives None where the kernels are not there or the case is not theirs: the caller then does it by Pillow,
which the kernels are tested against.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.native.calling import POINTER, SIZE, address, bound
from sluice.table.memory import kept

Pixels: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int32]

_KEPT_BELOW: Final = 512  # px: images of 256 px and more come decoded at less than twice that


def gray_of(pixels: Pixels) -> Pixels | None:
    """Colour of three or four channels in gray: ITU-R 601 luma, Pillow's mode L."""
    kernel = _gray()
    height, width, channels = pixels.shape
    if kernel is None or channels not in (3, 4) or not pixels.flags.c_contiguous:
        return None
    gray = np.empty((height, width), np.uint8)
    kernel(address(pixels), height * width, channels, address(gray))
    return gray


def averaged(gray: Pixels, size: tuple[int, int]) -> Pixels | None:
    """A gray image made smaller as by Pillow's BOX, to more than half its width and height; `size` is (width, height)."""
    kernel = _box()
    (height, width), (wide, high) = gray.shape, size
    if kernel is None or width >= 2 * wide or height >= 2 * high or not gray.flags.c_contiguous:
        return None
    across, down = _windows(width, wide), _windows(height, high)
    if across is None or down is None:
        return None
    small = np.empty((high, wide), np.uint8)
    kernel(
        address(gray), width, address(across[0]), address(across[1]), wide,
        address(down[0]), address(down[1]), high, address(small),
    )  # fmt: skip
    return small


@lru_cache(maxsize=2 * _KEPT_BELOW)
def _windows(size: int, wanted: int) -> tuple[Places, Places] | None:
    """The first and the last of the pixels that each of the `wanted` is the average of, as Pillow chooses them.

    None where one would be the average of more than two: that is not the kernel's.
    """
    scale = size / wanted
    centres = (np.arange(wanted)[:, None] + 0.5) * scale
    first = np.maximum((centres - 0.5 * scale + 0.5).astype(np.int32), 0)
    end = np.minimum((centres + 0.5 * scale + 0.5).astype(np.int32), size)
    places = first + np.arange(3, dtype=np.int32)
    away = (places - centres + 0.5) * (1 / scale)
    inside = (away > -0.5) & (away <= 0.5) & (places < end)
    number = inside.sum(axis=1)
    if number.min() < 1 or number.max() > 2:
        return None
    first = first[:, 0] + inside.argmax(axis=1).astype(np.int32)
    return first, first + (number - 1).astype(np.int32)


kept(_windows.cache_clear)


@cache
def _gray() -> Callable[..., None] | None:
    return bound("gray", (POINTER, SIZE, SIZE, POINTER))


@cache
def _box() -> Callable[..., None] | None:
    sides = (POINTER, POINTER, SIZE)
    return bound("box", (POINTER, SIZE, *sides, *sides, POINTER))
