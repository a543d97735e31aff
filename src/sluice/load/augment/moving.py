"""How an example is moved as a whole: cut and scaled, mirrored, sheared or turned; pixels, boxes and masks alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from sluice.load.augment.example import Boxes, Example, Masks, Pixels
from sluice.media.resize import resize

Window: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom, px; may reach past the image
Size: TypeAlias = tuple[int, int]  # width, height, px
Matrix: TypeAlias = tuple[float, float, float, float, float, float]  # x' = a x + b y + c, y' = d x + e y + f

GRAY: Final = 127  # what lies beside an image
VISIBLE: Final = 0.25  # share of a box's area under which it is dropped

_DIGITS: Final = 9  # of a matrix: sine and cosine differ between platforms in the last bit


def reframe(example: Example, window: Window, size: Size, visible: float = VISIBLE) -> Example:
    """What `window` shows of the example, scaled to `size`; gray where it reaches past the image."""
    left, top, right, bottom = window
    width, height = size
    scale = np.array([width / (right - left), height / (bottom - top)] * 2)
    moved = (example.boxes - np.array([left, top, left, top])) * scale
    masks = None if example.masks is None else _mask_window(example.masks, window, size)
    shown = replace(example, pixels=_window(example.pixels, window, size), masks=masks)
    return with_boxes(shown, moved, visible)


def mirrored(example: Example) -> Example:
    """Left and right exchanged: x1' = width - x2. The texts stay as they are."""
    boxes = example.boxes.copy()
    boxes[:, [0, 2]] = example.width - example.boxes[:, [2, 0]]
    masks = None if example.masks is None else np.ascontiguousarray(example.masks[:, :, ::-1])
    return replace(example, pixels=np.ascontiguousarray(example.pixels[:, ::-1]), boxes=boxes, masks=masks)


def transformed(example: Example, matrix: Matrix, visible: float = VISIBLE) -> Example:
    """The example under an affine map of px, in a frame of the same size; a box becomes the box around its corners."""
    inverse = _inverse(matrix)
    pixels = np.asarray(
        Image.fromarray(example.pixels).transform(
            (example.width, example.height),
            Image.Transform.AFFINE,
            inverse,
            Image.Resampling.BILINEAR,
            fillcolor=(GRAY, GRAY, GRAY),
        )
    )
    masks = None if example.masks is None else _mask_affine(example.masks, inverse)
    return with_boxes(replace(example, pixels=pixels, masks=masks), hulls(example.boxes, matrix), visible)


def hulls(boxes: Boxes, matrix: Matrix) -> Boxes:
    """The boxes around the mapped corners of `boxes`.

    >>> hulls(np.array([[0.0, 0, 2, 1]]), (0, -1, 1, 1, 0, 0)).tolist()  # a quarter turn
    [[0.0, 0.0, 1.0, 2.0]]
    """
    a, b, c, d, e, f = matrix
    x, y = boxes[:, [0, 2, 2, 0]], boxes[:, [1, 1, 3, 3]]
    across, down = a * x + b * y + c, d * x + e * y + f
    return np.stack([across.min(axis=1), down.min(axis=1), across.max(axis=1), down.max(axis=1)], axis=1)


def with_boxes(example: Example, moved: Boxes, visible: float) -> Example:
    """The example with its boxes at `moved`, clipped; what shows less than `visible` of its first area is dropped.

    A relevant box that shows anything at all stays.
    """
    frame = np.array([example.width, example.height] * 2, np.float64)
    clipped = np.clip(moved, 0, frame)
    before, after = _areas(moved), _areas(clipped)
    seen = example.seen * np.divide(after, before, out=np.zeros_like(after), where=before > 0)
    stays = (seen > 0) & ((seen >= visible) | example.relevant)
    labels = tuple(label for label, kept in zip(example.labels, stays.tolist(), strict=True) if kept)
    return replace(example, boxes=clipped[stays], labels=labels, relevant=example.relevant[stays], seen=seen[stays])


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    return np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)


def _window(pixels: Pixels, window: Window, size: Size) -> Pixels:
    left, top, right, bottom = window
    height, width = pixels.shape[:2]
    if left < 0 or top < 0 or right > width or bottom > height:
        whole = np.full((bottom - top, right - left, 3), GRAY, np.uint8)
        inner = pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
        down, across = max(0, -top), max(0, -left)
        whole[down : down + inner.shape[0], across : across + inner.shape[1]] = inner
        pixels, window = whole, (0, 0, right - left, bottom - top)
    left, top, right, bottom = window
    if (right - left, bottom - top) == size:
        return np.ascontiguousarray(pixels[top:bottom, left:right])
    return resize(pixels, size, window)


def _mask_window(masks: Masks, window: Window, size: Size) -> Masks:
    left, top, right, bottom = window
    columns = np.floor(left + (np.arange(size[0]) + 0.5) * (right - left) / size[0]).astype(np.int64)
    rows = np.floor(top + (np.arange(size[1]) + 0.5) * (bottom - top) / size[1]).astype(np.int64)
    return _looked_up(masks, *np.broadcast_arrays(rows[:, None], columns[None, :]))


def _mask_affine(masks: Masks, inverse: Sequence[float]) -> Masks:
    a, b, c, d, e, f = inverse
    y, x = np.indices(masks.shape[1:]) + 0.5
    return _looked_up(masks, np.floor(d * x + e * y + f), np.floor(a * x + b * y + c))


def _looked_up(masks: Masks, rows: npt.NDArray[np.generic], columns: npt.NDArray[np.generic]) -> Masks:
    """The value of each mask at the nearest px of each place; 0 beside the image."""
    rows, columns = rows.astype(np.int64), columns.astype(np.int64)
    height, width = masks.shape[1:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = masks[:, np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return np.where(inside, found, np.zeros((), masks.dtype))


def _inverse(matrix: Matrix) -> tuple[float, ...]:
    a, b, c, d, e, f = matrix
    whole = a * e - b * d
    inverse = (e, -b, b * f - c * e, -d, a, c * d - a * f)
    return tuple(round(number / whole, _DIGITS) for number in inverse)
