"""Gray from colour, and smaller gray from gray: by kernels in C, or with the same bits and more slowly by Pillow."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.native.calling import NUMBER, POINTER, SIZE, address, bound

Pixels: TypeAlias = npt.NDArray[np.uint8]


def gray_of(pixels: Pixels) -> Pixels | None:
    """Colour of three or four channels in gray: ITU-R 601 luma, Pillow's mode L; None where no kernel can do it."""
    kernel = _gray()
    height, width, channels = pixels.shape
    if kernel is None or channels not in (3, 4) or not pixels.flags.c_contiguous:
        return None
    gray = np.empty((height, width), np.uint8)
    kernel(address(pixels), height * width, channels, address(gray))
    return gray


def has_kernel() -> bool:
    """Whether gray is made of colour without Pillow."""
    return _gray() is not None


def averaged(gray: Pixels, size: tuple[int, int]) -> Pixels:
    """A gray image made smaller: each pixel is the average of its area, of columns first; `size` is (width, height).

    >>> averaged(np.array([[10, 20, 30], [20, 30, 40]], np.uint8), (2, 2)).tolist()
    [[15, 30], [25, 40]]
    """
    kernel = _box()
    (height, width), (wide, high) = gray.shape, size
    if kernel is None or width >= 2 * wide or height >= 2 * high or not gray.flags.c_contiguous:
        return _by_pillow(gray, size)
    small = np.empty((high, wide), np.uint8)
    return _by_pillow(gray, size) if kernel(address(gray), width, height, wide, high, address(small)) else small


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


_gray: Final = bound("gray", POINTER, SIZE, SIZE, POINTER)
_box: Final = bound("box", POINTER, SIZE, SIZE, SIZE, SIZE, POINTER, gives=NUMBER)
