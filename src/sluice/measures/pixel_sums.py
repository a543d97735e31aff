"""What `image.quality` adds up over the pixels of an image: whole numbers, so that kernel and NumPy give the same.

Gray at one scale gives its histogram, its Laplacian and its uniform edges; every n-th pixel in colour gives the sums
that colourfulness is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from sluice.measures.base import Pixels
from sluice.media.decode import as_image
from sluice.native.calling import DISTANCE, POINTER, SIZE, address, bound

Wholes: TypeAlias = npt.NDArray[np.int64]
Reals: TypeAlias = npt.NDArray[np.float64]

# Levels of 255 by which a line may leave its border's colour and still belong to it: what JPEG does to a flat bar.
_UNIFORM: Final = 8
_ROWS_IN_32_BITS: Final = 2_000  # that many squares of a Laplacian (at most 1,020) add up within 31 bits


@dataclass(frozen=True)
class GraySums:
    """Of each of several gray images."""

    counts: Wholes  # (images, 256): how often each level occurs
    sharpness: list[float | None]
    border: list[float]


def gray_sums(images: Sequence[Pixels]) -> GraySums:
    """Histogram, sharpness and border of each gray image, in one pass over it where there is a kernel."""
    kernel = _gray_kernel()
    if kernel is None:
        counts = np.array([as_image(pixels).histogram() for pixels in images], dtype=np.int64).reshape(-1, 256)
        return GraySums(counts, [_sharpness(pixels) for pixels in images], [_border(pixels) for pixels in images])
    counts = np.zeros((len(images), 256), np.int64)
    sums = np.zeros((len(images), 6), np.int64)  # the Laplacian, its squares; lines at the top, bottom, left, right
    to_counts, to_sums = address(counts), address(sums)
    for pixels in images:
        whole = np.ascontiguousarray(pixels)
        height, width = whole.shape
        kernel(address(whole), width, height, _UNIFORM, to_counts, to_sums)
        to_counts += counts.strides[0]
        to_sums += sums.strides[0]
    each = [(*pixels.shape, *row) for pixels, row in zip(images, sums.tolist(), strict=True)]
    return GraySums(
        counts,
        [_variance(height, width, total, squares) for height, width, total, squares, *_ in each],
        [_share(height, width, *uniform) for height, width, _, _, *uniform in each],
    )


def colour_products(images: Sequence[Pixels]) -> Reals:
    """The sums of the products of any two of red, green, blue and 1 over each colour image: (images, 4, 4).

    Products of bytes are whole numbers, their sums far below 2**53: exact, in whatever order they are added.
    """
    kernel = _colour_kernel()
    if kernel is None:
        return np.array([_products(pixels) for pixels in images]).reshape(-1, 4, 4)
    products = np.empty((len(images), 4, 4))
    to = address(products)
    for pixels in images:
        given = pixels if pixels.strides[2] == 1 else np.ascontiguousarray(pixels)
        height, width, _ = given.shape
        down, right, _ = given.strides
        kernel(address(given), height, width, down, right, to)
        to += products.strides[0]
    return products


_gray_kernel: Final = bound("gray_sums", POINTER, SIZE, SIZE, SIZE, POINTER, POINTER)
_colour_kernel: Final = bound("colour_products", POINTER, SIZE, SIZE, DISTANCE, DISTANCE, POINTER)


def _variance(height: int, width: int, total: int, squares: int) -> float | None:
    """Of a Laplacian, from its sum and the sum of its squares; the edge pixels have none."""
    if min(height, width) < 3:
        return None
    number = (height - 2) * (width - 2)
    return (squares * number - total * total) / (number * number)


def _share(height: int, width: int, top: int, bottom: int, left: int, right: int) -> float:
    """The share of the area that uniform lines at the edges take."""
    if top + bottom >= height:
        return 1.0
    return 1.0 - (height - top - bottom) * max(0, width - left - right) / (height * width)


def _sharpness(pixels: Pixels) -> float | None:
    """The variance of the Laplacian by NumPy: the kernel's twin.

    A Laplacian fits 16 bits, its square 32. The image is taken as one long line, which spares a loop per row; what
    wraps around falls on the edge columns, left out.
    """
    height, width = pixels.shape
    if min(height, width) < 3:
        return None
    line = pixels.ravel().astype(np.int16)
    inner = line[width:-width] << 2
    inner -= line[: -2 * width]
    inner -= line[2 * width :]
    inner -= line[width - 1 : -width - 1]
    inner -= line[width + 1 : line.size - width + 1]
    laplacian = inner.reshape(-1, width)[:, 1:-1].astype(np.int32)
    kind = np.int32 if height <= _ROWS_IN_32_BITS else np.int64
    total = int(np.add.reduce(laplacian, axis=0, dtype=kind).sum(dtype=np.int64))
    laplacian *= laplacian
    squares = int(np.add.reduce(laplacian, axis=0, dtype=kind).sum(dtype=np.int64))
    return _variance(height, width, total, squares)


def _border(pixels: Pixels) -> float:
    """The share of uniform lines at the edges by NumPy: the kernel's twin."""
    height, width = pixels.shape
    top, bottom = _uniform_lines(pixels), _uniform_lines(pixels[::-1])
    if top + bottom >= height:
        return 1.0
    within = pixels[top : height - bottom].T
    return _share(height, width, top, bottom, _uniform_lines(within), _uniform_lines(within[::-1]))


def _uniform_lines(lines: Pixels) -> int:
    """How many lines from the first on are of one colour: the first line's."""
    first = lines[0]
    if abs(int(first[0]) - int(first[len(first) // 2])) > 2 * _UNIFORM:
        return 0  # the common case, without looking at the whole line
    low, high = int(first.min()), int(first.max())
    if high - low > 2 * _UNIFORM:
        return 0
    least, most = max(0, (low + high) // 2 - _UNIFORM), min(255, (low + high) // 2 + _UNIFORM)
    uniform = (lines.min(axis=1) >= least) & (lines.max(axis=1) <= most)
    return len(lines) if uniform.all() else int(np.argmin(uniform))


def _products(pixels: Pixels) -> Reals:
    """The sums of products by BLAS: the kernel's twin."""
    height, width, _ = pixels.shape
    colours = np.empty((height, width, 4))
    colours[..., :3] = pixels
    colours[..., 3] = 1
    lines = colours.reshape(-1, 4)
    return lines.T @ lines
