"""Whether our way to prepare an image is the library's: tried on pictures when a model is loaded, not trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.errors import SluiceError
from sluice.models.base import Pixels, Preprocess
from sluice.models.preprocess import tensor

Reference = Callable[[Pixels], npt.ArrayLike]
"""One image to (3, height, width), as the model's own library does it."""

TOLERANCE: Final = 1 / 255 + 1e-6


def check_preprocess(preprocess: Preprocess, reference: Reference, what: str) -> Preprocess:
    """`preprocess`, if our tensors are the library's within 1/255 on a wide, a tall and a small image."""
    for image in _pictures(preprocess.width, preprocess.height):
        theirs = np.asarray(reference(image), np.float32)
        ours = tensor([image], preprocess)[0]
        size = f"{image.shape[1]} x {image.shape[0]} px"
        if theirs.shape != ours.shape:
            raise SluiceError(f"{what}: its library makes a tensor of shape {theirs.shape} of {size}, not {ours.shape}")
        gap = float(np.abs(theirs - ours).max())
        if not gap <= TOLERANCE:
            raise SluiceError(
                f"{what}: images cannot be prepared as its library does: on {size} the tensors differ by {gap:.3f} "
                f"(1/255 is allowed), with {preprocess}"
            )
    return preprocess


def _pictures(width: int, height: int) -> list[Pixels]:
    """Smooth colours with edges, of odd sizes around the model's."""
    pictures: list[Pixels] = []
    for across, down in ((width * 5 // 3 | 1, height | 1), (width | 1, height * 7 // 4 | 1), (31, 17)):
        y, x = np.mgrid[:down, :across].astype(np.float64)
        waves = [127.5 + 127.5 * np.sin(x / (3 + 4 * c) + y / (11 - 3 * c)) for c in range(3)]
        picture = np.stack(waves, axis=-1)
        picture[down // 4 : down // 2, across // 3 : across // 2] = (255, 16, 128)
        pictures.append(np.rint(picture).astype(np.uint8))
    return pictures
