"""Gray from colour, and smaller gray from gray: by kernels in C, or with the same bits and more slowly by Pillow."""

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
    """Colour of three or four channels in gray: ITU-R 601 luma, Pillow's mode L; None where no kernel can do it."""
    kernel = _gray()
    height, width, channels = pixels.shape
    if kernel is None or channels not in (3, 4) or not pixels.flags.c_contiguous:
        return None
    gray = np.empty((height, width), np.uint8)
    kernel(address(pixels), height * width, channels, address(gray))
    return gray


def averaged(gray: Pixels, size: tuple[int, int]) -> Pixels:
    """A gray image made smaller: each pixel is the average of its area, of columns first; `size` is (width, height).

    >>> averaged(np.array([[10, 20, 30], [20, 30, 40]], np.uint8), (2, 2)).tolist()
    [[10, 25], [20, 35]]
    """
    kernel = _box()
    (height, width), (wide, high) = gray.shape, size
    if kernel is None or width >= 2 * wide or height >= 2 * high or not gray.flags.c_contiguous:
        return _by_pillow(gray, size)
    across, down = _windows(width, wide), _windows(height, high)
    if across is None or down is None:
        return _by_pillow(gray, size)
    small = np.empty((high, wide), np.uint8)
    kernel(
        address(gray), width, address(across[0]), address(across[1]), wide,
        address(down[0]), address(down[1]), high, address(small),
    )  # fmt: skip
    return small


def _by_pillow(gray: Pixels, size: tuple[int, int]) -> Pixels:
    """The kernel's twin, and what averages whole numbers of pixels first.

    A direction at a time: Pillow 13 alone takes tall images' rows first, and single levels then differ by one.
    """
    from PIL import Image

    image = Image.fromarray(gray)
    width, height = image.size
    factor = max(1, width // size[0]), max(1, height // size[1])
    if factor != (1, 1):
        image = image.reduce(factor)
    method = Image.Resampling.BOX
    narrow = image.resize((size[0], image.height), method, box=(0, 0, width / factor[0], image.height))
    return np.asarray(narrow.resize(size, method, box=(0, 0, size[0], height / factor[1])))


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
