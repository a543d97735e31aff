"""What the named colours look like."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_RGB: Final = {
    "red": (206, 34, 38),
    "blue": (38, 84, 200),
    "green": (42, 146, 62),
    "yellow": (246, 206, 40),
    "orange": (244, 132, 28),
    "purple": (124, 58, 166),
    "pink": (244, 142, 178),
    "brown": (118, 72, 40),
    "white": (240, 239, 235),
    "black": (36, 36, 40),
}


def rgb(colour: str) -> npt.NDArray[np.float32]:
    """A named colour as a planar (3, 1, 1) array, 0 to 255.

    >>> rgb("red").ravel().tolist()
    [206.0, 34.0, 38.0]
    """
    return np.array(_RGB[colour], dtype=np.float32)[:, None, None]


def ink(colour: str) -> tuple[int, int, int]:
    """A named colour as Pillow draws it."""
    return _RGB[colour]
