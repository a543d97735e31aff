"""Samples of tars read many at a time by a kernel; what it does not take is left out, to be read alone.

The kernel takes what is byte for byte as Sluice packs it, and nothing that a single read would refuse; the single read
says what is wrong with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.load.reading import Sample
from sluice.native.calling import LONG, OBJECT, POINTER, TEXT, address, addresses, bound

_ID: Final = 32  # characters
_MOST: Final = 16 * 2**20  # bytes beside the first images of samples that are read at once


def read_together(files: Sequence[int], ids: Sequence[str], places: npt.NDArray[np.int64]) -> list[Sample | None]:
    """The samples of open tars at `places`, a row each: offset, size, image offset and size. None: read it alone."""
    kernel, names = _kernel(), "".join(ids).encode()
    if kernel is None or len(names) != _ID * len(ids) or not ids:
        return [None] * len(ids)
    tars, given = np.array(files, np.int32), np.ascontiguousarray(places)
    beside = given[:, 1] - given[:, 3]
    held = beside[(beside > 0) & (beside <= _MOST)]
    around = np.empty(min(int(held.sum()), _MOST), np.uint8)
    images: list[Any] = [None] * len(ids)
    captions, parts = images.copy(), images.copy()
    kernel(len(ids), *addresses(tars, given), names, _ID, address(around), around.size, images, captions, parts)
    read = zip(ids, images, captions, parts, strict=True)
    return [None if those is None else Sample(id, those, caption, members) for id, those, caption, members in read]


# It makes objects, so it is called with Python's lock held, and lets go of the lock while it reads.
_kernel: Final = bound("tar_samples", LONG, POINTER, POINTER, TEXT, LONG, POINTER, LONG, *[OBJECT] * 3)
