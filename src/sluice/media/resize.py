"""Resizing colour: Pillow's filters in C, a third of Pillow's time; where the kernels are not there, by Pillow itself.

Columns first, then rows, always. Pillow does so up to version 12, and from 13 on the other way round where an image
loses much more height than width; single levels then differ by one. Here all versions give the same.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.native.calling import NUMBER, POINTER, address, bound

Pixels: TypeAlias = npt.NDArray[np.uint8]
Filter = Literal["bilinear", "bicubic", "box"]
Window: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom in px

_FILTERS: Final = ("bilinear", "bicubic", "box")


def resize(pixels: Pixels, size: tuple[int, int], window: Window | None = None, filter: Filter = "bilinear") -> Pixels:
    """The part of `pixels` in `window` (all of it by default) as (height, width, 3); `size` is (width, height).

    A fourth channel is left aside.

    >>> resize(np.full((300, 400, 3), 7, np.uint8), (224, 168)).shape
    (168, 224, 3)
    """
    height, width = pixels.shape[:2]
    shown = np.array(window or (0, 0, width, height), np.float32)
    kernel = _kernel()
    if kernel is None:
        return _by_pillow(pixels, size, shown, filter)
    given = np.ascontiguousarray(pixels)
    resized = np.empty((size[1], size[0], 3), np.uint8)
    arguments = (address(given), width, height, pixels.shape[2], address(shown), address(resized))
    if kernel(*arguments, *size, _FILTERS.index(filter)):
        raise MemoryError(f"resizing {width} x {height} px to {size[0]} x {size[1]}")
    return resized


_SHAPE: Final = (POINTER, NUMBER, NUMBER, NUMBER)  # pixels, width, height, channels
_kernel: Final = bound("resize", *_SHAPE, POINTER, POINTER, NUMBER, NUMBER, NUMBER, gives=NUMBER)


def _by_pillow(pixels: Pixels, size: tuple[int, int], shown: npt.NDArray[np.float32], filter: Filter) -> Pixels:
    """The same by Pillow, a direction at a time, so that all its versions take them in one order."""
    from PIL import Image

    left, top, right, bottom = shown.tolist()
    method = Image.Resampling[filter.upper()]
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
    narrow = image.resize((size[0], image.height), method, box=(left, 0, right, image.height))
    return np.asarray(narrow.resize(size, method, box=(0, top, size[0], bottom)))
